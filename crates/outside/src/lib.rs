//! Which addresses are out in the world, and which URLs lead there.
//!
//! Whoever chooses a name or a URL that this service is to connect to must not choose which of our
//! neighbours it talks to. Nothing here connects: it parses, looks names up, and refuses.

mod lookup;
mod public_address;
mod target;

pub use crate::{
    lookup::{Lookup, LookupError},
    public_address::is_public,
    target::{Refused, Target},
};
