use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::de::DeserializeOwned;

use crate::Error;

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";

const MIB: u64 = 1024 * 1024;
const MAX_CONFIG: u64 = MIB;
/// Those with 250,000 words have about 17 MB.
const MAX_TOKENIZER: u64 = 64 * MIB;
/// A billion parameters.
const MAX_WEIGHTS: u64 = 4096 * MIB;

/// So much of the digest tells weights apart.
const DIGEST_DIGITS: usize = 12;

/// A folder with the files of a model.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Folder {
        Folder { path: path.to_owned() }
    }

    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let octets = self.read(CONFIG, MAX_CONFIG)?;
        serde_json::from_slice(&octets)
            .map_err(|source| Error::Json { path: self.file(CONFIG), source })
    }

    pub(crate) fn tokenizer(&self) -> Result<Vec<u8>, Error> {
        self.read(TOKENIZER, MAX_TOKENIZER)
    }

    /// The weights, and the beginning of their SHA-256.
    pub(crate) fn weights(&self) -> Result<(Vec<u8>, String), Error> {
        let weights = self.read(WEIGHTS, MAX_WEIGHTS)?;
        let mut hex = HEXLOWER.encode(digest(&SHA256, &weights).as_ref());
        hex.truncate(DIGEST_DIGITS);
        Ok((weights, hex))
    }

    pub(crate) fn unsuitable(&self, name: &str, what: impl Into<String>) -> Error {
        Error::Unsuitable { path: self.file(name), what: what.into() }
    }

    fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, Error> {
        let path = self.file(name);
        let failed = |source| Error::Read { path: path.clone(), source };
        let mut octets = Vec::new();
        let file = File::open(&path).map_err(failed)?;
        let size_bytes = file.metadata().map_err(failed)?.len();
        if size_bytes > most {
            return Err(Error::Size { path, size_bytes, most });
        }
        file.take(most).read_to_end(&mut octets).map_err(failed)?;
        Ok(octets)
    }
}
