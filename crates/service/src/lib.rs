//! The shell of a process: configuration, logs, signals, health, metrics, exit code.
//!
//! A service's library sees only `Process`, which it is handed; what touches the process as a whole
//! (environment, arguments, signals, log output) is done by `main` alone.

mod admin;
mod config;
mod health;
mod log;
mod metrics;
mod probe;
mod process;
mod trace_config;
mod trace_export;
mod traces;

use std::{env, fmt::Display, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use serde::de::DeserializeOwned;

pub use crate::{
    admin::{listen, serve_admin},
    config::read,
    health::Health,
    log::LogFormat,
    metrics::Metrics,
    process::{Process, Stopped, run_until_told},
    trace_config::{TraceExport, TracesConfig},
    traces::{Step, Traces, current_trace, mail_span},
};

/// What every service's configuration has.
pub trait Configuration: DeserializeOwned + Send + 'static {
    /// Where /healthz, /readyz and /metrics are served; nowhere if `None`.
    fn admin(&self) -> Option<SocketAddr>;

    fn log(&self) -> LogFormat;

    fn traces(&self) -> &TracesConfig;

    /// How far this process steps back for others on its machine, as nice(2) counts it: 0 to 19.
    fn nice(&self) -> u8 {
        0
    }

    /// Says what is contradictory or impossible, with the key, the value and the way out.
    fn check(&self) -> Result<(), String>;
}

#[derive(Parser)]
struct Arguments {
    /// The configuration file, in TOML; without it, defaults and the environment apply.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Validate the configuration and exit.
    #[arg(long)]
    check: bool,
    /// Ask the process that runs with this configuration whether it is ready, and exit with 1 if not.
    #[arg(long, conflicts_with = "check")]
    ready: bool,
}

/// The exit code for a wrong configuration, sysexits' EX_USAGE.
const EXIT_CONFIG: u8 = 64;

/// Runs a service until it fails or is told to stop. `name` is the binary's, such as
/// "posthouse-intake"; the environment's keys begin with it.
pub fn main<C, F>(name: &'static str, run: impl FnOnce(C, Process) -> F) -> ExitCode
where
    C: Configuration,
    F: Future<Output = anyhow::Result<()>>,
{
    let arguments = Arguments::parse_from_named(name);
    let config = match read::<C>(name, arguments.config.as_deref()) {
        Ok(config) => config,
        Err(err) => return refuse(name, format!("{err:#}")),
    };
    if let Err(err) = config.check() {
        return refuse(name, err);
    }
    let export = match config.traces().export(name, |it| env::var(it).ok()) {
        Ok(export) => export,
        Err(err) => return refuse(name, err),
    };
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    let admin = config.admin();
    if arguments.ready {
        return probe(name, admin);
    }
    // Before there are other threads: on Linux each has a priority of its own, and inherits it.
    if config.nice() > 0
        && let Err(err) = rustix::process::nice(config.nice().into())
    {
        eprintln!("{name}: nice = {}: {err}; goes on without", config.nice());
    }
    run_until_told(name, config.log(), export, |process| async move {
        if let Some(address) = admin {
            serve_admin(address, &process).await?;
        }
        run(config, process).await
    })
}

impl Arguments {
    /// `--help` and `--version` show the service's name, not that of whatever ran it.
    fn parse_from_named(name: &'static str) -> Arguments {
        use clap::{CommandFactory as _, FromArgMatches as _};
        let matches =
            Arguments::command().name(name).version(env!("CARGO_PKG_VERSION")).get_matches();
        Arguments::from_arg_matches(&matches).unwrap_or_else(|err| err.exit())
    }
}

fn probe(name: &str, admin: Option<SocketAddr>) -> ExitCode {
    let Some(admin) = admin else {
        return refuse(name, "--ready asks at `admin`, which is not set");
    };
    match probe::ask(admin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{name}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(name: &str, why: impl Display) -> ExitCode {
    eprintln!("{name}: {why}");
    ExitCode::from(EXIT_CONFIG)
}
