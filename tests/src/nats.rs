//! The nats-servers of a cluster: one, or several that keep copies of the streams.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::Context as _;
use local_nats::{LocalNats, Logins, Member};

use crate::{Plan, free_port};

pub async fn servers(
    folder: &Path,
    plan: &Plan,
    logins: Option<Logins>,
) -> anyhow::Result<Vec<LocalNats>> {
    let several = plan.nats_servers > 1;
    let routes: Vec<_> = match several {
        true => (0..plan.nats_servers).map(|_| free_port()).collect::<anyhow::Result<_>>()?,
        false => Vec::new(),
    };
    let mut servers = Vec::new();
    for n in 0..plan.nats_servers {
        let dir = folder.join(if n == 0 { "nats".to_owned() } else { format!("nats-{}", n + 1) });
        if let (0, Some(store)) = (n, &plan.nats_store) {
            fs::create_dir_all(&dir).context("create a folder for NATS")?;
            symlink(store, dir.join("store")).context("put the streams on their disk")?;
        }
        let name = format!("nats-{}", n + 1);
        let member = routes.get(n).map(|it| Member { name, listen: *it, routes: routes.clone() });
        let options = local_nats::Options {
            logins: logins.clone(),
            member,
            ..local_nats::Options::new(&dir)?
        };
        servers.push(LocalNats::start(&options).await?);
    }
    Ok(servers)
}
