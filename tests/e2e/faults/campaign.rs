//! As many faults as are asked for, one after the other, and then the reckoning.

use std::{env, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::Context as _;
use e2e::{Backend, Disk, Plan};
use fastrand::Rng;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::faults::{
    fault::{Disks, Fault, Pace, Striker, deck, recovered, short_deck},
    scene::{Scene, faketime},
    table::Table,
};

/// One of everything, each on the small side of what is possible.
#[tokio::test(flavor = "multi_thread")]
async fn survives_faults_of_everything() -> anyhow::Result<()> {
    let plan = Plan { link: true, clocks: faketime(), ..Plan::default() };
    campaign("one of each, SQLite", plan).await
}

/// Three nats-servers, each stream on all of them, and two of every stage. SQLite is for one storage.
#[tokio::test(flavor = "multi_thread")]
async fn survives_faults_of_three_nats_servers_and_two_of_everything() -> anyhow::Result<()> {
    let plan = Plan { nats_servers: 3, replicas: 2, backend: Backend::Postgres, ..Plan::default() };
    campaign("three nats-servers, two of each, PostgreSQL", plan).await
}

/// How many faults are asked for; `None` for the short form.
pub(crate) fn asked_for() -> anyhow::Result<Option<usize>> {
    match env::var("POSTHOUSE_TEST_FAULTS") {
        Ok(count) => count.parse().map(Some).context("read POSTHOUSE_TEST_FAULTS"),
        Err(_) => Ok(None),
    }
}

/// What the moments are drawn from.
pub(crate) fn seed(name: &str) -> anyhow::Result<u64> {
    let seed = match env::var("POSTHOUSE_TEST_FAULTS_SEED") {
        Ok(seed) => seed.parse().context("read POSTHOUSE_TEST_FAULTS_SEED")?,
        Err(_) => Rng::new().u64(..1_000_000),
    };
    eprintln!("faults: {name}: POSTHOUSE_TEST_FAULTS_SEED={seed}");
    Ok(seed)
}

/// A folder that PostgreSQL's user can get through.
pub(crate) fn folder() -> anyhow::Result<TempDir> {
    let folder = TempDir::new().context("create a folder for disks")?;
    let permissions = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.path(), permissions).context("open the folder for disks")?;
    Ok(folder)
}

async fn campaign(name: &str, mut plan: Plan) -> anyhow::Result<()> {
    let seed = seed(name)?;
    let folder = folder()?;
    let disks = disks(&folder, &mut plan).await?;
    let has_clocks = plan.clocks.is_some();
    let Some(mut scene) = Scene::begin(plan).await? else { return Ok(()) };
    let mut rng = Rng::with_seed(seed);
    let faults = match asked_for()? {
        Some(count) => deal(count, || deck(&scene.cluster, &disks, has_clocks, &mut rng)),
        None => short_deck(&scene.cluster, &disks, has_clocks, &mut rng),
    };
    let mut table = Table { name: name.to_owned(), seed, ..Table::default() };
    let survived = async {
        strike(&mut scene, &disks, &faults, &mut rng, &mut table).await?;
        scene.end(&mut table).await
    };
    survived.await.with_context(|| format!("seed {seed}"))?;
    eprintln!("{table}");
    Ok(())
}

async fn strike(
    scene: &mut Scene,
    disks: &Disks,
    faults: &[Fault],
    rng: &mut Rng,
    table: &mut Table,
) -> anyhow::Result<()> {
    let (inbox, pace) = (scene.inboxes[0].clone(), pace()?);
    for (n, fault) in faults.iter().enumerate() {
        let cluster = &mut scene.cluster;
        let mut striker = Striker { cluster, disks, inbox: &inbox, pace, rng };
        let pause = striker.moment(pace.pause);
        sleep(pause).await;
        let said = striker.strike(fault, n).await.with_context(|| format!("fault {n}: {fault}"))?;
        eprintln!("faults: {n:>3} {fault} {}", said.unwrap_or_default());
        *table.faults.entry(fault.to_string()).or_default() += 1;
        // Now and then the next one comes before everybody has got over this one.
        if rng.u8(..3) > 0 || n + 1 == faults.len() {
            let recovered = recovered(&mut scene.cluster).await;
            recovered.with_context(|| format!("after fault {n}: {fault}"))?;
        }
    }
    Ok(())
}

fn pace() -> anyhow::Result<Pace> {
    let [pause, freeze, long_freeze] = match asked_for()? {
        Some(_) => [2_000, 3_000, 18_000],
        None => [300, 800, 2_000],
    };
    Ok(Pace {
        pause: Duration::from_millis(pause),
        freeze: Duration::from_millis(freeze),
        long_freeze: Duration::from_millis(long_freeze),
    })
}

/// Decks until it is enough.
fn deal(count: usize, mut deck: impl FnMut() -> Vec<Fault>) -> Vec<Fault> {
    let mut faults = Vec::new();
    while faults.len() < count {
        faults.extend(deck());
    }
    faults.truncate(count);
    faults
}

/// The streams and the database on file systems that can get full, where that can be had.
async fn disks(folder: &TempDir, plan: &mut Plan) -> anyhow::Result<Disks> {
    let mut disks = Disks::new();
    for (whose, place) in [("nats", &mut plan.nats_store), ("database", &mut plan.database_folder)]
    {
        let Some(disk) = Disk::small(&folder.path().join(whose), 4_096).await? else { break };
        *place = Some(disk.path.clone());
        disks.insert(whose, disk);
    }
    Ok(disks)
}
