use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use local_nats::LocalNats;
use tempfile::TempDir;

use crate::{
    Api, Link, Postgres, Program, SOON, Secrets, Settings, Smtp, binary, eventually, free_port,
    servers,
};

pub const SERVICES: [&str; 6] = ["intake", "scanner", "storage", "sender", "webhooks", "gateway"];

pub const DOMAIN: &str = "posthouse.test";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Backend {
    #[default]
    Sqlite,
    Postgres,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub backend: Backend,
    /// Of each service.
    pub replicas: usize,
    /// Of the sender, if others.
    pub senders: Option<usize>,
    /// Further lines of storage's configuration, without tables. New inboxes are not warmed up.
    pub storage: &'static str,
    /// Where mail to foreign domains goes, if not to its exchangers; captured if nowhere.
    pub sink: Option<SocketAddr>,
    /// The name server that everybody asks; that of the system if `None`.
    pub dns: Option<SocketAddr>,
    /// Where intakes listen: at a loopback address unless told otherwise. Who comes from one of those has
    /// no SPF result.
    pub intake_ip: IpAddr,
    /// Mail to domains that are not served here goes to their exchangers at this port; into files if
    /// `None`.
    pub mx_port: Option<u16>,
    /// Tables that end the configuration of every sender.
    pub sender: String,
    /// Further lines of the configuration of every posthouse-webhooks, which may call this machine.
    pub webhooks: &'static str,
    /// Lines that every configuration begins with.
    pub common: String,
    /// NATS asks who everybody is, and agents log in with their tokens.
    pub logins: bool,
    /// So many nats-servers, each with a copy of every stream.
    pub nats_servers: usize,
    /// Where the first nats-server keeps its streams, and the database itself; in a temporary folder if
    /// nowhere.
    pub nats_store: Option<PathBuf>,
    pub database_folder: Option<PathBuf>,
    /// Services reach the one nats-server over a link that can be cut.
    pub link: bool,
    /// libfaketime, by which each process has a clock that can be set.
    pub clocks: Option<PathBuf>,
    /// What PostgreSQL commits is on the disk, as it is with SQLite.
    pub sync: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            backend: Backend::Sqlite,
            replicas: 1,
            senders: None,
            storage: "",
            sink: None,
            dns: None,
            intake_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            mx_port: None,
            sender: String::new(),
            webhooks: "",
            common: String::new(),
            logins: false,
            nats_servers: 1,
            nats_store: None,
            database_folder: None,
            link: false,
            clocks: None,
            sync: false,
        }
    }
}

/// Every service as a process of its own, on their own NATS and database. Unless it is stopped in
/// the end, which is to say that the test passed, dropping it shows the logs.
pub struct Cluster {
    pub nats: LocalNats,
    /// Those beside the first.
    pub more_nats: Vec<LocalNats>,
    pub link: Option<Link>,
    /// Its URL.
    pub database: String,
    pub(crate) members: BTreeMap<String, Member>,
    logins: Option<Secrets>,
    passed: bool,
    pub postgres: Option<Postgres>,
    folder: TempDir,
}

pub(crate) struct Member {
    pub(crate) program: Program,
    admin: SocketAddr,
    listen: SocketAddr,
    /// Of an intake: where mail is handed in, with STARTTLS and with TLS at once.
    submission: [SocketAddr; 2],
}

impl Cluster {
    /// One of each service, on SQLite.
    pub async fn start() -> anyhow::Result<Cluster> {
        let cluster = Cluster::plan(Plan::default()).await?;
        cluster.context("SQLite is always there")
    }

