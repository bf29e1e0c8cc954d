//! What is in `deploy/` is what Helm, Kubernetes, Docker and our own programs take: `tests/deploy` has the checks.

use std::time::Duration;

use anyhow::ensure;
use e2e::{binary, cache, in_checkout, run, skip};
use tokio::process::Command;

/// Runs one of the checks, which tells a line for each thing that it looked at.
async fn check(what: &str) -> anyhow::Result<()> {
    let tools = cache()?.join("deploy");
    let script = in_checkout("tests/deploy/check.py");
    // Written when all of it was installed.
    let (true, Some(script)) = (tools.join(".installed").is_file(), script) else {
        skip(&format!("deploy {what}: its tools are not at hand: tests/run installs them"));
        return Ok(());
    };
    let mut command = Command::new(tools.join("bin/python"));
    command.arg("-B").arg(script).arg(what);
    command.env("POSTHOUSE_BIN", binary("posthouse")?.with_file_name(""));
    command.env("NATS_SERVER", local_nats::find()?);
    let said = run(&mut command, Duration::from_secs(300)).await?;
    for line in said.lines().filter_map(|it| it.strip_prefix("SKIPPED: ")) {
        skip(line);
    }
    ensure!(said.contains("ok: "), "{what} looked at nothing: {said}");
    Ok(())
}

#[tokio::test]
async fn the_chart_is_valid_by_every_value_set() -> anyhow::Result<()> {
    check("chart").await
}

#[tokio::test]
async fn the_chart_refuses_values_that_cannot_work() -> anyhow::Result<()> {
    check("refusals").await
}

#[tokio::test]
async fn the_checks_of_the_chart_see_what_is_wrong() -> anyhow::Result<()> {
    check("mutations").await
}

#[tokio::test]
async fn the_image_and_the_compose_file_are_sound() -> anyhow::Result<()> {
    check("files").await
}

#[tokio::test]
async fn the_programs_take_what_chart_and_compose_file_say() -> anyhow::Result<()> {
    check("configs").await
}

#[tokio::test]
async fn the_first_mail_comes_by_the_words_of_the_page() -> anyhow::Result<()> {
    check("first-mail").await
}

#[tokio::test]
async fn the_chart_s_streams_are_those_of_the_programs() -> anyhow::Result<()> {
    check("streams").await
}
