//! The tools of the Model Context Protocol: what a language model does with mail.
//!
//! Each tool is a few requests to the REST API, made as whoever calls it, so that rights, limits and shapes
//! are that API's. What a stranger wrote stands in a fence, in every answer. Nothing here reads the database,
//! remembers a client, or knows how the requests get to the API: `Api` carries them.

mod api;
mod instructions;
mod key;
mod refusal;
mod schema;
mod server;
mod tool;
mod tools;
mod untrusted;
mod view;

#[cfg(test)]
mod fake;

pub use crate::{
    api::{Answer, Api, Call, Unreachable},
    server::{Server, Tools},
};
