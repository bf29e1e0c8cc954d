//! What the benchmarks have in common.

pub(crate) mod postfix;
pub(crate) mod statistics;