    /// Services as planned; `None`, with a word about it, where the backend is not installed.
    pub async fn plan(plan: Plan) -> anyhow::Result<Option<Cluster>> {
        let folder = TempDir::new().context("create folder")?;
        let Some((postgres, database)) = database(&plan, folder.path()).await? else {
            return Ok(None);
        };
        let logins = match plan.logins {
            true => Some(Secrets::make(folder.path()).await?),
            false => None,
        };
        let secrets = logins.as_ref().map(|it| it.nats.clone());
        let mut servers = servers(folder.path(), &plan, secrets).await?;
        let nats = servers.remove(0);
        let count = plan.nats_servers.to_string();
        let mut apply = vec!["streams", "apply", "--nats", &nats.url, "--replicas", &count];
        apply.extend(logins.iter().flat_map(Secrets::arguments));
        // Servers that share streams choose a leader first.
        eventually(SOON, "the streams to be made", async || {
            match operate(folder.path(), &apply).await {
                Err(err) if plan.nats_servers == 1 => Err(err),
                applied => Ok(applied.ok()),
            }
        })
        .await?;
        operate(folder.path(), &["migrate", "--database", &database]).await?;
        let link = match plan.link {
            true => Some(Link::to(nats.url.trim_start_matches("nats://").parse()?).await?),
            false => None,
        };

        let mut cluster = Cluster {
            nats,
            more_nats: servers,
            link,
            database,
            members: BTreeMap::new(),
            logins,
            passed: false,
            postgres,
            folder,
        };
        // The sender delivers to the first intake, wherever that comes to listen, and links lead to the
        // first gateway.
        let intake =
            || Ok::<_, anyhow::Error>(SocketAddr::new(plan.intake_ip, free_port()?.port()));
        let smarthost = intake()?;
        let api = free_port()?;
        for service in SERVICES {
            let replicas = if service == "sender" { plan.senders } else { None };
            for n in 1..=replicas.unwrap_or(plan.replicas) {
                let listen = match (service, n) {
                    ("intake", 1) => smarthost,
                    ("intake", _) => intake()?,
                    ("gateway", 1) => api,
                    _ => free_port()?,
                };
                cluster.add(&plan, service, n, listen, (smarthost, api))?;
            }
        }
        for name in cluster.names() {
            cluster.ready(&name).await?;
        }
        Ok(Some(cluster))
    }

    fn add(
        &mut self,
        plan: &Plan,
        service: &str,
        n: usize,
        listen: SocketAddr,
        (smarthost, api): (SocketAddr, SocketAddr),
    ) -> anyhow::Result<()> {
        let database = &self.database;
        let name = format!("{service}-{n}");
        let admin = free_port()?;
        let nats = self.nats_of_services();
        let submission = [free_port()?, free_port()?];
        let dns = plan.dns.map(|it| format!("dns = ['{it}']\n")).unwrap_or_default();
        let own = match service {
            "intake" => {
                let [start, implicit] = submission;
                format!(
                    "listen = '{listen}'\nhostname = 'mx.{DOMAIN}'\ndomains = ['{DOMAIN}']\n\
                     submission = '{start}'\nsubmissions = '{implicit}'\n"
                )
            }
            "scanner" => format!("hostname = 'mx.{DOMAIN}'\n{dns}"),
            "storage" => {
                let more = plan.storage;
                format!(
                    "database = '{database}'\ndomains = ['{DOMAIN}']\n\
                     public_url = 'http://{api}'\nwarm_up.first_day = 0\n{more}\n"
                )
            }
            "sender" => {
                let route = default_route(plan, &self.captured());
                let tables = own_route(smarthost) + &plan.sender;
                format!("database = '{database}'\nhostname = 'mx.{DOMAIN}'\n{dns}{route}{tables}")
            }
            "webhooks" => {
                let more = plan.webhooks;
                format!("database = '{database}'\nallow_private_targets = true\n{dns}{more}\n")
            }
            _ => format!(
                "listen = '{listen}'\ndatabase = '{database}'\ndomains = ['{DOMAIN}']\n\
                 public_url = 'http://{api}'\nallow_private_webhooks = true\nconsole = {{ plain_http = true }}\n{dns}"
            ),
        };
        let path = self.folder.path().join(format!("{name}.toml"));
        let login = self.logins.as_ref().map(|it| it.lines(service)).unwrap_or_default();
        let common = &plan.common;
        fs::write(&path, format!("nats = '{nats}'\nadmin = '{admin}'\n{common}{login}{own}"))
            .with_context(|| format!("write configuration of {name}"))?;
        let arguments = vec!["--config".into(), path.display().to_string()];
        let program = binary(&format!("posthouse-{service}"))?;
        let environment = match &plan.clocks {
            Some(library) => self.clock(library, &name)?,
            None => Vec::new(),
        };
        let program = Program::within(&name, program, arguments, self.folder.path(), environment)?;
        self.members.insert(name, Member { program, admin, listen, submission });
        Ok(())
    }

    fn nats_of_services(&self) -> String {
        match &self.link {
            Some(link) => format!("nats://{}", link.address),
            None => self.nats_urls(),
        }
    }

    /// All servers, separated by commas.
    pub fn nats_urls(&self) -> String {
        let urls: Vec<&str> =
            [&self.nats].into_iter().chain(&self.more_nats).map(|it| &*it.url).collect();
        urls.join(",")
    }

    /// Where mail to domains goes that are not served here.
    pub fn captured(&self) -> PathBuf {
        self.folder.path().join("captured")
    }

