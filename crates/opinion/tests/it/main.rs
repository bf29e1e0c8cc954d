//! Models as small as they get, written as Hugging Face writes them and loaded by the real loader.

mod arithmetic;
mod fixture;
mod reference;
mod refusals;
