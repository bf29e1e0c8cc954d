//! Where spans go, and how many: from the configuration and the variables that OpenTelemetry has for it.

use serde::Deserialize;

/// The part `[traces]` of every service's configuration.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// Where spans go by OTLP over HTTP; `/v1/traces` is added. Empty: what OTEL_EXPORTER_OTLP_ENDPOINT
    /// says, and nowhere if it says nothing.
    pub endpoint: String,
    /// Which part of the traces that begin here are recorded, from 0 to 1. Whoever brings a trace along
    /// has decided it. OTEL_TRACES_SAMPLER_ARG takes the place of the default.
    pub sample_ratio: f64,
}

impl Default for TracesConfig {
    fn default() -> TracesConfig {
        TracesConfig { endpoint: String::new(), sample_ratio: 1.0 }
    }
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceExport {
    /// The whole URL.
    pub(crate) url: String,
    pub(crate) sample_ratio: f64,
    /// `None` if a variable says it.
    pub(crate) service_name: Option<String>,
}

impl TracesConfig {
    /// `None` if no spans are wanted. `variable` finds one of the process's environment; the error names
    /// what is wrong.
    pub fn export(
        &self,
        service: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<TraceExport>, String> {
        let variable = |name| variable(name).filter(|it| !it.is_empty());
        let sample_ratio = self.ratio(variable)?;
        let is_off = variable("OTEL_SDK_DISABLED")
            .is_some_and(|it| it.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|it| it == "none");
        let (named, url) = if !self.endpoint.is_empty() {
            ("traces.endpoint", below(&self.endpoint))
        } else if let Some(url) = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)
        } else if let Some(endpoint) = variable("OTEL_EXPORTER_OTLP_ENDPOINT") {
            ("OTEL_EXPORTER_OTLP_ENDPOINT", below(&endpoint))
        } else {
            return Ok(None);
        };
        if is_off {
            return Ok(None);
        }
        if !["http://", "https://"].iter().any(|it| url.starts_with(it)) {
            return Err(format!("{named} = {url:?}: give an http:// or https:// URL"));
        }
        let is_named = variable("OTEL_SERVICE_NAME").is_some();
        let service_name = (!is_named).then(|| service.to_owned());
        Ok(Some(TraceExport { url, sample_ratio, service_name }))
    }

    fn ratio(&self, variable: impl Fn(&'static str) -> Option<String>) -> Result<f64, String> {
        let default = TracesConfig::default().sample_ratio;
        let (named, ratio) = match variable("OTEL_TRACES_SAMPLER_ARG") {
            Some(text) if self.sample_ratio == default => {
                let ratio = text.trim().parse::<f64>().unwrap_or(f64::NAN);
                ("OTEL_TRACES_SAMPLER_ARG", ratio)
            }
            _ => ("traces.sample_ratio", self.sample_ratio),
        };
        if !(0.0..=1.0).contains(&ratio) {
            return Err(format!("{named} = {ratio}: give a number from 0 to 1"));
        }
        Ok(ratio)
    }
}

fn below(endpoint: &str) -> String {
    format!("{}/v1/traces", endpoint.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(
        config: &TracesConfig,
        variables: &[(&str, &str)],
    ) -> Result<Option<TraceExport>, String> {
        config.export("posthouse-test", |name| {
            variables.iter().find(|(it, _)| *it == name).map(|(_, it)| (*it).to_owned())
        })
    }

    fn to(endpoint: &str) -> TracesConfig {
        TracesConfig { endpoint: endpoint.to_owned(), ..TracesConfig::default() }
    }

    #[track_caller]
    fn check(config: &TracesConfig, variables: &[(&str, &str)], expected: Option<(&str, f64)>) {
        let found = export(config, variables).expect("a right configuration");
        let found = found.as_ref().map(|it| (it.url.as_str(), it.sample_ratio));
        assert_eq!(found, expected, "{config:?} {variables:?}");
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn the_own_key_goes_first() {
        check(&TracesConfig::default(), &[], None);
        check(
            &TracesConfig::default(),
            &[ENDPOINT],
            Some(("http://collector:4318/v1/traces", 1.0)),
        );
        check(&to("https://a/"), &[ENDPOINT], Some(("https://a/v1/traces", 1.0)));
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/spans");
        check(&TracesConfig::default(), &[ENDPOINT, whole], Some(("http://b/spans", 1.0)));
        check(&TracesConfig::default(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None);
        let ratio = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
        check(&to("http://a"), &[ratio], Some(("http://a/v1/traces", 0.25)));
        let own = TracesConfig { sample_ratio: 0.5, ..to("http://a") };
        check(&own, &[ratio], Some(("http://a/v1/traces", 0.5)));
    }

    #[test]
    fn can_be_switched_off_by_a_variable() {
        check(&to("http://a"), &[("OTEL_SDK_DISABLED", "TRUE")], None);
        check(&to("http://a"), &[("OTEL_TRACES_EXPORTER", "none")], None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |config: &TracesConfig, variables: &[(&str, &str)]| {
            export(config, variables).expect_err("refuse")
        };
        assert!(wrong(&to("collector:4317"), &[]).starts_with("traces.endpoint"));
        let ratio = TracesConfig { sample_ratio: 1.5, ..TracesConfig::default() };
        assert!(wrong(&ratio, &[]).starts_with("traces.sample_ratio = 1.5"));
        let err = wrong(&to("http://a"), &[("OTEL_TRACES_SAMPLER_ARG", "all")]);
        assert!(err.starts_with("OTEL_TRACES_SAMPLER_ARG"), "{err}");
    }

    #[test]
    fn a_name_that_is_given_stays() {
        let named = |variables: &[(&str, &str)]| {
            export(&to("http://a"), variables).expect("right").expect("wanted").service_name
        };
        assert_eq!(named(&[]).as_deref(), Some("posthouse-test"));
        assert_eq!(named(&[("OTEL_SERVICE_NAME", "mail")]), None);
    }
}
