//! What those see who run the service: how the stages get on, what was parked, which accounts there are.
//! None of it is anybody's mail.

use std::time::Instant;

use bus::{Parked, Standing};
use maud::{Markup, html};

use super::{
    failure::Failure,
    html::{badge, bar, live, more, nothing, page},
    session::Operator,
    text::{line, moment, octets},
};
use crate::{params::Params, problem::Problem};

/// Parked messages that are shown.
const MOST_PARKED: usize = 25;

/// Accounts on a page.
const MOST_ACCOUNTS: i64 = 50;

/// What each stage does, for who does not know its name.
const TASKS: [(&str, &str); 12] = [
    ("scanner", "reads what comes in"),
    ("storage", "stores it"),
    ("rejudger", "takes new verdicts over"),
    ("reviewer", "carries out decisions"),
    ("submission-scanner", "reads what agents send"),
    ("ledger", "enters it"),
    ("router", "attempts it"),
    ("deliverer", "attempts it again, and by domain"),
    ("reporter", "notes what came of it"),
    ("resolver", "settles unknown outcomes"),
    ("webhook-waker", "finds endpoints for events"),
    ("webhook-caller", "calls them"),
];

pub(super) async fn pipeline(Operator(session): Operator) -> Result<Markup, Failure> {
    let console = &session.console;
    let standings = console.bus.pipeline().await.map_err(away)?;
    let (parked, _) = console.bus.parked(0).await.map_err(away)?;
    let rates = console.gauge.rates(&standings, Instant::now());
    let waiting: u64 = standings.iter().map(|it| it.waiting).sum();
    let most = standings.iter().map(|it| it.waiting).max().unwrap_or_default();
    let body = html! {
        h1 { "Pipeline" }
        div data-live="3" {
            p.lead {
                (waiting) " waiting in all, "
                a href="/console/dead" { (parked) " parked" } "."
            }
            div.scroll tabindex="0" role="group" aria-label="Stages" {
                table.stages {
                    thead {
                        tr {
                            th scope="col" { "Stage" } th scope="col" { "State" }
                            th.number scope="col" { "Waiting" } th scope="col" { span.hidden { "Share" } }
                            th.number scope="col" { "In hand" } th.number scope="col" { "Again" }
                            th.number scope="col" { "Done a second" }
                        }
                    }
                    tbody { @for (it, rate) in standings.iter().zip(rates) { (stage(it, rate, most)) } }
                }
            }
        }
        p.quiet {
            "Counted are messages on NATS; at busy times one carries many mails. What is done a second is taken \
             over the last minute that somebody looked. Waiting mail waits safely."
        }
    };
    Ok(live(&session, "Pipeline", body))
}

fn stage(it: &Standing, rate: Option<f64>, most: u64) -> Markup {
    let task = TASKS.iter().find(|(name, _)| *name == it.durable).map_or("", |it| it.1);
    let share = if most == 0 { 0.0 } else { it.waiting as f64 * 100.0 / most as f64 };
    html! {
        tr {
            th scope="row" { (it.durable) br; span.quiet { (task) } }
            td { (state(it)) }
            td.number { (it.waiting) }
            td.share { (bar("calm", share)) }
            td.number { (it.in_hand) }
            td.number { (it.again) }
            td.number { @if let Some(rate) = rate { (format!("{rate:.1}")) } @else { "–" } }
        }
    }
}

fn state(it: &Standing) -> Markup {
    match (it.is_paused, it.pulls + it.in_hand) {
        (true, _) => badge("warn", "suspended"),
        (false, 0) => badge("bad", "nobody there"),
        (false, _) if it.in_hand == 0 => badge("calm", "idle"),
        (false, _) => badge("good", "at work"),
    }
}

pub(super) async fn dead(Operator(session): Operator) -> Result<Markup, Failure> {
    let (count, parked) = session.console.bus.parked(MOST_PARKED).await.map_err(away)?;
    let body = html! {
        h1 { "Dead letters" }
        p.quiet {
            "Messages that no retry could help, newest first. They are kept for thirty days. "
            "Look into them and put them back with the commands " code { "posthouse dead" } "."
        }
        @if parked.is_empty() { (nothing("Nothing is parked.")) }
        ul.rows { @for it in &parked { li { (letter(it)) } } }
        @if count > parked.len() as u64 { p.quiet { "Of " (count) " in all." } }
    };
    Ok(page(&session, "Dead letters", body))
}

fn letter(it: &Parked) -> Markup {
    html! {
        div.row {
            span.main {
                strong { (line(&it.durable)) span.quiet { " from " (line(&it.subject)) } }
                code { (line(&it.failure)) }
            }
            span.side {
                span { "No. " (it.sequence) ", " (octets(it.size_bytes as u64)) }
                (moment(&store::rfc3339(it.parked_at_micros)))
            }
        }
    }
}

pub(super) async fn accounts(
    Operator(session): Operator,
    params: Params,
) -> Result<Markup, Failure> {
    let cursor = params.text("cursor");
    let found = session.console.reader.accounts(MOST_ACCOUNTS, cursor.as_deref()).await?;
    let body = html! {
        h1 { "Accounts" }
        p.quiet { "How much they have, not what: an operator’s token opens nobody’s mail." }
        @if found.items.is_empty() { (nothing("There is no account yet.")) }
        ul.rows {
            @for it in &found.items {
                li {
                    div.row {
                        span.main {
                            strong { (line(&it.id)) }
                            span.quiet { "Active " (moment(&store::rfc3339(it.last_active_at))) }
                        }
                        span.side {
                            span.count { (it.inboxes) @if it.inboxes == 1 { " inbox" } @else { " inboxes" } ", tier " (it.tier) }
                            @if it.warned > 0 { (badge("warn", &format!("{} warned", it.warned))) }
                            @if it.stopped > 0 { (badge("bad", &format!("{} stopped", it.stopped))) }
                        }
                    }
                }
            }
        }
        (more("/console/accounts", found.cursor.as_deref()))
    };
    Ok(page(&session, "Accounts", body))
}

fn away(err: anyhow::Error) -> Problem {
    Problem::unavailable("NATS does not answer now. Load the page again.").caused_by(err)
}

#[cfg(test)]
mod tests {
    use contract::topology::CONSUMERS;

    use super::*;

    #[test]
    fn every_stage_is_explained() {
        let named: Vec<&str> = TASKS.iter().map(|it| it.0).collect();
        let there: Vec<&str> = CONSUMERS.iter().map(|it| it.durable).collect();
        assert_eq!(named, there);
    }
}
