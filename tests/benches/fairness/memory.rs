//! What the processes and files of a cluster take.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use e2e::Cluster;

/// Octets by what takes them.
pub(crate) struct Cost {
    octets: BTreeMap<String, u64>,
}

impl Cost {
    pub(crate) fn now(cluster: &Cluster) -> anyhow::Result<Cost> {
        let mut octets = BTreeMap::new();
        for (name, resident) in children()? {
            *octets.entry(format!("{name}, resident")).or_default() += resident;
        }
        let folder = cluster.folder();
        octets.insert("files of NATS".to_owned(), size(&folder.join("nats")));
        let database = ["posthouse.db", "posthouse.db-wal"].map(|it| size(&folder.join(it)));
        octets.insert("database".to_owned(), database.iter().sum());
        Ok(Cost { octets })
    }

    /// Beside what it was before.
    pub(crate) fn table(&self, before: &Cost, mails: usize) -> String {
        let mib = |octets: u64| octets as f64 / 1_048_576.0;
        let mut rows = vec![format!("| MiB | before | with {mails} mails |\n|---|---|---|")];
        for (name, octets) in &self.octets {
            let before = before.octets.get(name).copied().unwrap_or_default();
            rows.push(format!("| {name} | {:.0} | {:.0} |", mib(before), mib(*octets)));
        }
        rows.join("\n") + "\n"
    }
}

/// Names and resident octets of the processes that this one started.
fn children() -> anyhow::Result<Vec<(String, u64)>> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("list processes")?.flatten() {
        // A process may be gone by now, and not every entry is one.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name));
            line.map(|it| it.trim().to_owned())
        };
        if field("PPid:").as_deref() != Some(&*own) {
            continue;
        }
        let kib = field("VmRSS:").and_then(|it| it.split(' ').next()?.parse::<u64>().ok());
        found.push((field("Name:").unwrap_or_default(), kib.unwrap_or_default() * 1_024));
    }
    Ok(found)
}

fn size(path: &Path) -> u64 {
    if path.is_file() {
        return fs::metadata(path).map_or(0, |it| it.len());
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|it| size(&it.path())).sum()
}
