//! What tests do to the processes of a cluster: services by their names, `nats-1` and so on, and `postgres`.

use std::{ffi::OsString, fs, path::Path, path::PathBuf};

use anyhow::{Context as _, ensure};
use local_nats::LocalNats;
use rustix::process::Signal;

use crate::{Cluster, cluster::Member, memory_of, program::send};

impl Cluster {
    /// Everybody: the services, the nats-servers, and PostgreSQL if that is the database.
    pub fn victims(&self) -> Vec<String> {
        let mut names = self.names();
        names.extend((1..=1 + self.more_nats.len()).map(|n| format!("nats-{n}")));
        names.extend(self.postgres.iter().map(|_| "postgres".to_owned()));
        names
    }

    /// As `kill -9` does.
    pub async fn strike_down(&mut self, victim: &str) -> anyhow::Result<()> {
        if let Some(nats) = self.nats_server(victim) {
            return nats.kill().await;
        }
        match &mut self.postgres {
            Some(postgres) if victim == "postgres" => postgres.kill().await,
            _ => self.kill(victim).await,
        }
    }

    /// Starts it again where it was. A service that needs others may not be ready yet.
    pub async fn raise(&mut self, victim: &str) -> anyhow::Result<()> {
        if let Some(nats) = self.nats_server(victim) {
            return nats.restart().await;
        }
        match &mut self.postgres {
            Some(postgres) if victim == "postgres" => postgres.restart().await,
            _ => self.member(victim)?.program.restart(),
        }
    }

    /// SIGSTOP; connections stay, and nobody answers.
    pub fn freeze(&self, victim: &str) -> anyhow::Result<()> {
        self.signal(victim, Signal::STOP)
    }

    /// SIGCONT.
    pub fn thaw(&self, victim: &str) -> anyhow::Result<()> {
        self.signal(victim, Signal::CONT)
    }

    fn signal(&self, victim: &str, signal: Signal) -> anyhow::Result<()> {
        let processes = self.processes(victim);
        ensure!(!processes.is_empty(), "{victim} is down");
        let mut sent = processes.iter().map(|it| send(*it, signal));
        // The first is the server; its children come and go.
        sent.next().context("find the process")??;
        sent.for_each(drop);
        Ok(())
    }

    /// Its memory in octets, with that of its children.
    pub fn memory(&self, victim: &str) -> Option<u64> {
        memory_of(*self.processes(victim).first()?)
    }

    /// Sets a service's clock to so many seconds after ours, or before.
    pub fn set_clock(&self, service: &str, seconds: i64) -> anyhow::Result<()> {
        let file = self.clock_file(service);
        fs::write(&file, format!("{seconds:+}")).with_context(|| format!("set {}", file.display()))
    }

    /// What makes a service read its clock through libfaketime.
    pub(crate) fn clock(
        &self,
        library: &Path,
        service: &str,
    ) -> anyhow::Result<Vec<(String, OsString)>> {
        self.set_clock(service, 0)?;
        Ok(vec![
            ("LD_PRELOAD".to_owned(), library.into()),
            ("FAKETIME_TIMESTAMP_FILE".to_owned(), self.clock_file(service).into()),
            ("FAKETIME_CACHE_DURATION".to_owned(), "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".into()),
            ("NO_FAKE_STAT".to_owned(), "1".into()),
        ])
    }

    fn clock_file(&self, service: &str) -> PathBuf {
        self.folder().join(format!("{service}.clock"))
    }

    fn processes(&self, victim: &str) -> Vec<u32> {
        let one = match victim.strip_prefix("nats-").and_then(|it| it.parse::<usize>().ok()) {
            Some(1) => self.nats.process_id(),
            Some(n) => self.more_nats.get(n - 2).and_then(LocalNats::process_id),
            None if victim == "postgres" => {
                return self.postgres.as_ref().map(|it| it.processes()).unwrap_or_default();
            }
            None => self.members.get(victim).and_then(|it| it.program.process_id()),
        };
        one.into_iter().collect()
    }

    fn nats_server(&mut self, victim: &str) -> Option<&mut LocalNats> {
        match victim.strip_prefix("nats-")?.parse::<usize>().ok()? {
            1 => Some(&mut self.nats),
            n => self.more_nats.get_mut(n - 2),
        }
    }

    pub(crate) fn member(&mut self, name: &str) -> anyhow::Result<&mut Member> {
        self.members.get_mut(name).with_context(|| format!("find {name}"))
    }
}
