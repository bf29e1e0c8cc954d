//! The power goes: what nobody has synced is gone, on the disk of NATS and on that of the database, at one
//! moment under load. Both are ext4 on loop devices, and what was on the devices is what they go on with.

use std::{
    fs::{self, File},
    io::Write as _,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{Backend, Disk, Plan, eventually};
use fastrand::Rng;
use tokio::time::sleep;

use crate::faults::{
    campaign::{asked_for, folder, seed},
    fault::recovered,
    scene::Scene,
    table::Table,
    verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn survives_power_loss() -> anyhow::Result<()> {
    survives("power loss, SQLite", Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_power_loss_on_postgres() -> anyhow::Result<()> {
    survives("power loss, PostgreSQL", Backend::Postgres).await
}

async fn survives(name: &str, backend: Backend) -> anyhow::Result<()> {
    let seed = seed(name)?;
    let folder = folder()?;
    let Some(nats) = Disk::device(&folder.path().join("nats"), 1_024).await? else { return Ok(()) };
    let database = Disk::device(&folder.path().join("database"), 1_024).await?;
    let database = database.context("mount a second device")?;
    let plan = Plan {
        backend,
        nats_store: Some(nats.path.clone()),
        database_folder: Some(database.path.clone()),
        sync: true,
        ..Plan::default()
    };
    let Some(mut scene) = Scene::begin(plan).await? else { return Ok(()) };
    let mut table = Table { name: name.to_owned(), seed, ..Table::default() };
    let mut rng = Rng::with_seed(seed);
    let mut disks = [nats, database];
    let times = if asked_for()?.is_some() { 10 } else { 1 };
    let survived = async {
        for _ in 0..times {
            let (mails, sends) = (scene.inbound.accepted() + 20, scene.outbound.accepted() + 4);
            eventually(verify::PATIENCE, "the load to proceed", async || {
                let has_come = scene.inbound.accepted() >= mails;
                Ok((has_come && scene.outbound.accepted() >= sends).then_some(()))
            })
            .await?;
            sleep(Duration::from_secs_f64(rng.f64())).await;
            lose_power(&mut scene, &mut disks).await?;
            *table.faults.entry("power loss".to_owned()).or_default() += 1;
        }
        scene.end(&mut table).await
    };
    survived.await.with_context(|| format!("seed {seed}"))?;
    eprintln!("{table}");
    Ok(())
}

/// What the other tests rest on: a photograph has what was synced, and nothing else.
#[tokio::test]
async fn a_photograph_lacks_what_nobody_synced() -> anyhow::Result<()> {
    let folder = folder()?;
    let Some(mut disk) = Disk::device(&folder.path().join("disk"), 64).await? else {
        return Ok(());
    };
    let (synced, lost) = (disk.path.join("synced"), disk.path.join("lost"));
    let mut file = File::create(&synced).context("create a file")?;
    file.write_all(b"promised").context("write")?;
    file.sync_all().context("sync")?;
    file.write_all(b" and more").context("write")?;
    fs::write(&lost, "not promised").context("write")?;
    drop(file);
    let photograph = disk.photograph().await?;
    disk.revert(photograph).await?;
    ensure!(fs::read_to_string(&synced)? == "promised", "{:?}", fs::read_to_string(&synced));
    ensure!(fs::read_to_string(&lost).unwrap_or_default().is_empty(), "it was not lost");
    Ok(())
}

/// Everybody stops at once; what is on the devices then is all that is left. The load goes on as soon as it
/// finds somebody, and in the end all that it was ever promised has to be there.
async fn lose_power(scene: &mut Scene, disks: &mut [Disk]) -> anyhow::Result<()> {
    let cluster = &mut scene.cluster;
    let mut victims = cluster.victims();
    // NATS and the database first: nothing is promised after the moment.
    victims.sort_by_key(|it| !(it.starts_with("nats") || it == "postgres"));
    for victim in &victims {
        cluster.freeze(victim)?;
    }
    let mut photographs = Vec::new();
    for disk in &*disks {
        photographs.push(disk.photograph().await?);
    }
    for victim in &victims {
        cluster.strike_down(victim).await?;
    }
    for (disk, photograph) in disks.iter_mut().zip(photographs) {
        disk.revert(photograph).await.context("go on with what was on the device")?;
    }
    for victim in &victims {
        cluster.raise(victim).await.with_context(|| format!("start {victim} again"))?;
    }
    recovered(cluster).await
}
