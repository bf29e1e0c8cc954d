use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// The `nats-server` that `deploy/local/up` keeps in the user's cache, which is of a known version,
/// else the one on the PATH.
///
/// It reads the environment: for the shell of a process and for tests, not for a library.
pub fn find() -> anyhow::Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => env::home_dir().context("find the home directory")?.join(".cache"),
    };
    let candidates = candidates(&cache, env::var_os("PATH"));
    match candidates.iter().find(|it| it.is_file()) {
        Some(binary) => Ok(binary.clone()),
        None => bail!(
            "nats-server is neither in {} nor on the PATH: deploy/local/up installs it",
            candidates[0].display(),
        ),
    }
}

/// Never empty.
fn candidates(cache: &Path, path: Option<OsString>) -> Vec<PathBuf> {
    let mut candidates = vec![cache.join("posthouse/venv/bin/nats-server")];
    let path = path.unwrap_or_default();
    let absolute = env::split_paths(&path).filter(|it| it.is_absolute());
    candidates.extend(absolute.map(|it| it.join("nats-server")));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_comes_before_the_path() {
        let found = candidates(Path::new("/c"), Some("/a:relative:/b".into()));
        let expected = ["/c/posthouse/venv/bin/nats-server", "/a/nats-server", "/b/nats-server"];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
