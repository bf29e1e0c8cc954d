use std::process::ExitCode;

use anyhow::Context as _;
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
}

/// Sets up logs and signals, and runs to the end.
pub fn run_until_told<F>(name: &str, log: LogFormat, run: impl FnOnce(Process) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    start_log(log);
    let outcome = Runtime::new().context("start runtime").and_then(|runtime| {
        runtime.block_on(async {
            let process = Process::default();
            let told = cancel_on_signal(process.shutdown.clone())?;
            let outcome = run(process).await;
            told.abort();
            outcome
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!("{name} failed: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
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
