//! What is in `deploy/config` is what the programs take.

use std::{fs, path::Path};

use anyhow::Context as _;
use e2e::{Program, SERVICES, binary};
use tempfile::TempDir;

async fn check(service: &str, config: &Path) -> anyhow::Result<(Option<i32>, String)> {
    let folder = TempDir::new()?;
    let arguments = vec!["--check".into(), "--config".into(), config.display().to_string()];
    let program = binary(&format!("posthouse-{service}"))?;
    let mut program = Program::start(service, program, arguments, folder.path())?;
    let status = program.wait().await?;
    Ok((status.code(), program.log()))
}

#[tokio::test]
async fn every_sample_passes_its_check() -> anyhow::Result<()> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    for service in SERVICES {
        let sample = samples.join(format!("posthouse-{service}.toml")).canonicalize();
        let sample = sample.with_context(|| format!("find the sample of {service}"))?;
        let (code, log) = check(service, &sample).await?;
        assert_eq!(code, Some(0), "{service}: {log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_typo_stops_every_program_and_is_named() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let config = folder.path().join("typo.toml");
    fs::write(&config, "nast = 'nats://127.0.0.1:4222'")?;
    for service in SERVICES {
        let (code, log) = check(service, &config).await?;
        assert_eq!(code, Some(64), "{service}: {log}");
        assert!(log.contains("nast"), "{service}: {log}");
    }
    Ok(())
}
