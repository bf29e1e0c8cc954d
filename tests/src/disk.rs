//! File systems of one's own, which can be full, and whose device can be read as it would be after the
//! power went: without what nobody has synced. Only root can have them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command as Quick,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use crate::{SOON, eventually, run, skip};

const PATIENCE: Duration = Duration::from_secs(60);

/// A mounted file system. Dropping it unmounts it, whoever is still on it.
pub struct Disk {
    /// Where it is mounted; anybody may write there.
    pub path: PathBuf,
    size_mib: u32,
    image: Option<Image>,
}

/// The file behind a loop device, and the device.
struct Image {
    file: PathBuf,
    device: String,
}

impl Disk {
    /// In memory, so large; `None`, with a word about it, to whoever may not mount.
    pub async fn small(path: &Path, size_mib: u32) -> anyhow::Result<Option<Disk>> {
        let size = format!("size={size_mib}m,mode=777");
        fs::create_dir_all(path).context("create a place to mount")?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(path);
        if let Err(err) = run(&mut mount, PATIENCE).await {
            skip(&format!("full disks: no file system can be mounted here ({err:#})"));
            return Ok(None);
        }
        Ok(Some(Disk { path: path.to_owned(), size_mib, image: None }))
    }

    /// ext4 on a loop device whose image is read and written past the page cache: what is in the image has
    /// been written to the device. Its journal is committed when somebody syncs, not by the clock.
    pub async fn device(path: &Path, size_mib: u32) -> anyhow::Result<Option<Disk>> {
        fs::create_dir_all(path).context("create a place to mount")?;
        let file = path.with_extension("image");
        let image = File::create(&file).context("create an image")?;
        image.set_len(u64::from(size_mib) << 20).context("size an image")?;
        let format = ["-q", "-m", "0", "-E", "nodiscard"];
        let made = run(Command::new("mkfs.ext4").args(format).arg(&file), PATIENCE).await;
        let mounted = match made {
            Ok(_) => mount(&file, path).await,
            Err(err) => Err(err),
        };
        match mounted {
            Ok(device) => {
                run(Command::new("chmod").arg("777").arg(path), PATIENCE).await?;
                // As an operator's disk has long been: its root is on the device.
                run(Command::new("sync").arg("-f").arg(path), PATIENCE).await?;
                let image = Some(Image { file, device });
                Ok(Some(Disk { path: path.to_owned(), size_mib, image }))
            }
            Err(err) => {
                skip(&format!("power loss: no loop device can be mounted here ({err:#})"));
                Ok(None)
            }
        }
    }

    /// Leaves no room for anybody: what is in use is all there is.
    pub async fn fill(&self) -> anyhow::Result<()> {
        // It is written to meanwhile: by the time it is full it may take more than was in use before.
        eventually(SOON, "the disk to be full", async || {
            let mut df = Command::new("df");
            let used = run(df.args(["--output=used", "-k"]).arg(&self.path), PATIENCE).await?;
            let used = used.split_whitespace().last().context("read df")?;
            let used: u64 = used.parse().with_context(|| format!("read {used:?} of df"))?;
            Ok(self.resize(used.max(4)).await.ok())
        })
        .await
    }

    /// Gives back what `fill` took.
    pub async fn free(&self) -> anyhow::Result<()> {
        self.resize(u64::from(self.size_mib) << 10).await
    }

    async fn resize(&self, kib: u64) -> anyhow::Result<()> {
        let option = format!("remount,size={kib}k");
        run(Command::new("mount").args(["-o", &option]).arg(&self.path), PATIENCE).await.map(drop)
    }

    /// Copies what is on the device, without what only the page cache has. Nobody may be writing to the file
    /// system; the kernel may, so it is read until two readings are the same.
    pub async fn photograph(&self) -> anyhow::Result<Photograph> {
        let image = self.image.as_ref().context("a disk in memory has no device")?;
        let copies = [image.file.with_extension("first"), image.file.with_extension("second")];
        for _ in 0..10 {
            for copy in &copies {
                let copying = ["--sparse=always", "--reflink=never"];
                run(Command::new("cp").args(copying).arg(&image.file).arg(copy), PATIENCE).await?;
            }
            let compare = Command::new("cmp").arg("-s").args(&copies).status().await;
            if compare.context("compare the copies")?.success() {
                fs::remove_file(&copies[1]).context("remove the second copy")?;
                let [copy, _] = copies;
                return Ok(Photograph { copy });
            }
        }
        bail!("the device never came to rest")
    }

    /// Mounts what was on the device when it was photographed. Nobody may be on the file system.
    pub async fn revert(&mut self, photograph: Photograph) -> anyhow::Result<()> {
        let image = self.image.as_mut().context("a disk in memory has no device")?;
        // Whoever was killed is on it for another moment.
        eventually(SOON, "everybody to be off the disk", async || {
            Ok(run(Command::new("umount").arg(&self.path), PATIENCE).await.ok())
        })
        .await?;
        run(Command::new("losetup").arg("-d").arg(&image.device), PATIENCE).await?;
        fs::rename(&photograph.copy, &image.file).context("take the photograph for the image")?;
        image.device = mount(&image.file, &self.path).await?;
        Ok(())
    }
}

/// What was on a device at some moment.
pub struct Photograph {
    copy: PathBuf,
}

async fn mount(image: &Path, path: &Path) -> anyhow::Result<String> {
    let losetup = ["--direct-io=on", "--show", "-f"];
    let device = run(Command::new("losetup").args(losetup).arg(image), PATIENCE).await?;
    let device = device.trim().to_owned();
    ensure!(device.starts_with("/dev/"), "losetup said {device:?}");
    // Five minutes: longer than a test, so that the clock commits nothing.
    let options = ["-t", "ext4", "-o", "commit=300,noatime"];
    let mounted = run(Command::new("mount").args(options).arg(&device).arg(path), PATIENCE).await;
    if mounted.is_err() {
        run(Command::new("losetup").arg("-d").arg(&device), PATIENCE).await?;
    }
    mounted.map(|_| device)
}

impl Drop for Disk {
    /// The device goes with the last who is on it.
    fn drop(&mut self) {
        _ = Quick::new("umount").arg("-l").arg(&self.path).status();
        if let Some(image) = &self.image {
            _ = Quick::new("losetup").arg("-d").arg(&image.device).status();
        }
    }
}
