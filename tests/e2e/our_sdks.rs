//! The SDKs in `sdk/`, against the service: what the contract's SDK does, what is more, and every event once.

use std::{env, path::PathBuf, time::Duration};

use anyhow::Context as _;
use e2e::{Cluster, cache, in_checkout, run, skip};
use tokio::process::Command;

/// For a journey, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(240);

/// The system's Node, and what `tests/run` has installed.
fn runtimes() -> Vec<(&'static str, Vec<PathBuf>)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = env::split_paths(&path).map(|it| it.join("node")).find(|it| it.is_file());
    let installed = [
        ("Node 22", "tests/tools/node_modules/node/bin/node"),
        ("Node 18", "tests/runtimes/node_modules/node18/bin/node"),
        ("Node 24", "tests/runtimes/node_modules/node24/bin/node"),
        ("Bun", "tests/runtimes/node_modules/.bin/bun"),
        ("Deno", "tests/runtimes/node_modules/.bin/deno"),
    ];
    let mut runtimes: Vec<_> =
        system.map(|it| ("the system's Node", vec![it])).into_iter().collect();
    for (name, path) in installed {
        match in_checkout(path) {
            Some(path) if name == "Deno" => {
                runtimes.push((name, vec![path, "run".into(), "--allow-all".into()]));
            }
            Some(path) => runtimes.push((name, vec![path])),
            None => skip(&format!("{name} is not at hand: tests/run installs it")),
        }
    }
    runtimes
}

fn command(words: &[PathBuf], cluster: &Cluster) -> anyhow::Result<Command> {
    let (program, arguments) = words.split_first().context("name a program")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("BASE_URL", cluster.api()?.base())
        .env("SMTP", cluster.smtp()[0].to_string());
    Ok(command)
}

fn built() -> Option<PathBuf> {
    let folder = in_checkout("sdk/typescript/dist/index.js").and(in_checkout("sdk/typescript"));
    if folder.is_none() {
        skip("the TypeScript SDK is not built: tests/run does it");
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_sdk_works_on_every_runtime() -> anyhow::Result<()> {
    let Some(folder) = built() else { return Ok(()) };
    let cluster = Cluster::start().await?;
    for (name, runtime) in runtimes() {
        let mut journey = command(&runtime, &cluster)?;
        journey.arg("test/journey.mjs").current_dir(&folder);
        let said = run(&mut journey, PATIENCE).await.with_context(|| format!("on {name}"))?;
        assert!(said.contains("journey: all well"), "{name}: {said}");
        said.lines().filter_map(|it| it.strip_prefix("SKIPPED: ")).for_each(skip);
    }
    cluster.stop().await
}

/// The very script that the contract's SDK has to pass.
#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_sdk_takes_the_place_of_the_contracts() -> anyhow::Result<()> {
    let (Some(folder), Some(tests)) = (built(), in_checkout("tests/sdk")) else { return Ok(()) };
    let cluster = Cluster::start().await?;
    for (name, runtime) in runtimes().into_iter().filter(|(name, _)| name.contains("Node")) {
        let mut journey = command(&runtime, &cluster)?;
        let sdk = folder.join("dist/index.js");
        journey.arg("journey.mjs").env("SDK", sdk).current_dir(&tests);
        run(&mut journey, PATIENCE).await.with_context(|| format!("on {name}"))?;
    }
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_works_both_ways() -> anyhow::Result<()> {
    let python = cache()?.join("tools/bin/python");
    let Some(folder) = in_checkout("sdk/python").filter(|_| python.is_file()) else {
        skip("what the Python SDK needs is not at hand: tests/run installs it");
        return Ok(());
    };
    let cluster = Cluster::start().await?;
    let mut journey = command(&[python], &cluster)?;
    journey
        .arg("tests/journey.py")
        .current_dir(&folder)
        .env("PYTHONPATH", "src")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let said = run(&mut journey, PATIENCE).await?;
    assert!(said.contains("ok AsyncPosthouse") && said.contains("ok Posthouse"), "{said}");
    said.lines().filter_map(|it| it.strip_prefix("SKIPPED: ")).for_each(skip);
    cluster.stop().await
}

/// `just disconnects` does it for ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_disconnect_at_random_have_each_event_once() -> anyhow::Result<()> {
    let Some(folder) = built() else { return Ok(()) };
    let seconds = env::var("POSTHOUSE_TEST_DISCONNECT_SECONDS").unwrap_or("20".to_owned());
    let patience = PATIENCE + Duration::from_secs(seconds.parse().context("read the seconds")?);
    let cluster = Cluster::start().await?;
    let (_, node) = runtimes().into_iter().next().context("find Node")?;
    let mut traffic = command(&node, &cluster)?;
    traffic.arg("test/disconnects.mjs").env("SECONDS", seconds).current_dir(folder);
    eprintln!("{}", run(&mut traffic, patience).await?);
    cluster.stop().await
}

/// And pass the checks of their own languages.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_generated_is_what_is_committed() -> anyhow::Result<()> {
    let tools = cache()?.join("tools/bin");
    let (Some(root), Some(typescript)) = (in_checkout("."), built()) else { return Ok(()) };
    if !tools.join("datamodel-codegen").is_file() {
        skip("the generators are not at hand: tests/run installs them");
        return Ok(());
    }
    run(Command::new(root.join("sdk/generate")).arg("--check"), PATIENCE).await?;

    let tsc = typescript.join("node_modules/.bin/tsc");
    let mut checks = vec![
        (typescript.clone(), vec![tsc.clone(), "--noEmit".into()]),
        // With Bun's types.
        (typescript.clone(), vec![tsc, "--noEmit".into(), "-p".into(), "test".into()]),
    ];
    let python = root.join("sdk/python");
    checks.push((python.clone(), vec![tools.join("ruff"), "check".into()]));
    checks.push((python.clone(), vec![tools.join("ruff"), "format".into(), "--check".into()]));
    checks.push((python.clone(), vec![tools.join("mypy")]));
    let interpreter = tools.join("python");
    checks.push((python, vec![tools.join("pyright"), "--pythonpath".into(), interpreter]));
    if let Some(deno) = in_checkout("tests/runtimes/node_modules/.bin/deno") {
        checks.push((typescript, vec![deno, "check".into(), "test/types.ts".into()]));
    }
    for (folder, words) in checks {
        let mut check = Command::new(&words[0]);
        run(check.args(&words[1..]).current_dir(folder), PATIENCE).await?;
    }
    Ok(())
}
