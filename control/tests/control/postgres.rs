//! A Postgres for tests, ended and its folder removed by a shell that waits for the tests' end.
#![allow(dead_code, reason = "each crate of tests uses a part of it")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A Postgres of its own.
pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    programs: PathBuf,
    shell: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// The one that all tests of a run share.
    pub(crate) fn of_this_run() -> Option<&'static Server> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        SERVER.get_or_init(Server::start).as_ref()
    }

    /// Starts one.
    pub(crate) fn start() -> Option<Server> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs a Postgres: install it"
            );
            eprintln!("skipped: no initdb in /usr/lib/postgresql/*/bin or PATH");
            return None;
        };
        let folder = tempfile::tempdir().unwrap().keep();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "postgres"])
            .arg(&programs)
            .arg(&folder)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Server {
            folder,
            port,
            programs,
            said: BufReader::new(shell.stdout.take().unwrap()).lines(),
            shell,
        };
        server.await_line("ready");
        Some(server)
    }

    /// Ends it as a crash does; with "restart", it is started again then.
    pub(crate) fn crash(&mut self, command: &str) {
        let mut to = self.shell.stdin.as_ref().unwrap();
        writeln!(to, "{command}").unwrap();
        self.await_line("done");
    }

    fn await_line(&mut self, wanted: &str) {
        let mut said = Vec::new();
        for line in self.said.by_ref().map_while(Result::ok) {
            if line == wanted {
                return;
            }
            said.push(line);
        }
        panic!("Postgres did not start: {said:?}");
    }

    fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The URL of a new database in it.
    pub(crate) fn make_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("store_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Runs a statement by psql.
    pub(crate) fn sql(&self, url: &str, sql: &str) -> String {
        let done = Command::new(self.programs.join("psql"))
            .args(["-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Lets it offer TLS with a certificate for 127.0.0.1; gives the authority's, beside which is
    /// `stranger.crt`, another one.
    pub(crate) fn speak_tls(&self, url: &str) -> PathBuf {
        let made = Command::new("sh")
            .args(["-c", CERTIFICATES, "certificates"])
            .arg(&self.folder)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let folder = self.folder.display();
        for sql in [
            &format!("ALTER SYSTEM SET ssl_cert_file = '{folder}/server.crt'"),
            &format!("ALTER SYSTEM SET ssl_key_file = '{folder}/server.key'"),
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            self.sql(url, sql);
        }
        // The postmaster reads it when its signal arrives.
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while self.sql(url, sql) != "t" {
            assert!(until > std::time::Instant::now(), "it never spoke TLS");
        }
        self.folder.join("ca.crt")
    }

    /// Sends a signal to the server and all its processes.
    pub(crate) fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let script = format!("kill -{name} $(pgrep -P {pid}) {pid}");
        assert!(
            Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It ends by itself now.
        let _ = self.shell.wait();
    }
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut folders: Vec<PathBuf> = versions.flatten().map(|v| v.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists())
}

/// Argument: folder.
const CERTIFICATES: &str = r#"
set -e
cd "$1"
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
for name in ca stranger; do
    openssl req -x509 $key -keyout $name.key -out $name.crt -subj "/CN=$name" -days 2
done
openssl req $key -keyout server.key -out server.csr -subj "/CN=server"
echo "subjectAltName=IP:127.0.0.1" >server.ext
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt \
    -days 2 -extfile server.ext
chmod 600 server.key
chown --reference=data server.key server.crt
"#;

/// Arguments: programs, folder, port. Postgres refuses to run as root.
const SCRIPT: &str = r#"
set -e
cd "$2"
as=
if [ "$(id -u)" = 0 ]; then
    user=$(id -u postgres 2>/dev/null || echo 65534)
    chown "$user" "$2"
    as="setpriv --reuid=$user --regid=65534 --clear-groups"
fi
$as "$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C -N >"$2/log" 2>&1 || { cat "$2/log"; exit 1; }
launch() {
    $as "$1/postgres" -D "$2/data" -h 127.0.0.1 -p "$3" -k "$2" \
        -c fsync=off -c max_connections=200 >>"$2/log" 2>&1 </dev/null &
    server=$!
    until "$1/pg_isready" -q -h 127.0.0.1 -p "$3"; do
        kill -0 $server || { cat "$2/log"; exit 1; }
        sleep 0.05
    done
    echo ready
}
end() {
    kill -CONT $server $(pgrep -P $server)
    kill -QUIT $server
    wait $server
    rm -rf "$2"
}
trap 'end "$@" 2>/dev/null' EXIT
launch "$@"
set +e
while read -r line; do
    kill -QUIT $server
    wait $server
    [ "$line" = restart ] && launch "$@"
    echo done
done
"#;
