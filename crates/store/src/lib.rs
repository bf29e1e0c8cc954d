//! The database: accounts, inboxes, mail, threads and the ledger of what was asked to be sent.
//!
//! One `Reader` and one `Writer` over SQLite and PostgreSQL, chosen by URL. Nothing here knows NATS
//! or HTTP. Every reading function that takes an account sees that account's rows only.

mod model;
mod reader;
mod writer;

use contract::Email;

pub use crate::{model::*, reader::Reader, writer::Writer};

/// A connected database whose schema is current.
#[derive(Clone)]
pub struct Store {
    pub reader: Reader,
    pub writer: Writer,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("database URL {0:?} begins with neither sqlite: nor postgres:")]
    Url(String),
    #[error("connect to the database {url}")]
    Connect {
        url: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the database schema is not current: posthouse-storage or `posthouse migrate` brings it up to date"
    )]
    SchemaNotCurrent,
    #[error("migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("{action}")]
    Query {
        action: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("{what} in the database cannot be read")]
    Corrupt { what: &'static str },
    #[error("the cursor {0:?} is not one that this service gave out")]
    Cursor(String),
}

impl Error {
    /// Trying again later may work: the database is away, busy, or lost a race.
    pub fn is_transient(&self) -> bool {
        unimplemented!()
    }
}

/// Brings the schema up to date. Safe to call from several processes at once.
pub async fn migrate(_url: &str) -> Result<(), Error> {
    unimplemented!()
}

impl Store {
    /// Connects, and checks that the schema is current.
    pub async fn open(_url: &str) -> Result<Store, Error> {
        unimplemented!()
    }
}

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Opaque; `None` at the end.
    pub cursor: Option<String>,
}

pub type Emails = Page<Email>;
