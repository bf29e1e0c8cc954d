//! `posthouse dev` runs everything on one machine; the other commands are the operator's.

mod bounces;
mod dev;
mod limits;
mod mcp;
mod operator;
mod replay;

use std::{env, fmt::Display, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use service::{LogFormat, Process, TracesConfig};

#[derive(Parser)]
#[command(name = "posthouse", version, about = "Email for AI agents, on your own machines.")]
struct Arguments {
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in this one process, on SQLite and a nats-server of its own.
    Dev(dev::Options),
    /// Serve the tools for language models on standard input and output (Model Context Protocol).
    Mcp(mcp::Options),
    /// Judge stored mail anew by the present detectors, and show which verdicts would change.
    Replay(replay::Options),
    /// Read documents for the scanner, which starts this.
    #[command(name = scanner::EXTRACT, hide = true)]
    Extract,
    #[command(flatten)]
    Operate(operator::Command),
}

fn main() -> ExitCode {
    // SQL over TLS and STARTTLS share one crypto library. Refused only if it is installed already.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Arguments { json, command } = Arguments::parse();
    match command {
        Command::Dev(options) => run_traced("posthouse dev", |process| dev::run(options, process)),
        Command::Mcp(options) => mcp::serve(options),
        Command::Replay(options) => {
            service::run_until_told("posthouse replay", LogFormat::Human, None, |process| {
                replay::run(options, process)
            })
        }
        Command::Extract => scanner::extract(),
        Command::Operate(command) => operate(command, json),
    }
}

/// With traces, if the variables of OpenTelemetry say where they go.
fn run_traced<F>(name: &'static str, run: impl FnOnce(Process) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let service = name.replace(' ', "-");
    match TracesConfig::default().export(&service, |it| env::var(it).ok()) {
        Ok(export) => service::run_until_told(name, LogFormat::Human, export, run),
        Err(err) => {
            eprintln!("{name}: {err}");
            ExitCode::from(64)
        }
    }
}

fn operate(command: operator::Command, in_json: bool) -> ExitCode {
    let outcome = tokio::runtime::Runtime::new()
        .context("start runtime")
        .and_then(|runtime| runtime.block_on(operator::run(command)));
    match outcome {
        Ok(answer) => {
            print(answer.shown(in_json));
            if answer.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(err) => {
            if in_json {
                print(serde_json::json!({ "error": format!("{err:#}") }));
            }
            eprintln!("posthouse: {err:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a command was asked for; its log goes to stderr")]
fn print(result: impl Display) {
    println!("{result}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    /// Whatever can be run, with the words before it.
    fn leaves(command: &clap::Command, words: &str, found: &mut BTreeSet<String>) {
        let shown: Vec<_> = command.get_subcommands().filter(|it| !it.is_hide_set()).collect();
        if shown.is_empty() || command.is_args_conflicts_with_subcommands_set() {
            found.insert(words.to_owned());
        }
        for it in shown {
            leaves(it, &format!("{words} {}", it.get_name()), found);
        }
    }

    #[test]
    fn the_page_has_every_command_and_no_other() {
        let mut found = BTreeSet::new();
        leaves(&Arguments::command(), "posthouse", &mut found);
        let page = include_str!("../../../docs/commands.md");
        let rows = page.lines().filter_map(|it| it.strip_prefix("| `posthouse "));
        let told = rows.filter_map(|it| it.split('`').next()).map(|it| format!("posthouse {it}"));
        assert_eq!(told.collect::<BTreeSet<_>>(), found);
    }

    #[test]
    fn no_command_contradicts_itself() {
        Arguments::command().debug_assert();
    }
}
