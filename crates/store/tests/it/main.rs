//! The store on real databases: every test runs on SQLite and on PostgreSQL.

mod accounts;
mod brakes;
mod concurrency;
mod corpus;
mod domains;
mod emails;
mod findings;
mod fixture;
mod guards;
mod holds;
mod inboxes;
mod labels;
mod loops;
mod outbound;
mod outbox;
mod postgres;
mod purge;
mod reports;
mod resolutions;
mod rotation;
mod schema;
mod screening;
mod search;
mod standings;
mod suppressions;
mod threads;
