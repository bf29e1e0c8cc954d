use std::{fmt, str::FromStr};

/// A mailbox address, `local@domain` (RFC 5321 section 4.1.2). `Display` gives it as it was
/// written, the domain in lower-case A-labels; a quoted local part is unquoted where it need not be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    local: String,
    domain: String,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{address:?} is not an address: {why}")]
pub struct InvalidAddress {
    pub address: String,
    pub why: &'static str,
}

impl Address {
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Lower-case A-labels.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What decides which inbox an address means: the local part in lower case without dots and
    /// without what follows a "+", at the domain.
    pub fn canonical(&self) -> String {
        unimplemented!()
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(_text: &str) -> Result<Address, InvalidAddress> {
        unimplemented!()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}
