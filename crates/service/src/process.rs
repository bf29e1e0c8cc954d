use std::{env, fmt, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{Health, LogFormat, Metrics, TraceExport, Traces, log::start_log, trace_export};

/// What a service shares with the process it runs in. Cloning shares it.
#[derive(Clone, Default)]
pub struct Process {
    /// Cancelled when the process is told to stop.
    pub shutdown: CancellationToken,
    pub health: Health,
    pub metrics: Metrics,
    pub traces: Traces,
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

/// Sets up logs, traces and signals, and runs to the end.
pub fn run_until_told<F>(
    name: &str,
    log: LogFormat,
    export: Option<TraceExport>,
    run: impl FnOnce(Process) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    start_log(log);
    raise_open_files();
    let outcome = run_traced(export, run);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) if err.is::<Stopped>() => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!("{name} failed: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is traced is exported from before the runtime begins until after it has ended.
fn run_traced<F>(export: Option<TraceExport>, run: impl FnOnce(Process) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut process = Process { executable: executable(), ..Process::default() };
    let exporting = match export {
        Some(export) => {
            let (exporting, traces) = trace_export::start(export, &process.metrics)?;
            process.traces = traces;
            Some(exporting)
        }
        None => None,
    };
    let outcome = Runtime::new().context("start runtime").and_then(|runtime| {
        runtime.block_on(async {
            let told = cancel_on_signal(process.shutdown.clone())?;
            let outcome = run(process).await;
            told.abort();
            outcome
        })
    });
    if let Some(exporting) = exporting {
        exporting.finish();
    }
    outcome
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
