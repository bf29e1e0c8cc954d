//! Defaults in code, then a TOML file, then the environment.

use std::path::Path;

use anyhow::{Context as _, bail};
use figment::{
    Figment,
    providers::{Env, Format as _, Toml},
};
use serde::de::DeserializeOwned;

/// Reads the configuration of the service `name`: the file, then `POSTHOUSE_<SERVICE>_<KEY>` for
/// each key, with `__` between the levels of a nested one.
pub fn read<C: DeserializeOwned>(name: &str, file: Option<&Path>) -> anyhow::Result<C> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        if !file.is_file() {
            bail!("configuration file {} does not exist (--config)", file.display());
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    let prefix = format!("{}_", name.to_uppercase().replace('-', "_"));
    figment
        .merge(Env::prefixed(&prefix).split("__"))
        .extract()
        .with_context(|| format!("configuration of {name} (environment: {prefix}…)"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        listen: SocketAddr,
    }

    impl Default for Config {
        fn default() -> Config {
            Config { listen: SocketAddr::from(([127, 0, 0, 1], 25)) }
        }
    }

    fn read_text(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("posthouse-test.toml");
        std::fs::write(&path, text).expect("write");
        read("posthouse-unit-test", Some(&path))
    }

    #[test]
    fn a_file_overrides_the_default() {
        let config = read_text("listen = '127.0.0.1:2525'").expect("read");
        assert_eq!(config.listen.port(), 2525);
        assert_eq!(read_text("").expect("read"), Config::default());
    }

    #[test]
    fn a_typo_stops_the_start_and_is_named() {
        let err = read_text("lisen = '127.0.0.1:2525'").expect_err("refuse");
        assert!(format!("{err:#}").contains("lisen"), "{err:#}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let err = read::<Config>("posthouse-unit-test", Some(Path::new("/nonexistent/x.toml")))
            .expect_err("refuse");
        assert!(format!("{err:#}").contains("/nonexistent/x.toml"), "{err:#}");
    }
}
