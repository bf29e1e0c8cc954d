//! Scores of mails from weights that saw neither their source nor their family.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use injection::{Heard, Model};

use crate::{
    fuse::Told,
    learn::{Mail, learn},
    lines::Line,
};

/// What weights that saw nothing of its kind say of a mail.
pub(crate) struct LeftOut {
    pub(crate) mail: usize,
    pub(crate) heard: Heard,
    /// What hard marks say, whatever the weights.
    pub(crate) certain: f64,
    /// The window that looks worst.
    pub(crate) loudest: String,
}

/// What is left out together.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum By {
    Source,
    Family,
}

/// Families are left out in so many lots.
const LOTS: usize = 12;

/// Which mails are left out together. Those we made ourselves are never left out: they are not what
/// is measured, so they have no group.
fn groups(mails: &[Mail], by: By) -> Vec<Option<usize>> {
    let key = |line: &Line| match by {
        By::Source => Some(source(line)),
        By::Family => Some(line.family.clone()),
    };
    let keys: Vec<Option<String>> = mails
        .iter()
        .map(|it| if it.line.source == crate::generate::SOURCE { None } else { key(&it.line) })
        .collect();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for it in keys.iter().flatten() {
        known.insert(it, 0);
    }
    for (at, it) in known.values_mut().enumerate() {
        *it = match by {
            By::Source => at,
            By::Family => at % LOTS,
        };
    }
    keys.iter().map(|it| it.as_deref().map(|it| known[it])).collect()
}

/// Sources that share an author or a kind count as one.
fn source(line: &Line) -> String {
    let family = &line.family;
    let one = match line.source.as_str() {
        "project-synthetic-dev" if family.starts_with("syn2_") => "second grammar",
        "project-synthetic-dev" => "first grammar",
        it if it.contains("garak") || it.contains("Giskard") => "jailbreaks",
        it if it.starts_with("astral-sh") || it.starts_with("rust-lang") => "code",
        it if it.starts_with("sendgrid") || it.starts_with("tigrish") => "notifications",
        it => it,
    };
    one.to_owned()
}

/// The signals of every mail that has a group, from weights learnt without that group.
pub(crate) fn left_out(mails: &[Mail], by: By, seed: u64) -> Vec<LeftOut> {
    let groups = groups(mails, by);
    let count = groups.iter().flatten().max().map_or(0, |it| it + 1);
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
    let mut all: Vec<LeftOut> = thread::scope(|scope| {
        let work = || {
            let mut told = Vec::new();
            loop {
                let group = next.fetch_add(1, Ordering::Relaxed);
                if group >= count {
                    return told;
                }
                told.extend(one_left_out(mails, &groups, group, seed));
            }
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|it| it.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|it| it.mail);
    all
}

fn one_left_out(mails: &[Mail], groups: &[Option<usize>], group: usize, seed: u64) -> Vec<LeftOut> {
    let seen: Vec<&Mail> =
        mails.iter().zip(groups).filter(|it| *it.1 != Some(group)).map(|it| it.0).collect();
    let model = learn(&seen, seed);
    let unseen = mails.iter().enumerate().filter(|it| groups[it.0] == Some(group));
    unseen.map(|(at, mail)| signals(&model, at, mail)).collect()
}

fn signals(model: &Model, at: usize, mail: &Mail) -> LeftOut {
    let mut worst = Heard::default();
    let mut loudest = "";
    for passage in &mail.extract.passages {
        let heard = model.signals(&passage.features);
        if let Some(window) = heard.loudest.clone().filter(|_| heard.all.both > worst.all.both) {
            loudest = &passage.text[window];
        }
        worst = worst.worst(heard);
    }
    (worst.all.rules, worst.own.rules) = mail.extract.rules;
    let certain = mail.extract.certain;
    LeftOut { mail: at, heard: worst, certain, loudest: loudest.to_owned() }
}

pub(crate) fn detail(mails: &[Mail], it: &LeftOut) -> String {
    let line = &mails[it.mail].line;
    let kind = if line.is_attack() { "injection" } else { line.tier.as_deref().unwrap_or("") };
    let Heard { all, own, .. } = &it.heard;
    let told = all.both > own.both;
    let (family, certain) = (&line.family, it.certain);
    let source = source(line);
    format!(
        "{kind}\t{source}\t{family}\t{:.3?}\t{:.3?}\t{told}\t{certain:.2}\t{}\n",
        all.list(),
        own.list(),
        it.loudest
    )
}

pub(crate) fn told(mails: &[Mail], left_out: &[LeftOut]) -> Vec<Told> {
    let told = left_out.iter().map(|it| {
        let mail = &mails[it.mail];
        Told {
            signals: it.heard.all,
            attack: mail.line.is_attack(),
            mail: mail.line.is_mail(),
            weight: mail.weight,
        }
    });
    told.collect()
}
