//! Trains the model of the crate `injection`, and measures it.
//!
//! `trainer eval <files>` measures what is built in. `trainer leave-out` measures what the way of
//! training is worth on sources and families it never saw. `trainer train` writes the model; the same
//! data, seed and build give the same octets.

mod disguise;
mod folds;
mod fuse;
mod generate;
mod grammar;
mod learn;
mod lines;
mod report;
mod times;
mod trees;

use std::{
    collections::HashMap,
    io::Write as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use injection::{Assessor, Extractor, Model, Signals, TOLD};

use folds::{By, LeftOut};
use learn::Mail;
use lines::Line;
use report::Scored;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Scores the mails of files with the model that is built in.
    Eval {
        files: Vec<PathBuf>,
        /// Where the assessment of each mail goes, so that two builds can be compared.
        #[arg(long)]
        assessments: Option<PathBuf>,
    },
    /// Scores each mail by weights that saw nothing of its source or family.
    LeaveOut {
        files: Vec<PathBuf>,
        #[arg(long, value_enum)]
        by: By,
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        /// How many mails of our own making are learnt from as well.
        #[arg(long, default_value_t = GENERATED)]
        generated: usize,
        /// Where the signals of each mail and its loudest window go, for a closer look.
        #[arg(long)]
        details: Option<PathBuf>,
    },
    /// Writes the model.
    Train {
        files: Vec<PathBuf>,
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        #[arg(long, default_value_t = GENERATED)]
        generated: usize,
    },
    /// Shows mails of our own making.
    Generate {
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        count: usize,
    },
}

const SEED: u64 = 20_261_124;
const GENERATED: usize = 26_000;
const MAX_FAMILY: usize = 1200;
/// A look-alike counts less than a mail: they are many, and nobody gets as many.
const LOOK_ALIKE: f32 = 0.6;

fn main() -> anyhow::Result<()> {
    let told = match Arguments::parse().command {
        Command::Eval { files, assessments } => eval(&files, assessments.as_deref())?,
        Command::LeaveOut { files, by, seed, generated, details } => {
            leave_out(&mails(&files, seed, generated)?, by, seed, details.as_deref())?
        }
        Command::Train { files, out, seed, generated } => train(&files, &out, seed, generated)?,
        Command::Generate { seed, count } => {
            generate::generate(seed, count).iter().map(|it| format!("{it:?}\n")).collect()
        }
    };
    std::io::stdout().write_all(told.as_bytes()).context("write")
}

