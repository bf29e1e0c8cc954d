//! The scanner against a real DNS server and a real nats-server.

mod attachments;
mod authentication;
mod author;
mod corpora;
mod hidden;
mod innocent;
mod opinion;
mod pipeline;
