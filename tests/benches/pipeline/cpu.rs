//! Processor time of the processes that this one started, with all that those started.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;

/// Linux tells processor time in hundredths of a second, whatever the kernel counts in (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Seconds by the name of the process that was started from here.
pub(crate) struct Cpu(BTreeMap<String, f64>);

struct Process {
    parent: u32,
    name: String,
    /// With that of its children that are over.
    seconds: f64,
}

impl Cpu {
    pub(crate) fn now() -> anyhow::Result<Cpu> {
        let processes = processes()?;
        let mut seconds = BTreeMap::new();
        for (pid, process) in &processes {
            if let Some(root) = started_here(&processes, *pid) {
                *seconds.entry(root).or_default() += process.seconds;
            }
        }
        Ok(Cpu(seconds))
    }

    /// What each has taken since, in seconds.
    pub(crate) fn since(&self, before: &Cpu) -> Vec<(String, f64)> {
        let taken = |(name, seconds): (&String, &f64)| {
            (name.clone(), seconds - before.0.get(name).copied().unwrap_or_default())
        };
        self.0.iter().map(taken).collect()
    }
}

/// The name of the child of this process that a process descends from, or is.
fn started_here(processes: &BTreeMap<u32, Process>, pid: u32) -> Option<String> {
    let mut process = processes.get(&pid)?;
    while process.parent != std::process::id() {
        process = processes.get(&process.parent)?;
    }
    Some(process.name.clone())
}

fn processes() -> anyhow::Result<BTreeMap<u32, Process>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("list processes")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else { continue };
        // It may be gone by now.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        found.extend(read(&stat).map(|it| (pid, it)));
    }
    Ok(found)
}

/// A line of /proc/<pid>/stat, see proc(5): the name is in parentheses, and may have some itself.
fn read(stat: &str) -> Option<Process> {
    let (head, fields) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = fields.get(11..15)?.iter().map(|it| it.parse::<f64>());
    let ticks: f64 = ticks.sum::<Result<f64, _>>().ok()?;
    let parent = fields.get(1)?.parse().ok()?;
    Some(Process { parent, name: name.to_owned(), seconds: ticks / TICKS })
}
