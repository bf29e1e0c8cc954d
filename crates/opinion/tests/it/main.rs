//! Small models of each kind, loaded by the real loader.

mod arithmetic;
mod reference;
mod refusals;

use std::path::Path;

use opinion::{Error, Model};
use test_model::Fixture;

fn load(fixture: &Fixture) -> Result<Model, Error> {
    load_from(fixture.write().path())
}

fn load_from(folder: &Path) -> Result<Model, Error> {
    Model::load(folder, &[], 2)
}
