use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::SOON;

/// A binary of this workspace. `tests/run` builds them; plain `cargo test` does not.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    // The test executable is in target/<profile>/deps, the programs are one level up.
    let test = env::current_exe().context("find the test executable")?;
    let path = test.ancestors().nth(2).context("find the target directory")?.join(name);
    ensure!(path.is_file(), "{} is missing: cargo build --bins, or tests/run", path.display());
    Ok(path)
}

pub(crate) fn send(process: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).context("read process id")?;
    kill_process(pid, signal).with_context(|| format!("signal process {process}"))
}

/// A program under test. What it prints goes to files; dropping it kills it.
pub struct Program {
    pub name: String,
    path: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    environment: Vec<(String, OsString)>,
    child: Option<Child>,
}

impl Program {
    /// Starts a binary of this workspace that keeps its output in `folder`.
    pub fn start(
        name: &str,
        path: PathBuf,
        arguments: Vec<String>,
        folder: &Path,
    ) -> anyhow::Result<Program> {
        Program::within(name, path, arguments, folder, Vec::new())
    }

    /// The same, with more in its environment.
    pub fn within(
        name: &str,
        path: PathBuf,
        arguments: Vec<String>,
        folder: &Path,
        environment: Vec<(String, OsString)>,
    ) -> anyhow::Result<Program> {
        let (name, folder) = (name.to_owned(), folder.to_owned());
        let mut program = Program { name, path, arguments, folder, environment, child: None };
        program.restart()?;
        Ok(program)
    }

    /// Starts it again with the same arguments.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let append = |name| File::options().create(true).append(true).open(name);
        let mut command = Command::new(&self.path);
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if ["POSTHOUSE_", "OTEL_"].iter().any(|it| name.starts_with(it)) {
                command.env_remove(&variable);
            }
        }
        let child = command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(append(self.output_path("out")).context("create output file")?)
            .stderr(append(self.output_path("log")).context("create log file")?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.path.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// As `kill -9` does.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} is down", self.name))?;
        child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Sends a signal and waits for the end.
    pub async fn signal(&mut self, signal: Signal) -> anyhow::Result<ExitStatus> {
        self.send(signal)?;
        self.wait().await
    }

    /// Sends a signal that it survives, such as SIGSTOP.
    pub fn send(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.process_id().with_context(|| format!("{} is down", self.name))?;
        send(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// `None` if it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// As an orchestrator stops it; what is asked so must end well.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        let status = self.signal(Signal::TERM).await?;
        ensure!(status.success(), "{} answered SIGTERM with {status}", self.name);
        Ok(())
    }

    /// Waits until it exits by itself.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().with_context(|| format!("{} is down", self.name))?;
        match timeout(SOON, child.wait()).await {
            Ok(status) => status.with_context(|| format!("wait for {}", self.name)),
            Err(_) => bail!("{} did not exit in {SOON:?}", self.name),
        }
    }

    /// Fails if it has exited by itself.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        let child = self.child.as_mut().with_context(|| format!("{} is down", self.name))?;
        match child.try_wait().context("ask for the exit status")? {
            None => Ok(()),
            Some(status) => bail!("{} exited ({status}): {}", self.name, self.log()),
        }
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// What it printed on stdout so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_path("out")).unwrap_or_default()
    }

    /// What it printed on stderr so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.output_path("log")).unwrap_or_default()
    }

    fn output_path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}
