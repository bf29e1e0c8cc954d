//! An independent DKIM verifier: dkimpy, which `tests/run` installs in the user's cache.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::{SOON, cache, skip};

pub struct Dkimpy {
    python: PathBuf,
}

impl Dkimpy {
    /// `None`, with a word about it, where it is not installed.
    pub async fn find() -> anyhow::Result<Option<Dkimpy>> {
        let python = cache()?.join("venv/bin/python");
        let mut probe = Command::new(&python);
        probe.args(["-c", "import dkim, nacl, dns"]).stderr(Stdio::null());
        let is_there = probe.status().await.is_ok_and(|it| it.success());
        if !is_there {
            skip("dkimpy is not installed: tests/run does it");
        }
        Ok(is_there.then_some(Dkimpy { python }))
    }

    /// A line for each signature, with keys from this name server: domain, selector, algorithm, and
    /// "pass" or "fail".
    pub async fn verify(&self, dns: SocketAddr, content: &[u8]) -> anyhow::Result<Vec<String>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/verify-dkim.py");
        let mut child = Command::new(&self.python)
            .arg(script)
            .args([dns.ip().to_string(), dns.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start dkimpy")?;
        let mut stdin = child.stdin.take().context("open the input of dkimpy")?;
        stdin.write_all(content).await.context("write to dkimpy")?;
        drop(stdin);
        let output = timeout(SOON, child.wait_with_output()).await.context("wait for dkimpy")??;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dkimpy exited ({}): {errors}", output.status);
        let lines = String::from_utf8_lossy(&output.stdout);
        Ok(lines.lines().map(str::to_owned).collect())
    }
}
