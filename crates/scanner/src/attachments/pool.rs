//! Processes that read documents: started when they are needed, kept while they do well.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use documents::{Call, Extracted, MAX_ANSWER, Unreadable, answer_of, call};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Semaphore,
    time::timeout,
};

use super::EXTRACT;

/// A process that has read so many is replaced: what libraries leave behind adds up.
const MAX_READ: usize = 200;
/// How long a process that was killed may take to be gone.
const LAST: Duration = Duration::from_secs(5);

/// Why a document was not read.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    #[error("reading it took too long")]
    Slow,
    #[error("the process that read it died of it, or took more memory than it may")]
    Died,
    #[error("no process to read it could be started")]
    Unavailable,
}

pub(crate) struct Pool {
    program: Option<PathBuf>,
    /// As many as may read at once.
    places: Semaphore,
    idle: Mutex<Vec<Reader>>,
}

struct Reader {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    read: usize,
}

impl Pool {
    pub(crate) fn new(program: Option<PathBuf>, places: usize) -> Pool {
        Pool { program, places: Semaphore::new(places), idle: Mutex::default() }
    }

    /// Reads a document within a time that begins when a process is free to.
    pub(crate) async fn read(
        &self,
        what: &Call,
        octets: &[u8],
        budget: Duration,
    ) -> Result<Extracted, Failed> {
        let frames = call(what, octets).map_err(|_| Unreadable::TooLarge)?;
        let _place = self.places.acquire().await.map_err(|_| Failed::Unavailable)?;
        let mut reader = self.reader()?;
        match timeout(budget, reader.ask(&frames)).await {
            Ok(Some(answer)) => {
                if reader.read < MAX_READ {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
                } else {
                    reader.end().await;
                }
                Ok(answer?)
            }
            Ok(None) => {
                reader.end().await;
                Err(Failed::Died)
            }
            Err(_) => {
                reader.end().await;
                Err(Failed::Slow)
            }
        }
    }

    fn reader(&self) -> Result<Reader, Failed> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut reader) = idle.pop() {
            // One that died since is reaped by asking.
            if matches!(reader.child.try_wait(), Ok(None)) {
                return Ok(reader);
            }
        }
        drop(idle);
        let program = self.program.as_deref().ok_or(Failed::Unavailable)?;
        start(program).map_err(|err| {
            tracing::error!("cannot start {} to read documents: {err}", program.display());
            Failed::Unavailable
        })
    }
}

