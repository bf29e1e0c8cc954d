//! The API, asked in every way that its description allows and in many that it does not: nothing fails, and
//! nothing is answered that is not described.

use std::{env, time::Duration};

use anyhow::Context as _;
use e2e::{Cluster, Plan, cache, in_checkout, run, skip};
use serde_json::json;
use test_dns::Dns;
use tokio::process::Command;

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance,unsupported_method,\
                      ignored_auth,use_after_free,ensure_resource_availability";

/// `just schemathesis` takes ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_undocumented() -> anyhow::Result<()> {
    let program = cache()?.join("tools/bin/schemathesis");
    let Some(tools) = in_checkout("tests/tools").filter(|_| program.is_file()) else {
        skip("schemathesis is not at hand: tests/run installs it");
        return Ok(());
    };
    let seconds = env::var("POSTHOUSE_TEST_SCHEMATHESIS_SECONDS").unwrap_or("60".to_owned());
    let seconds: u64 = seconds.parse().context("read the seconds")?;
    // Whatever names it thinks of lead nowhere.
    let dns = Dns::start("").await;
    let plan = Plan { dns: Some(dns.address), ..Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;
    let api = cluster.api()?;
    let agent = api.sign_up().await?;
    let (inbox, other) = (agent.inbox().await?, agent.inbox().await?);
    let mail = json!({
        "from": other.address, "to": [inbox.address], "subject": "Code", "body": { "text": "It is 481516" }
    });
    agent.send(&mail, None).await?.success()?;
    let email = agent.wait_for(&inbox, "Code").await?;
    let domain =
        agent.post("/v1/domains", &json!({ "domain": "customer.example" })).await?.success()?;

    let config = tools.join("schemathesis.toml");
    let known = tools.join("schemathesis-known.toml");
    for (config, share) in [(config, seconds / 2), (known, seconds - seconds / 2)] {
        let mut command = Command::new(&program);
        command
            .arg("--config-file")
            .arg(config)
            .args(["run", &format!("{}/openapi.json", api.base()), "--checks", CHECKS])
            .args(["--header", &format!("Authorization: Bearer {}", agent.token)])
            .args([
                "--max-time",
                &share.to_string(),
                "--request-timeout",
                "40",
                "--continue-on-failure",
            ])
            // An account more or less says nothing; their number is limited.
            .args(["--exclude-operation-id", "signUp", "--generation-database", "none"])
            .args(["--warnings", "off", "--no-color"])
            .env("INBOX_ID", &inbox.id)
            .env("EMAIL_ID", email["id"].as_str().context("read id")?)
            .env("THREAD_ID", email["threadId"].as_str().context("read thread")?)
            .env("DOMAIN_ID", domain["id"].as_str().context("read domain")?)
            .current_dir(cluster.folder());
        let said = run(&mut command, Duration::from_secs(share + 240)).await?;
        eprintln!("{}", &said[said.rfind("SUMMARY").unwrap_or_default()..]);
    }
    cluster.stop().await
}
