//! Where NATS is, and how a process proves itself to it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_nats::ConnectOptions;
use serde::Deserialize;

/// How a process proves itself to NATS: a user with a password, an NKey, or a creds file; not at all
/// where the server asks nobody. It names files, and holds no secret itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// The user whose password is in `password_file`.
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    /// The seed of a user's NKey (`SU…`).
    pub nkey_file: Option<PathBuf>,
    /// A user's JWT with its seed, as `nsc` writes them.
    pub creds_file: Option<PathBuf>,
    /// Certificates in PEM that a server may prove itself with (`tls://`), beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Login {
    pub fn with_password(user: &str, file: &Path) -> Login {
        let (user, password_file) = (Some(user.to_owned()), Some(file.to_owned()));
        Login { user, password_file, ..Login::default() }
    }

    /// Says what contradicts itself.
    pub fn check(&self) -> Result<(), String> {
        if self.user.is_some() != self.password_file.is_some() {
            return Err("nats_login: user and password_file go together".to_owned());
        }
        let ways = [&self.password_file, &self.nkey_file, &self.creds_file];
        if ways.iter().filter(|it| it.is_some()).count() > 1 {
            return Err("nats_login: password_file, nkey_file, creds_file: keep one".to_owned());
        }
        Ok(())
    }

    pub(crate) async fn options(&self) -> anyhow::Result<ConnectOptions> {
        let mut options = ConnectOptions::new();
        if let Some(file) = &self.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let (Some(user), Some(file)) = (&self.user, &self.password_file) {
            return Ok(options.user_and_password(user.clone(), secret(file).await?));
        }
        if let Some(file) = &self.nkey_file {
            return Ok(options.nkey(secret(file).await?));
        }
        if let Some(file) = &self.creds_file {
            let read = options.credentials_file(file).await;
            return read.with_context(|| format!("read {}", file.display()));
        }
        Ok(options)
    }
}

async fn secret(file: &Path) -> anyhow::Result<String> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.with_context(|| format!("read {}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// A NATS server, or several separated by commas, and how to log in there.
#[derive(Clone, Debug)]
pub struct Server {
    pub url: String,
    pub login: Login,
}

impl Server {
    pub fn new(url: &str, login: &Login) -> Server {
        Server { url: url.to_owned(), login: login.clone() }
    }

    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.url.split(',').map(str::trim).collect()
    }
}

/// A server that asks nobody who they are.
impl From<&str> for Server {
    fn from(url: &str) -> Server {
        Server::new(url, &Login::default())
    }
}

impl From<&String> for Server {
    fn from(url: &String) -> Server {
        Server::from(url.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_way_to_log_in() {
        let file = || Some(PathBuf::from("/etc/posthouse/secret"));
        let user = || Some("posthouse".to_owned());
        for right in [
            Login::default(),
            Login::with_password("posthouse", Path::new("p")),
            Login { nkey_file: file(), ca_file: file(), ..Login::default() },
            Login { creds_file: file(), ..Login::default() },
        ] {
            assert_eq!(right.check(), Ok(()), "{right:?}");
        }
        for wrong in [
            Login { user: user(), ..Login::default() },
            Login { password_file: file(), ..Login::default() },
            Login { user: user(), nkey_file: file(), ..Login::default() },
            Login { nkey_file: file(), ..Login::with_password("posthouse", Path::new("p")) },
            Login { nkey_file: file(), creds_file: file(), ..Login::default() },
        ] {
            assert!(wrong.check().is_err_and(|it| it.starts_with("nats_login: ")), "{wrong:?}");
        }
    }
}
