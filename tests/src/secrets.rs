//! What the services and NATS know each other by, made as an operator makes it.

use std::{fs, path::Path};

use anyhow::Context as _;
use local_nats::Logins;

use crate::operate;

pub struct Secrets {
    pub nats: Logins,
    issuer_file: String,
    password_file: String,
    logins_password_file: String,
}

impl Secrets {
    pub async fn make(folder: &Path) -> anyhow::Result<Secrets> {
        let path = |name: &str| folder.join(name).display().to_string();
        let secrets = Secrets {
            issuer_file: path("issuer"),
            password_file: path("password"),
            logins_password_file: path("logins-password"),
            nats: Logins {
                issuer: operate(folder, &["nats", "issuer", &path("issuer")])
                    .await?
                    .trim()
                    .to_owned(),
                password: "of-the-services".to_owned(),
                logins_password: "of-the-gateway".to_owned(),
            },
        };
        for (file, secret) in [
            (&secrets.password_file, &secrets.nats.password),
            (&secrets.logins_password_file, &secrets.nats.logins_password),
        ] {
            fs::write(file, secret).with_context(|| format!("write {file}"))?;
        }
        Ok(secrets)
    }

    /// For the operator's commands.
    pub fn arguments(&self) -> [&str; 4] {
        ["--nats-user", "posthouse", "--nats-password-file", &self.password_file]
    }

    /// Of a service's configuration.
    pub(crate) fn lines(&self, service: &str) -> String {
        let Secrets { issuer_file, password_file, logins_password_file, .. } = self;
        let login =
            format!("nats_login = {{ user = 'posthouse', password_file = '{password_file}' }}\n");
        match service {
            "gateway" => format!(
                "{login}agent_logins = {{ issuer_file = '{issuer_file}', \
                 password_file = '{logins_password_file}' }}\n"
            ),
            _ => login,
        }
    }
}
