//! A PostgreSQL server for this test binary: started when first needed, gone with the process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Runs the server in a folder of its own until its standard input ends, which it does when the
/// process of the tests does, however that happens.
const SCRIPT: &str = r#"
set -e
dir=$(mktemp -d "${TMPDIR:-/tmp}/posthouse-postgres.XXXXXX")
trap 'rm -rf "$dir"' EXIT
"$1/initdb" -N -A trust -U postgres --locale=C --encoding=UTF8 -D "$dir/data" >"$dir/log" 2>&1
"$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c max_connections=400 \
    >>"$dir/log" 2>&1 &
server=$!
echo "$dir"
# A test is over when nobody has its output open any more.
exec >/dev/null 2>&1
cat
kill -INT "$server"
wait "$server" || true
"#;

struct Server {
    socket_dir: String,
    /// Its standard input is what keeps the server alive.
    _shell: Child,
}

/// The URL of a new, empty database; `None`, loudly, where there is no PostgreSQL.
pub(crate) async fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(|| match binaries() {
        Some(bin) => Some(start(&bin).expect("start PostgreSQL")),
        None => {
            // Past the harness, which hides what passing tests print.
            let why = "SKIPPED on PostgreSQL: no initdb in PATH, /usr/lib/postgresql/*/bin or \
                       $POSTHOUSE_TEST_POSTGRES";
            writeln!(std::io::stderr(), "{why}").expect("write to stderr");
            None
        }
    });
    let server = server.as_ref()?;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let url = |name: &str| format!("postgres:///{name}?host={}&user=postgres", server.socket_dir);
    let mut connection = connect(&url("postgres")).await.expect("connect to PostgreSQL");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.expect("create a database");
    Some(url(&name))
}

async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    for _ in 0..600 {
        if let Ok(connection) = PgConnection::connect(url).await {
            return Ok(connection);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("no answer within 30 s")
}

fn start(bin: &Path) -> anyhow::Result<Server> {
    let mut command = if is_root()? {
        // PostgreSQL refuses to run as root.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let mut shell = command
        .args(["-c", SCRIPT, "posthouse-test"])
        .arg(bin)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start a shell")?;
    let mut line = String::new();
    let output = shell.stdout.take().context("no output")?;
    BufReader::new(output).read_line(&mut line).context("read the socket's folder")?;
    if line.trim().is_empty() {
        bail!("initdb failed: {:?}", shell.wait());
    }
    Ok(Server { socket_dir: line.trim().to_owned(), _shell: shell })
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("run id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// The folder that has initdb and postgres.
fn binaries() -> Option<PathBuf> {
    let named = std::env::var_os("POSTHOUSE_TEST_POSTGRES").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = named.into_iter().collect();
    folders.extend(installed.map(|it| it.path().join("bin")));
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|it| it.join("initdb").is_file() && it.join("postgres").is_file())
}
