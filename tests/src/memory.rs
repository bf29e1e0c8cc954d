//! How much memory a process has, with its children.

use std::fs;

/// Its proportional set size in octets, with that of its descendants; shared pages count once among those
/// who share them. `None` if it is gone or somebody else's.
pub fn memory_of(process: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|it| it.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    let children = children_of(process).into_iter().filter_map(memory_of).sum::<u64>();
    Some(kib * 1024 + children)
}

/// Those that any of its threads started.
pub(crate) fn children_of(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|it| it.split_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<u32>>())
        .collect()
}
