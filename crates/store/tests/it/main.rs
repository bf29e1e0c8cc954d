//! The store on real databases: every test runs on SQLite and on PostgreSQL.

mod accounts;
mod concurrency;
mod corpus;
mod domains;
mod emails;
mod fixture;
mod inboxes;
mod outbound;
mod outbox;
mod postgres;
mod purge;
mod reports;
mod schema;
mod search;
mod suppressions;
mod threads;