    /// What everything here is kept in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn names(&self) -> Vec<String> {
        self.members.keys().cloned().collect()
    }

    /// The names of a service's replicas.
    pub fn replicas(&self, service: &str) -> Vec<String> {
        self.names().into_iter().filter(|it| it.starts_with(service)).collect()
    }

    /// Where each intake takes mail.
    pub fn smtp(&self) -> Vec<SocketAddr> {
        self.replicas("intake").iter().map(|it| self.members[it].listen).collect()
    }

    /// Where the first intake takes mail to be sent: with STARTTLS, and with TLS from the first octet.
    pub fn submission(&self) -> [SocketAddr; 2] {
        self.members["intake-1"].submission
    }

    pub async fn connect(&self) -> anyhow::Result<Smtp> {
        Smtp::connect(self.smtp()[0]).await
    }

    pub fn api(&self) -> anyhow::Result<Api> {
        self.api_of("gateway-1")
    }

    pub fn api_of(&self, name: &str) -> anyhow::Result<Api> {
        Api::new(self.members.get(name).with_context(|| format!("find {name}"))?.listen)
    }

    /// As `kill -9` does.
    pub async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.member(name)?.program.kill().await
    }

    /// As an orchestrator stops it; it must end well.
    pub async fn terminate(&mut self, name: &str) -> anyhow::Result<()> {
        self.member(name)?.program.terminate().await
    }

    /// Starts it again where it was, and waits until it is ready.
    pub async fn restart(&mut self, name: &str) -> anyhow::Result<()> {
        self.member(name)?.program.restart()?;
        self.ready(name).await
    }

    /// Waits until a member says that it is ready, and takes connections where it listens.
    pub async fn ready(&mut self, name: &str) -> anyhow::Result<()> {
        let member = self.member(name)?;
        let admin = Api::new(member.admin)?;
        let listens = name.starts_with("intake") || name.starts_with("gateway");
        eventually(SOON, &format!("{name} to get ready"), async || {
            member.program.ensure_running()?;
            let ready = admin.call(reqwest::Method::GET, "/readyz", None, &[], None).await;
            let ready = ready.is_ok_and(|answer| answer.status == 200);
            let connected = !listens || tokio::net::TcpStream::connect(member.listen).await.is_ok();
            Ok((ready && connected).then_some(()))
        })
        .await
    }

    /// What a member counts, as Prometheus reads it.
    pub async fn metrics(&self, name: &str) -> anyhow::Result<String> {
        let member = self.members.get(name).with_context(|| format!("find {name}"))?;
        let admin = Api::new(member.admin)?;
        let answer = admin.call(reqwest::Method::GET, "/metrics", None, &[], None).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(String::from_utf8(answer.octets)?)
    }

    /// Ends the test: everybody who still runs stops as told, and NATS after them.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for member in self.members.values_mut().filter(|it| it.program.is_running()) {
            member.program.terminate().await?;
        }
        for nats in [&mut self.nats].into_iter().chain(&mut self.more_nats) {
            nats.stop().await?;
        }
        self.passed = true;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.passed {
            return;
        }
        for (name, member) in &self.members {
            let log = member.program.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- the end of {name}'s log\n{}", tail.join("\n"));
        }
    }
}

/// The database's server, if it has one, and its URL.
async fn database(
    plan: &Plan,
    folder: &Path,
) -> anyhow::Result<Option<(Option<Postgres>, String)>> {
    let place = plan.database_folder.as_deref().unwrap_or(folder);
    if plan.backend == Backend::Sqlite {
        return Ok(Some((None, format!("sqlite:{}", place.join("posthouse.db").display()))));
    }
    let settings = Settings {
        data: plan.database_folder.as_ref().map(|it| it.join("postgres")),
        sync: plan.sync,
    };
    let postgres = Postgres::with(settings).await?;
    Ok(postgres.map(|it| {
        let url = it.url.clone();
        (Some(it), url)
    }))
}

fn default_route(plan: &Plan, captured: &Path) -> String {
    if let Some(port) = plan.mx_port {
        return format!("mx_port = {port}\nallow_private_targets = true\n");
    }
    let route = match plan.sink {
        Some(sink) => format!("via = 'smarthost', host = '{}', port = {}", sink.ip(), sink.port()),
        None => format!("via = 'capture', directory = '{}'", captured.display()),
    };
    format!("default_route = {{ {route} }}\n")
}

/// Own mail goes round by SMTP.
fn own_route(smarthost: SocketAddr) -> String {
    let (host, port) = (smarthost.ip(), smarthost.port());
    format!(
        "[[routes]]\ndomains = ['{DOMAIN}']\nvia = 'smarthost'\nhost = '{host}'\nport = {port}\n"
    )
}

/// Runs one of the operator's commands; it must succeed.
pub async fn operate(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let name = format!("posthouse-{}", arguments[0]);
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let mut program = Program::start(&name, binary("posthouse")?, arguments, folder)?;
    let status = program.wait().await?;
    ensure!(status.success(), "{name} exited ({status}): {}", program.log());
    Ok(program.output())
}
