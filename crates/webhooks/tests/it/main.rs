//! Webhooks over HTTP, from events in a real stream and a real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod bench;
mod dead;
mod delivery;
mod guarded;
mod retries;