/// The process gets nothing of ours: neither secrets in the environment nor a place for its messages,
/// which may quote documents. When it is dropped, it is killed; when we are, its input ends. A Ctrl-C
/// that is meant for us does not reach it, so that we can finish what we have in hand.
fn start(program: &Path) -> std::io::Result<Reader> {
    let mut child = Command::new(program)
        .arg(EXTRACT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (input, output) = pipes.ok_or_else(|| std::io::Error::other("no pipes"))?;
    Ok(Reader { child, input, output, read: 0 })
}

impl Reader {
    /// `None` if the process died or spoke otherwise than agreed.
    async fn ask(&mut self, frames: &[u8]) -> Option<Result<Extracted, Unreadable>> {
        self.read += 1;
        self.input.write_all(frames).await.ok()?;
        self.input.flush().await.ok()?;
        let length = usize::try_from(self.output.read_u32().await.ok()?).ok()?;
        if length > MAX_ANSWER {
            return None;
        }
        let mut frame = vec![0; length];
        self.output.read_exact(&mut frame).await.ok()?;
        answer_of(&frame).ok()
    }

    /// Kills it and waits until it is gone, so that no zombie stays.
    async fn end(mut self) {
        if !matches!(timeout(LAST, self.child.kill()).await, Ok(Ok(()))) {
            tracing::warn!("a process that reads documents cannot be ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

    use documents::{Format, Limits};
    use tempfile::TempDir;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn what() -> Call {
        let limits = Limits::default();
        Call { format: Format::Text, limits, memory_bytes: 1 << 30, cpu_seconds: 10 }
    }

    /// A program that notes its process and then does as the script says.
    fn program(folder: &TempDir, script: &str) -> PathBuf {
        let path = folder.path().join("reader");
        let pids = folder.path().join("pids");
        fs::write(&path, format!("#!/bin/sh\necho $$ >> {}\n{script}\n", pids.display()))
            .expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permit");
        path
    }

    fn pids(folder: &TempDir) -> Vec<String> {
        let pids = fs::read_to_string(folder.path().join("pids")).unwrap_or_default();
        pids.lines().map(str::to_owned).collect()
    }

    async fn read(pool: &Pool, budget: Duration) -> Result<Extracted, Failed> {
        pool.read(&what(), b"text", budget).await
    }

    #[tokio::test]
    async fn what_hangs_is_ended_and_leaves_no_zombie() {
        let folder = TempDir::new().expect("folder");
        let pool = Pool::new(Some(program(&folder, "exec /bin/sleep 1000")), 1);
        // Long enough for it to start, so that there is something to end.
        let failed = read(&pool, Duration::from_secs(2)).await;
        assert!(matches!(failed, Err(Failed::Slow)), "{failed:?}");
        let pids = pids(&folder);
        assert_eq!(pids.len(), 1);
        assert!(!Path::new("/proc").join(&pids[0]).exists());
    }

    #[tokio::test]
    async fn what_dies_or_babbles_costs_one_document() {
        for script in
            ["exit 0", "kill -9 $$", "printf '\\377\\377\\377\\377'; exec /bin/cat > /dev/null"]
        {
            let folder = TempDir::new().expect("folder");
            let pool = Pool::new(Some(program(&folder, script)), 1);
            for _ in 0..2 {
                let failed = read(&pool, SOON).await;
                assert!(matches!(failed, Err(Failed::Died)), "{failed:?}: {script}");
            }
            let pids = pids(&folder);
            assert_eq!(pids.len(), 2, "started anew: {script}");
            assert!(pids.iter().all(|it| !Path::new("/proc").join(it).exists()), "{script}");
        }
    }

    /// `{"Ok":…}` is an answer whatever was asked.
    const ANSWERS: &str = "answer='{\"Ok\":{\"pieces\":[],\"gap\":null}}'\nwhile :; do \
                           printf '\\000\\000\\000\\037%s' \"$answer\"; /bin/sleep 0.05; done";

    #[tokio::test]
    async fn what_does_well_is_kept_and_ends_with_the_pool() {
        let folder = TempDir::new().expect("folder");
        let pool = Pool::new(Some(program(&folder, ANSWERS)), 1);
        for _ in 0..3 {
            assert_eq!(read(&pool, SOON).await.expect("read"), Extracted::default());
        }
        let pids = pids(&folder);
        assert_eq!(pids.len(), 1);
        drop(pool);
        let begun = Instant::now();
        while Path::new("/proc").join(&pids[0]).exists() {
            assert!(begun.elapsed() < SOON, "still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn no_more_run_at_once_than_there_are_places() {
        let folder = TempDir::new().expect("folder");
        let pool = Pool::new(Some(program(&folder, ANSWERS)), 2);
        let reads = (0..6).map(|_| read(&pool, SOON));
        for outcome in futures_util::future::join_all(reads).await {
            outcome.expect("read");
        }
        assert!(pids(&folder).len() <= 2, "{:?}", pids(&folder));
    }

    #[tokio::test]
    async fn without_a_program_nothing_is_read() {
        for program in [None, Some(PathBuf::from("/nowhere/to/be/found"))] {
            let failed = read(&Pool::new(program, 1), SOON).await;
            assert!(matches!(failed, Err(Failed::Unavailable)), "{failed:?}");
        }
    }
}
