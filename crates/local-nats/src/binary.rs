use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use anyhow::bail;

/// The `nats-server` on the PATH, else the one that `deploy/local/up` keeps in the user's cache.
///
/// It reads the environment: for the shell of a process and for tests, not for a library.
pub fn find() -> anyhow::Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty()) {
        Some(cache) => Some(PathBuf::from(cache)),
        None => env::home_dir().map(|home| home.join(".cache")),
    };
    let candidates = candidates(env::var_os("PATH"), cache);
    match candidates.iter().find(|it| it.is_file()) {
        Some(binary) => Ok(binary.clone()),
        None => bail!(
            "nats-server is neither on the PATH nor in {}: deploy/local/up puts it there",
            candidates.last().map_or("the cache".into(), |it| it.display().to_string()),
        ),
    }
}

fn candidates(path: Option<OsString>, cache: Option<PathBuf>) -> Vec<PathBuf> {
    let path = path.as_deref().unwrap_or(OsStr::new(""));
    let mut candidates: Vec<PathBuf> = env::split_paths(path)
        .filter(|it| it.is_absolute())
        .map(|it| it.join("nats-server"))
        .collect();
    candidates.extend(cache.map(|it| it.join("posthouse/venv/bin/nats-server")));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_comes_before_the_cache() {
        let found = candidates(Some("/a:relative:/b".into()), Some("/c".into()));
        let expected = ["/a/nats-server", "/b/nats-server", "/c/posthouse/venv/bin/nats-server"];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
