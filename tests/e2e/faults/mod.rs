//! Everything dies, freezes, fills up or cannot be reached at random moments under load; what was accepted is
//! there afterwards, once.
//!
//! The tests do it a few times. `just faults` does it `POSTHOUSE_TEST_FAULTS` times for each cluster; a failure says its
//! seed, and `POSTHOUSE_TEST_FAULTS_SEED` does the same again, as far as the moments of other processes allow it.

mod campaign;
mod fault;
mod inbound;
mod observers;
mod outbound;
mod poison;
mod power;
mod replays;
mod scene;
mod shipped;
mod table;
mod verify;
