//! Which way a destination is reached: the configured routes, made ready to be taken.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use lettre::transport::smtp::authentication::Credentials;
use rustls::ClientConfig;

use crate::{
    config::{self, Config, TlsPolicy},
    smtp::tls,
};

pub(crate) struct Routes {
    rules: Vec<(Vec<String>, Route)>,
    default: Route,
}

#[derive(Debug)]
pub(crate) enum Route {
    Mx,
    Smarthost(Smarthost),
    Capture { directory: PathBuf },
}

#[derive(Debug)]
pub(crate) struct Smarthost {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: TlsPolicy,
    /// Verifies the host's certificate.
    pub(crate) verified: Arc<ClientConfig>,
    pub(crate) credentials: Option<Credentials>,
}

impl Routes {
    /// Reads the files that routes name; an error says which.
    pub(crate) fn load(config: &Config) -> anyhow::Result<Routes> {
        let rules = config
            .routes
            .iter()
            .map(|rule| Ok((rule.domains.clone(), Route::load(&rule.route)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Routes { rules, default: Route::load(&config.default_route)? })
    }

    /// `domain` in lower-case A-labels.
    pub(crate) fn choose(&self, domain: &str) -> &Route {
        self.rules
            .iter()
            .find(|(patterns, _)| patterns.iter().any(|it| fits(it, domain)))
            .map_or(&self.default, |(_, route)| route)
    }
}

pub(crate) fn fits(pattern: &str, domain: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => domain.len() > suffix.len() && domain.ends_with(suffix),
        None => domain == pattern,
    }
}

impl Route {
    fn load(route: &config::Route) -> anyhow::Result<Route> {
        Ok(match route {
            config::Route::Mx {} => Route::Mx,
            config::Route::Capture { directory } => Route::Capture { directory: directory.clone() },
            config::Route::Smarthost(smarthost) => Route::Smarthost(Smarthost {
                host: smarthost.host.clone(),
                port: smarthost.port,
                tls: smarthost.tls,
                verified: tls::verified(smarthost.ca_file.as_deref())?,
                credentials: credentials(smarthost)?,
            }),
        })
    }
}

fn credentials(smarthost: &config::Smarthost) -> anyhow::Result<Option<Credentials>> {
    let Some(username) = &smarthost.username else { return Ok(None) };
    let password = match (&smarthost.password, &smarthost.password_file) {
        (Some(password), _) => password.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| {
                format!("read the password of {} in {}", smarthost.host, file.display())
            })?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        (None, None) => return Ok(None),
    };
    Ok(Some(Credentials::new(username.clone(), password)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rule;

    fn routes() -> Routes {
        let rule = |domain: &str, directory: &str| Rule {
            domains: vec![domain.to_owned()],
            route: config::Route::Capture { directory: directory.into() },
        };
        let rules = vec![rule("example.org", "exact"), rule("*.example.org", "below")];
        Routes::load(&Config { routes: rules, ..Config::default() }).expect("load")
    }

    fn check(domain: &str, expected: &str) {
        let routes = routes();
        let taken = match routes.choose(domain) {
            Route::Mx => "mx".to_owned(),
            Route::Smarthost(it) => it.host.clone(),
            Route::Capture { directory } => directory.display().to_string(),
        };
        assert_eq!(taken, expected, "{domain}");
    }

    #[test]
    fn the_first_route_that_fits_counts() {
        check("example.org", "exact");
        check("a.b.example.org", "below");
        check("badexample.org", "mx");
        check("example.com", "mx");
    }

    #[test]
    fn a_missing_password_file_is_named() {
        let smarthost = config::Smarthost {
            host: "smtp.example.net".to_owned(),
            port: 587,
            tls: TlsPolicy::Required,
            ca_file: None,
            username: Some("me".to_owned()),
            password: None,
            password_file: Some("/nonexistent/password".into()),
        };
        let err = Route::load(&config::Route::Smarthost(smarthost)).expect_err("refuse");
        assert!(format!("{err:#}").contains("/nonexistent/password"), "{err:#}");
    }
}
