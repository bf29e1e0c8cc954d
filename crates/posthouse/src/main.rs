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
    match Arguments::parse().command {
        Command::Dev(options) => run_traced("posthouse dev", |process| dev::run(options, process)),
        Command::Mcp(options) => mcp::serve(options),
        Command::Replay(options) => {
            service::run_until_told("posthouse replay", LogFormat::Human, None, |process| {
                replay::run(options, process)
            })
        }
        Command::Extract => scanner::extract(),
        Command::Operate(command) => operate(command),
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

fn operate(command: operator::Command) -> ExitCode {
    let outcome = tokio::runtime::Runtime::new()
        .context("start runtime")
        .and_then(|runtime| runtime.block_on(operator::run(command)));
    match outcome {
        Ok(result) => {
            print(result);
            ExitCode::SUCCESS
        }
        Err(err) => {
            eprintln!("posthouse: {err:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a command was asked for; its log goes to stderr")]
fn print(result: impl Display) {
    println!("{result}");
}
