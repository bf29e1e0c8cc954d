//! What has to be done from time to time: the directory is put right, inboxes expire and are purged,
//! what was counted is forgotten.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use bus::{Directory, Resolution};
use service::Process;
use store::{Created, DirectoryEntry, NewInbox, Store};
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use uuid::Uuid;

use crate::Config;

/// The service's own account. It has no token until an operator gives it one.
const ACCOUNT: &str = "acct_postmaster";
const TIER: i64 = 4;

const ROUND: Duration = Duration::from_secs(60);

/// RFC 2142 sections 4 and 5.
const OFFICIAL: [&str; 2] = ["postmaster", "abuse"];

/// Purging is done once in so many rounds.
const PURGE_EVERY: u64 = 60;

/// Entries of the directory read at once.
const PAGE: i64 = 500;

pub(crate) struct House {
    domains: Vec<String>,
    purge_after: Duration,
    directory: Directory,
    store: Store,
    process: Process,
    is_ready: Arc<AtomicBool>,
}

impl House {
    /// The process is not ready before the directory was right once.
    pub(crate) fn new(
        config: &Config,
        directory: Directory,
        store: Store,
        process: &Process,
    ) -> House {
        let is_ready = Arc::new(AtomicBool::new(false));
        process.health.add("storage: directory", {
            let is_ready = Arc::clone(&is_ready);
            move || {
                if is_ready.load(Ordering::Relaxed) { Ok(()) } else { Err("not filled yet".into()) }
            }
        });
        House {
            domains: config.domains.clone(),
            purge_after: Duration::from_secs(u64::from(config.purge_after_days) * 24 * 60 * 60),
            directory,
            store,
            process: process.clone(),
            is_ready,
        }
    }

