use std::path::PathBuf;

use serde::Deserialize;

/// How agents log in at NATS: with their tokens, which the gateway answers for. They do not unless
/// `issuer_file` and `password_file` are set.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AgentLogins {
    /// The seed of an account's NKey, which answers to NATS are signed with. NATS knows its public half.
    pub issuer_file: Option<PathBuf>,
    /// The password of the two users below.
    pub password_file: Option<PathBuf>,
    /// The user in the system account, who answers for logins and ends connections.
    pub system_user: String,
    /// The user in the account of agents, who answers their questions.
    pub agents_user: String,
    /// A connection lives for so many seconds at most; then the client connects anew.
    pub seconds: u32,
}

impl Default for AgentLogins {
    fn default() -> AgentLogins {
        AgentLogins {
            issuer_file: None,
            password_file: None,
            system_user: "posthouse-system".to_owned(),
            agents_user: "posthouse-agents".to_owned(),
            seconds: 24 * 60 * 60,
        }
    }
}

impl AgentLogins {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.issuer_file.is_some() != self.password_file.is_some() {
            return Err("agent_logins: issuer_file and password_file go together".to_owned());
        }
        if self.seconds < 60 {
            return Err(format!("agent_logins.seconds = {}: at least 60", self.seconds));
        }
        Ok(())
    }
}