fn eval(files: &[PathBuf], assessments: Option<&Path>) -> anyhow::Result<String> {
    let mut told = String::new();
    let mut all = String::new();
    let assessor = Assessor::new();
    for file in files {
        let lines = lines::read(file)?;
        let mut scored = Vec::new();
        let mut spent = Vec::new();
        for line in &lines {
            let content = line.content()?;
            let (assessment, time) = times::assess(&assessor, &content);
            spent.push(time);
            all += &format!("{assessment:?}\n");
            scored.push(Scored { line, score: assessment.score });
        }
        told += &format!("{}\n", file.display());
        told += &report::report(&scored, &[0.5, 0.8, 0.95]);
        told += &format!("mails as they are: {}\n", times::told(&mut spent));
        told += &times::by_size(&assessor, &lines)?;
    }
    if let Some(path) = assessments {
        std::fs::write(path, all).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(told)
}

fn leave_out(mails: &[Mail], by: By, seed: u64, details: Option<&Path>) -> anyhow::Result<String> {
    let left_out = LeftOutMails::of(mails, by, seed);
    if let Some(path) = details {
        let lines: String = left_out.told.iter().map(|it| folds::detail(mails, it)).collect();
        std::fs::write(path, lines).with_context(|| format!("write {}", path.display()))?;
    }
    let mut told = left_out.report(mails, by, |it| left_out.sum(it));
    for only in 0..injection::SIGNALS {
        let figures = left_out.report(mails, by, |it| it.heard.all.list()[only]);
        told += &format!("signal {only} alone:\n");
        told += &figures.lines().skip(1).take(3).map(|it| format!("  {it}\n")).collect::<String>();
    }
    Ok(told)
}

fn train(files: &[PathBuf], out: &Path, seed: u64, generated: usize) -> anyhow::Result<String> {
    let mails = mails(files, seed, generated)?;
    // Whole sources are held out, so that a threshold stands for mail from elsewhere.
    let left_out = LeftOutMails::of(&mails, By::Source, seed);
    let told = left_out.report(&mails, By::Source, |it| left_out.sum(it));
    let all: Vec<&Mail> = mails.iter().collect();
    let LeftOutMails { fusion, curve, .. } = left_out;
    let octets = Model { fusion, curve, ..learn::learn(&all, seed) }.to_bytes();
    std::fs::write(out, &octets).with_context(|| format!("write {}", out.display()))?;
    Ok(format!("{told}{} octets written\n", octets.len()))
}

/// What mails tell to weights that saw nothing of their kind, and how that is best added up.
struct LeftOutMails {
    told: Vec<LeftOut>,
    fusion: [f32; injection::SIGNALS],
    curve: Vec<(f32, f32)>,
}

impl LeftOutMails {
    fn of(mails: &[Mail], by: By, seed: u64) -> LeftOutMails {
        let told = folds::left_out(mails, by, seed);
        let labelled = folds::told(mails, &told);
        let fusion = fuse::fusion(&labelled);
        let curve = fuse::curve(&labelled, &fusion);
        LeftOutMails { told, fusion, curve }
    }

    /// What is said of a mail adds up to this: as in the assessor, talk about attacks has a bound and
    /// hard marks set a score.
    fn sum(&self, it: &LeftOut) -> f32 {
        let sum = |it: &Signals| fuse::sum(&it.list(), &self.fusion);
        let heard = sum(&it.heard.own).max(sum(&it.heard.all).min(fuse::sum_of(&self.curve, TOLD)));
        heard.max(if it.certain > 0.0 { fuse::sum_of(&self.curve, it.certain) } else { f32::MIN })
    }

    fn report(&self, mails: &[Mail], by: By, score: impl Fn(&LeftOut) -> f32) -> String {
        let scored = self
            .told
            .iter()
            .map(|it| Scored { line: &mails[it.mail].line, score: f64::from(score(it)) });
        let report = report::report(&scored.collect::<Vec<_>>(), &[]);
        let LeftOutMails { fusion, curve, .. } = self;
        format!("left out by {by:?}; fusion {fusion:?}; curve {curve:?}\n{report}")
    }
}

/// The mails of files and those of our own making, read as the scanner reads them.
fn mails(files: &[PathBuf], seed: u64, generated: usize) -> anyhow::Result<Vec<Mail>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(lines::read(file)?);
    }
    all.extend(generate::generate(seed, generated));
    let all = capped(all, seed);
    let mut sizes: HashMap<(u8, String), usize> = HashMap::new();
    for it in &all {
        *sizes.entry((it.label, it.family.clone())).or_default() += 1;
    }
    // Many of one family say less than as many of several.
    let weigh = |it: &Line| {
        let own = if it.is_attack() || it.is_mail() { 1.0 } else { LOOK_ALIKE };
        own / (sizes[&(it.label, it.family.clone())] as f32).sqrt()
    };
    let weighed: Vec<(Line, f32)> = all
        .into_iter()
        .map(|it| {
            let weight = weigh(&it);
            (it, weight)
        })
        .collect();
    extracted(weighed)
}

/// No family counts more than so many mails: more of the same teach nothing.
fn capped(mut lines: Vec<Line>, seed: u64) -> Vec<Line> {
    fastrand::Rng::with_seed(seed).shuffle(&mut lines);
    let mut sizes: HashMap<(u8, String), usize> = HashMap::new();
    lines.retain(|it| {
        let size = sizes.entry((it.label, it.family.clone())).or_default();
        *size += 1;
        *size <= MAX_FAMILY
    });
    lines
}

fn extracted(lines: Vec<(Line, f32)>) -> anyhow::Result<Vec<Mail>> {
    let extractor = Extractor::new();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let lot = lines.len().div_ceil(workers).max(1);
    let extractor = &extractor;
    let read = |lines: Vec<(Line, f32)>| -> anyhow::Result<Vec<Mail>> {
        let read = lines.into_iter().map(|(line, weight)| {
            let extract = extractor.extract(&lines::sample(&line.content()?));
            Ok(Mail { line, extract, weight })
        });
        read.collect()
    };
    let mut rest = lines;
    let mut lots = Vec::new();
    while !rest.is_empty() {
        let after = rest.split_off(lot.min(rest.len()));
        lots.push(std::mem::replace(&mut rest, after));
    }
    thread::scope(|scope| {
        let handles: Vec<_> = lots.into_iter().map(|it| scope.spawn(move || read(it))).collect();
        let mut mails = Vec::new();
        for it in handles {
            mails.extend(it.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??);
        }
        Ok(mails)
    })
}
