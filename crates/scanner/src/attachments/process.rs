//! The process that reads documents: this same program, called with one word.

use std::{
    fs::{File, OpenOptions},
    io,
    process::ExitCode,
    time::Duration,
};

use documents::Call;
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    stdio::dup2_stdout,
    time::{ClockId, clock_gettime},
};

/// The argument that makes a program of ours read documents.
pub const EXTRACT: &str = "extract";

/// Open files it may have. It opens none.
const MAX_FILES: u64 = 16;

/// Reads documents from the standard input until it ends.
pub fn extract() -> ExitCode {
    match answers()
        .and_then(|output| documents::serve(io::stdin(), output, limit).map_err(io::Error::other))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The standard output, which is then put out of reach of libraries that print.
fn answers() -> io::Result<File> {
    let output = rustix::io::dup(io::stdout())?;
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stdout(&nowhere)?;
    Ok(File::from(output))
}

/// Beyond these the kernel ends the process, or refuses it memory, of which it dies.
fn limit(call: &Call) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = Duration::new(used.tv_sec.unsigned_abs(), 0).as_secs();
    for (resource, most) in [
        (Resource::As, call.memory_bytes),
        (Resource::Cpu, used + call.cpu_seconds + 1),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, MAX_FILES),
    ] {
        let maximum = getrlimit(resource).maximum;
        let most = maximum.map_or(most, |it| it.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum })?;
    }
    Ok(())
}
