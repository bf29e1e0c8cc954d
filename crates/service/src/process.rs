use std::{env, fmt, io::IsTerminal as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{Health, LogFormat, Metrics};

/// What a service shares with the process it runs in. Cloning shares it.
#[derive(Clone, Default)]
pub struct Process {
    /// Cancelled when the process is told to stop.
    pub shutdown: CancellationToken,
    pub health: Health,
    pub metrics: Metrics,
    /// What to start to have a process of this same program; `None` where nobody said, as in tests.
    pub executable: Option<PathBuf>,
}

/// The process was told to stop before it had begun to work, which is no failure.
#[derive(Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("told to stop")
    }
}

impl std::error::Error for Stopped {}

/// Sets up logs and signals, and runs to the end.
pub fn run_until_told<F>(name: &str, log: LogFormat, run: impl FnOnce(Process) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    start_log(log);
    raise_open_files();
    let outcome = Runtime::new().context("start runtime").and_then(|runtime| {
        runtime.block_on(async {
            let process = Process { executable: executable(), ..Process::default() };
            let told = cancel_on_signal(process.shutdown.clone())?;
            let outcome = run(process).await;
            told.abort();
            outcome
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) if err.is::<Stopped>() => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!("{name} failed: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// Shells and service managers allow few open files where a server holds thousands of connections;
/// up to the hard limit that is ours to change.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(err) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(current = limit.current, "cannot raise the limit of open files: {err}");
    }
}

/// On Linux by a name that stays right when the file is replaced by a newer one.
fn executable() -> Option<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Some(own) } else { env::current_exe().ok() }
}

fn start_log(format: LogFormat) {
    // Of connections that come and go, `bus` tells as much as an operator needs; of each request of a model,
    // `rmcp` would tell several lines.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn,rmcp=error"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        shutdown.cancel();
    }))
}
