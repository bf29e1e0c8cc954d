//! What changes something: why, whether in earnest, and on record.

use std::{env, fs};

use anyhow::Context as _;
use clap::{Args, builder::NonEmptyStringValueParser};
use rustix::process::getuid;
use store::{OperatorAct, Store};

use super::answer::Answer;

/// So much of what a command said goes on record.
const MOST_DETAIL: usize = 2_000;

/// Of commands that take hold of what is somebody's.
#[derive(Args)]
pub(crate) struct Change {
    /// Why; it goes on record (`posthouse audit`).
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Of commands that set something up.
#[derive(Args)]
pub(crate) struct Setup {
    /// Why; it goes on record (`posthouse audit`).
    #[arg(long)]
    reason: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl From<Setup> for Change {
    fn from(setup: Setup) -> Change {
        Change { reason: setup.reason.unwrap_or_default(), dry_run: setup.dry_run }
    }
}

impl Change {
    pub(crate) fn new(reason: &str, dry_run: bool) -> Change {
        Change { reason: reason.to_owned(), dry_run }
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// Does it, and has on record who did what to what, and how it ended. The record is begun before
    /// anything is done: a command that is killed leaves "begun".
    pub(crate) async fn audited(
        &self,
        store: &Store,
        command: &str,
        target: &str,
        work: impl Future<Output = anyhow::Result<Answer>>,
    ) -> anyhow::Result<Answer> {
        let act = OperatorAct {
            who: who(),
            command: command.to_owned(),
            target: target.to_owned(),
            reason: self.reason.clone(),
            ..OperatorAct::default()
        };
        let id = store.writer.begin_act(&act).await.context("put the command on record")?;
        let done = work.await;
        let (outcome, detail) = match &done {
            Ok(answer) => ("done", answer.to_string()),
            Err(err) => ("failed", format!("{err:#}")),
        };
        let detail: String = detail.chars().take(MOST_DETAIL).collect();
        let ended = store.writer.end_act(&id, outcome, &detail).await;
        let ended = ended.context("put the end of the command on record");
        // What went wrong first is told first.
        let answer = done?;
        ended?;
        Ok(answer)
    }
}

/// "ann@bastion-1": the user of the operating system, not what a variable says, and the host.
pub(crate) fn who() -> String {
    let id = getuid();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = name(&passwd, id.as_raw()).unwrap_or_else(|| format!("uid {}", id.as_raw()));
    let user = match env::var("SUDO_USER") {
        Ok(sudo) if id.is_root() => format!("{user} (sudo by {sudo})"),
        _ => user,
    };
    let host = hostname::get().unwrap_or_default();
    format!("{user}@{}", host.to_string_lossy())
}

/// The user's name in the lines of passwd(5).
fn name(passwd: &str, id: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id.to_string()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_his_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:,,,:/home/ann:/bin/sh\nbad\n";
        assert_eq!(name(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name(passwd, 100), None, "that is a group");
    }
}
