//! What the services and NATS know each other by: made at the first start, and kept in the data folder,
//! where only its owner can read it.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bus::Login;
use gateway::{AgentLogins, token};
use nats_login::Issuer;

use crate::dev::folder::Folder;

/// As `deploy/nats/accounts.conf` calls it.
const USER: &str = "posthouse";

pub(crate) struct Secrets {
    folder: PathBuf,
    pub(crate) nats: local_nats::Logins,
}

impl Secrets {
    pub(crate) fn open(folder: &Folder) -> anyhow::Result<Secrets> {
        let folder = folder.secrets();
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&folder).with_context(|| format!("create {}", folder.display()))?;
        let seed = keep(&issuer(&folder), || Ok(Issuer::generate().seed()?))?;
        let random = || Ok(token::random()?);
        let nats = local_nats::Logins {
            issuer: Issuer::from_seed(&seed)?.public_key().to_owned(),
            password: keep(&password(&folder), random)?,
            logins_password: keep(&logins_password(&folder), random)?,
        };
        Ok(Secrets { folder, nats })
    }

    /// Of every service.
    pub(crate) fn login(&self) -> Login {
        Login::with_password(USER, &password(&self.folder))
    }

    /// Of the gateway, besides.
    pub(crate) fn agent_logins(&self) -> AgentLogins {
        AgentLogins {
            issuer_file: Some(issuer(&self.folder)),
            password_file: Some(logins_password(&self.folder)),
            ..AgentLogins::default()
        }
    }
}

fn issuer(folder: &Path) -> PathBuf {
    folder.join("nats-issuer")
}

fn password(folder: &Path) -> PathBuf {
    folder.join("nats-password")
}

fn logins_password(folder: &Path) -> PathBuf {
    folder.join("nats-logins-password")
}

/// What the file says; a new secret, which it says from now on, if there is no such file.
fn keep(path: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    let shown = path.display();
    match fs::read_to_string(path) {
        Ok(secret) => Ok(secret.trim().to_owned()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let secret = make().with_context(|| format!("make what {shown} keeps"))?;
            write(path, &secret).with_context(|| format!("write {shown}"))?;
            Ok(secret)
        }
        Err(err) => Err(err).with_context(|| format!("read {shown}")),
    }
}

/// For the owner's eyes only. A file that is there already is not touched.
pub(crate) fn write(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_kept_and_nobody_elses() {
        let dir = tempfile::tempdir().expect("create directory");
        let folder = Folder::lock(dir.path()).expect("lock");
        let first = Secrets::open(&folder).expect("make");
        let again = Secrets::open(&folder).expect("read");
        assert_eq!(first.nats.issuer, again.nats.issuer);
        assert_eq!(first.nats.password, again.nats.password);
        assert_ne!(first.nats.password, first.nats.logins_password);
        let files: Vec<_> = fs::read_dir(folder.secrets()).expect("list").flatten().collect();
        assert_eq!(files.len(), 3);
        for file in files {
            let mode = file.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
        }
    }
}
