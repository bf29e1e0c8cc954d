//! The crate against mail and addresses that others wrote. The corpora lie beside the checkout;
//! without them these tests say so and pass.

mod addresses;
mod consensus;
mod corpus;
mod reports;
mod round_trip;

mod torture;
mod whole;
