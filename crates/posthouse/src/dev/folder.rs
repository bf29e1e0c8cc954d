use std::{
    fs::{self, File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The folder of one `posthouse dev`, and nobody else's while this lives.
pub(crate) struct Folder {
    path: PathBuf,
    /// Released when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Takes the folder, or says who has it.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Folder> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("create the data folder {shown}"))?;
        let path = fs::canonicalize(path).with_context(|| format!("find the folder {shown}"))?;
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("lock"))
            .with_context(|| format!("open {shown}/lock"))?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                lock.read_to_string(&mut owner).with_context(|| format!("read {shown}/lock"))?;
                bail!(
                    "{} is in use by {}: stop it, or choose another folder (--data or \
                     POSTHOUSE_DEV_DATA)",
                    path.display(),
                    owner.trim(),
                );
            }
            Err(TryLockError::Error(err)) => {
                return Err(err).with_context(|| format!("lock {shown}/lock"));
            }
        }
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).context("read the clock")?;
        let owner = format!("process {} since {}\n", std::process::id(), now.format(&Rfc3339)?);
        lock.rewind()
            .and_then(|()| lock.set_len(0))
            .and_then(|()| lock.write_all(owner.as_bytes()))
            .with_context(|| format!("write {shown}/lock"))?;
        Ok(Folder { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Streams not yet worked off.
    pub(crate) fn nats(&self) -> PathBuf {
        self.path.join("nats")
    }

    /// What the services and NATS know each other by.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// Mail to domains that are not served here.
    pub(crate) fn captured(&self) -> PathBuf {
        self.path.join("captured")
    }

    pub(crate) fn database(&self) -> String {
        format!("sqlite:{}", self.path.join("posthouse.db").display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let dir = tempfile::tempdir().expect("create directory");
        let first = Folder::lock(dir.path()).expect("lock");
        let err = Folder::lock(dir.path()).err().expect("refuse").to_string();
        assert!(err.contains(&format!("process {} since 20", std::process::id())), "{err}");
        drop(first);
        Folder::lock(dir.path()).expect("lock again");
    }
}
