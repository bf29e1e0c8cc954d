//! The API over HTTP, on a real database and a real nats-server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod accounts;
mod bench;
mod console;
mod console_decisions;
mod console_mail;
mod domains;
mod emails;
mod events;
mod expectations;
mod holds;
mod inboxes;
mod lists;
mod logins;
mod mcp;
mod nats_api;
mod poll;
mod replies;
mod reputation;
mod resolve;
mod rotation;
mod send;
mod suppressions;
mod tokens;
mod transport;
mod uploads;
mod webhooks;
mod websocket;
mod work;
mod work_answers;