    /// Goes on until shutdown; what fails is done in a later round.
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round: u64 = 0;
        loop {
            tokio::select! {
                _ = rounds.tick() => (),
                () = self.process.shutdown.cancelled() => return Ok(()),
            }
            let work = async {
                self.put_right().await?;
                self.is_ready.store(true, Ordering::Relaxed);
                if round.is_multiple_of(PURGE_EVERY) {
                    self.purge().await?;
                }
                round += 1;
                anyhow::Ok(())
            };
            let done = tokio::select! {
                done = work => done,
                () = self.process.shutdown.cancelled() => return Ok(()),
            };
            if let Err(err) = done {
                tracing::warn!("housekeeping: {err:#}");
                if !self.is_ready.load(Ordering::Relaxed) {
                    // Nothing goes out to intake before: try again soon.
                    rounds.reset_after(Duration::from_secs(1));
                }
            }
        }
    }

    async fn put_right(&self) -> anyhow::Result<()> {
        self.store.writer.expire_inboxes(now()).await.context("expire inboxes")?;
        self.store.writer.review_warnings().await.context("review warnings")?;
        self.store.writer.forget_sendings().await.context("forget what was sent")?;
        let mut postmasters = Vec::new();
        for domain in &self.domains {
            let postmaster = self.postmaster(domain).await?;
            self.open(domain, ACCOUNT, &postmaster).await?;
            postmasters.push(postmaster);
        }
        self.open_verified(postmasters.first()).await?;
        self.remove_deleted().await?;
        self.add_missing().await
    }

    /// Makes a domain known, with the addresses that every one has (RFC 2142).
    async fn open(&self, domain: &str, account_id: &str, inbox_id: &str) -> anyhow::Result<()> {
        self.directory.add_domain(domain).await?;
        for local in OFFICIAL {
            let address = canonical(&format!("{local}@{domain}"))?;
            self.directory.add_inbox(&address, account_id, inbox_id).await?;
        }
        Ok(())
    }

    /// What is official about a customer's domain goes to its oldest inbox there; before it has one,
    /// to the operator.
    async fn open_verified(&self, postmaster: Option<&String>) -> anyhow::Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.reader.verified_domains(after.as_deref(), PAGE).await?;
            for it in page.iter().filter(|it| !self.domains.contains(&it.domain)) {
                let oldest = self.store.reader.oldest_inbox(&it.account_id, &it.domain).await?;
                match (oldest, postmaster) {
                    (Some(inbox), _) => self.open(&it.domain, &it.account_id, &inbox.id).await?,
                    (None, Some(postmaster)) => self.open(&it.domain, ACCOUNT, postmaster).await?,
                    (None, None) => self.directory.add_domain(&it.domain).await?,
                }
            }
            let Some(last) = page.into_iter().last() else { return Ok(()) };
            after = Some(last.domain);
        }
    }

    /// The accounts and domains whose inboxes take no mail any more. The domains are closed.
    async fn lost(&self) -> anyhow::Result<HashSet<(String, String)>> {
        let mut lost: HashSet<_> = self.store.reader.lost_domains().await?.into_iter().collect();
        lost.retain(|(_, domain)| !self.domains.contains(domain));
        for (_, domain) in &lost {
            self.close(domain).await?;
        }
        Ok(lost)
    }

    /// Takes a domain back out, unless another account has it now.
    async fn close(&self, domain: &str) -> anyhow::Result<()> {
        if self.store.reader.is_verified(domain).await? {
            return Ok(());
        }
        self.directory.remove_domain(domain).await?;
        for local in OFFICIAL {
            self.directory.remove_inbox(&canonical(&format!("{local}@{domain}"))?).await?;
        }
        Ok(())
    }

    /// The inbox that takes a domain's mail to its operators.
    async fn postmaster(&self, domain: &str) -> anyhow::Result<String> {
        let (reader, writer) = (&self.store.reader, &self.store.writer);
        let address = format!("postmaster@{domain}");
        let canonical = canonical(&address)?;
        if let Some(inbox) = reader.inbox_by_address(&canonical).await? {
            return Ok(inbox.id);
        }
        writer.ensure_account(ACCOUNT, TIER).await.context("make the postmaster's account")?;
        let inbox = NewInbox {
            id: format!("ibx_{}", Uuid::now_v7().simple()),
            account_id: ACCOUNT.to_owned(),
            address,
            canonical: canonical.clone(),
            domain: domain.to_owned(),
            display_name: Some("Postmaster".to_owned()),
            expires_at: None,
            max_inboxes: None,
        };
        match writer.create_inbox(&inbox).await.context("make the postmaster's inbox")? {
            Created::Inbox(inbox) => Ok(inbox.id),
            // Another replica was quicker.
            Created::AddressCollision | Created::LimitReached => {
                let inbox = reader.inbox_by_address(&canonical).await?;
                Ok(inbox.context("postmaster@ is deleted; it is made again once purged")?.id)
            }
        }
    }

    async fn add_missing(&self) -> anyhow::Result<()> {
        let lost = self.lost().await?;
        let mut after: Option<String> = None;
        loop {
            let page = self.store.reader.directory(after.as_deref(), PAGE).await?;
            for it in &page {
                let domain = it.canonical.rsplit_once('@').map_or("", |(_, domain)| domain);
                if lost.contains(&(it.account_id.clone(), domain.to_owned())) {
                    self.remove(it).await?;
                } else {
                    self.directory.add_inbox(&it.canonical, &it.account_id, &it.inbox_id).await?;
                }
            }
            let Some(last) = page.into_iter().last() else { return Ok(()) };
            after = Some(last.canonical);
        }
    }

    async fn remove_deleted(&self) -> anyhow::Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.reader.deleted_directory(after.as_deref(), PAGE).await?;
            for it in &page {
                self.remove(it).await?;
            }
            let Some(last) = page.into_iter().last() else { return Ok(()) };
            after = Some(last.canonical);
        }
    }

    async fn remove(&self, entry: &DirectoryEntry) -> anyhow::Result<()> {
        let domain = entry.canonical.rsplit_once('@').map_or("", |(_, domain)| domain);
        match self.directory.resolve(&entry.canonical, domain).await? {
            Resolution::Inbox { inbox_id, .. } if inbox_id == entry.inbox_id => {
                self.directory.remove_inbox(&entry.canonical).await
            }
            _ => Ok(()),
        }
    }

    /// The directory has no deleted inbox any more by then.
    async fn purge(&self) -> anyhow::Result<()> {
        let deleted_before = now() - i64::try_from(self.purge_after.as_micros())?;
        let purged = self.store.writer.purge_inboxes(deleted_before).await.context("purge")?;
        if purged > 0 {
            tracing::info!(purged, "purged deleted inboxes");
        }
        self.store.writer.forget_tallies().await.context("forget old counts")?;
        let settled = self.store.writer.purge_outbox().await.context("purge the outbox")?;
        if settled > 0 {
            tracing::debug!(settled, "purged the outbox");
        }
        Ok(())
    }
}

fn canonical(address: &str) -> anyhow::Result<String> {
    let address: mail::Address = address.parse().context("read an address of our own")?;
    Ok(address.canonical())
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
