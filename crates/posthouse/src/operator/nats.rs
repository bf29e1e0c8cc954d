//! How the commands log in at NATS, and the key that agents' logins are signed with.

use std::path::PathBuf;

use anyhow::Context as _;
use bus::{Login, Server};
use clap::{Args, Subcommand};
use nats_login::Issuer;

use crate::dev::secrets;

/// How to log in at NATS, if it asks for it.
#[derive(Args, Clone, Debug)]
pub(crate) struct NatsLogin {
    /// The user whose password is in the file.
    #[arg(long, env = "POSTHOUSE_NATS_USER", requires = "nats_password_file")]
    nats_user: Option<String>,
    /// The file with the user's password.
    #[arg(long, env = "POSTHOUSE_NATS_PASSWORD_FILE")]
    nats_password_file: Option<PathBuf>,
    /// The file with the seed of a user's NKey.
    #[arg(long, env = "POSTHOUSE_NATS_NKEY_FILE")]
    nats_nkey_file: Option<PathBuf>,
    /// The file with a user's JWT and seed.
    #[arg(long, env = "POSTHOUSE_NATS_CREDS_FILE")]
    nats_creds_file: Option<PathBuf>,
    /// The file with certificates that the server may prove itself with.
    #[arg(long, env = "POSTHOUSE_NATS_CA_FILE")]
    nats_ca_file: Option<PathBuf>,
}

impl NatsLogin {
    pub(crate) fn server(&self, url: &str) -> anyhow::Result<Server> {
        let login = Login {
            user: self.nats_user.clone(),
            password_file: self.nats_password_file.clone(),
            nkey_file: self.nats_nkey_file.clone(),
            creds_file: self.nats_creds_file.clone(),
            ca_file: self.nats_ca_file.clone(),
        };
        login.check().map_err(anyhow::Error::msg)?;
        Ok(Server::new(url, &login))
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the key that the gateway signs agents' logins with, and print its public half, which NATS
    /// has to know.
    Issuer {
        /// Where to keep the key; nothing may be there yet.
        file: PathBuf,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<String> {
    let Command::Issuer { file } = command;
    let issuer = Issuer::generate();
    let written = secrets::write(file, &issuer.seed()?);
    written.with_context(|| format!("write {}", file.display()))?;
    Ok(issuer.public_key().to_owned())
}
