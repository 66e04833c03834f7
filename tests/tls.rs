//! TLS to a real PostgreSQL: what each sslmode accepts and refuses, client certificates, SCRAM bound to the session,
//! large batches both ways on both drivers, cancellation, and the server process on top of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/process.rs"]
mod process;

use std::fs;
use std::future::Future;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::{Cluster, PASSWORD};
use trunkline::rt::{self, Driver};
use trunkline::server::connector::Connector;
use trunkline::wire::conn::{Answer, Idle};
use trunkline::wire::connect::{Authenticated, connect};
use trunkline::wire::piece::{Piece, Value};
use trunkline::wire::target::Target;

const HBA: &str = "local all all trust
hostssl all u_cert all cert
hostssl all u_scram all scram-sha-256
hostssl all u_trust all trust
hostnossl all u_password all trust
host all u_super all trust
host all u_md5 all md5
";

#[test]
fn tls_to_a_real_server() {
    let keys = Keys::make();
    let cluster = Cluster::start();
    let plain = Setting { cluster: &cluster, keys: &keys };
    plain.check("u_super sslmode=prefer", "f");
    plain.check("u_super sslmode=allow", "f");
    plain.check("u_super sslmode=require", "! server does not support SSL, but SSL was required");
    cluster.sql("create role u_cert login");
    fs::write(cluster.directory.join("data/pg_hba.conf"), HBA).unwrap();
    let setting = plain;
    setting.serve_with("server");
    modes(&setting);
    certificates(&setting);
    logins(&setting);
    for version in ["ssl_min_protocol_version=TLSv1.3", "ssl_max_protocol_version=TLSv1.2"] {
        large_both_ways(&setting, version);
    }
    cancellation(&setting);
    the_process(&setting);
    setting.serve_with("expired");
    setting.check("u_super sslmode=verify-ca sslrootcert=CA/ca.crt", "! certificate verify failed");
    setting.check("u_super sslmode=require", "t");
}

fn modes(setting: &Setting<'_>) {
    setting.check("u_super", "t");
    setting.check("u_super sslmode=disable", "f");
    setting.check("u_super sslmode=allow", "f");
    setting.check("u_super sslmode=prefer", "t");
    setting.check("u_super sslmode=require", "t");
    // pg_hba.conf wants the other kind of connection.
    setting.check("u_trust sslmode=allow", "t");
    setting.check("u_trust sslmode=disable", "! no pg_hba.conf entry");
    setting.check("u_password sslmode=prefer", "f");
    setting.check("u_password sslmode=require", "! no pg_hba.conf entry");
}

fn certificates(setting: &Setting<'_>) {
    setting.check("u_super sslmode=verify-ca sslrootcert=CA/ca.crt", "t");
    setting.check("u_super sslmode=verify-full sslrootcert=CA/ca.crt", "t");
    setting.check("u_super sslmode=verify-ca sslrootcert=CA/other.crt", "! certificate verify failed");
    setting.check("u_super sslmode=require sslrootcert=CA/other.crt", "! certificate verify failed");
    setting.check("u_super sslmode=prefer sslrootcert=CA/other.crt", "f");
    setting.check("u_super sslmode=verify-full sslrootcert=CA/none.crt", "! none.crt\" does not exist");
    setting.check("u_super sslmode=verify-full sslrootcert=CA/ca.key", "! could not read root certificate file");
    setting.check("u_super sslrootcert=system", "! certificate verify failed");
    let elsewhere = "u_super host=elsewhere.example sslrootcert=CA/ca.crt";
    setting.check(&format!("{elsewhere} sslmode=verify-ca"), "t");
    setting.check(
        &format!("{elsewhere} sslmode=verify-full"),
        "! server certificate does not match host name \"elsewhere.example\"",
    );
}

fn logins(setting: &Setting<'_>) {
    let certificate = "u_cert sslmode=require sslcert=CA/client.crt";
    setting.check(&format!("{certificate} sslkey=CA/client.key"), "t");
    setting.check(&format!("{certificate} sslkey=CA/open.key"), "! has group or world access");
    setting.check(&format!("{certificate} sslkey=CA/none.key"), "! but not private key file");
    setting.check(&format!("{certificate} sslkey=CA/client.key sslcertmode=disable"), "! valid client certificate");
    setting.check("u_cert sslmode=require", "! valid client certificate");
    let scram = format!("u_scram sslmode=require password='{PASSWORD}'");
    for binding in ["disable", "prefer", "require"] {
        setting.check(&format!("{scram} channel_binding={binding}"), "t");
    }
    setting.check("u_scram sslmode=require password=wrong channel_binding=require", "! password authentication failed");
    setting.check("u_super sslmode=require channel_binding=require", "! without channel binding");
    let md5 = format!("u_md5 password='{PASSWORD}' channel_binding=require");
    setting.check(&format!("{md5} sslmode=require"), "! channel binding");
    setting.check(&format!("{md5} sslmode=disable"), "! channel binding");
}

/// The server writes megabytes while it is sent megabytes: one half must not wait for the other.
fn large_both_ways(setting: &Setting<'_>, version: &str) {
    let text = setting.text(&format!("u_super sslmode=require {version}"));
    let large = "x".repeat(5_000_000);
    on_both_drivers(async || {
        let mut busy = Idle::adopt(open(&text).unwrap()).unwrap().begin();
        busy.execute("select repeat('y', 1000) from generate_series(1, 20000)", []);
        for _ in 0..3 {
            busy.execute("select $1::text", [Some(large.as_bytes())]);
        }
        // And from where it lies.
        let piece = Piece::Whole(Bytes::from(large.clone()));
        busy.execute_values("select $1::text || $2", [Value::Piece(piece), Value::Bytes(b"end")]);
        busy.sync();
        busy.send().await.unwrap();
        let (mut rows, mut bytes) = (0, 0);
        while busy.syncs_due() > 0 {
            match busy.answer().unwrap() {
                Some(Answer::Row(row)) => {
                    rows += 1;
                    bytes += row.fields().flatten().map(<[u8]>::len).sum::<usize>();
                }
                Some(Answer::Error { error, .. }) => panic!("{error}"),
                Some(_) => {}
                None => busy.more().await.unwrap(),
            }
        }
        assert_eq!((rows, bytes), (20_004, 40_000_003));
        busy.finish().await.unwrap().close().await;
    });
}

fn cancellation(setting: &Setting<'_>) {
    let text = setting.text("u_super sslmode=require");
    let connector = Connector::start(2).unwrap();
    let handle = connector.handle(Arc::new(Target::parse(&text).unwrap()));
    on_both_drivers(async || {
        let idle = Idle::adopt(open(&text).unwrap()).unwrap();
        let key = idle.key().clone();
        let mut busy = idle.begin();
        busy.execute("select pg_sleep(60)", []);
        busy.sync();
        busy.send().await.unwrap();
        // The statement must have begun: its parameters are taken before it runs.
        let mut sqlstate = None;
        while busy.syncs_due() > 0 {
            match busy.answer().unwrap() {
                Some(Answer::Error { error, .. }) => sqlstate = Some(error.sqlstate),
                Some(_) => {}
                None => {
                    handle.cancel(key.clone(), Instant::now() + Duration::from_secs(10)).await.unwrap();
                    busy.more().await.unwrap();
                }
            }
        }
        assert_eq!(sqlstate.as_deref(), Some("57014"));
    });
}

fn the_process(setting: &Setting<'_>) {
    setting.cluster.sql("create table public.things as select n from generate_series(1, 3000) n; create role anon");
    setting.cluster.sql("grant select on public.things to anon");
    let uri = setting.text("u_super sslmode=verify-full sslrootcert=CA/ca.crt");
    let config = format!("db-uri = \"{uri}\"\ndb-anon-role = \"anon\"\ndb-schemas = \"public\"");
    let server = process::Process::start(&process::Options { config, ..process::Options::default() });
    let reply = process::get(server.api, "/things?order=n").unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.text().matches("\"n\"").count(), 3000);
    let encrypted = setting
        .cluster
        .sql("select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'u_super'");
    assert_eq!(encrypted, "t");
}

struct Setting<'a> {
    cluster: &'a Cluster,
    keys: &'a Keys,
}

impl Setting<'_> {
    /// A connection string: a role, then options; `CA/` stands for the folder of keys.
    fn text(&self, login: &str) -> String {
        let host = if login.contains("host=") { "" } else { "host=localhost" };
        let login = login.replace("CA/", &format!("{}/", self.keys.folder.display()));
        format!("{host} hostaddr=127.0.0.1 port={} dbname=postgres user={login}", self.cluster.port)
    }

    /// `expect` is whether the session is encrypted, or `! ` and a part of the message.
    fn check(&self, login: &str, expect: &str) {
        let opened = open(&self.text(login));
        match (opened, expect.strip_prefix("! ")) {
            (Ok(connected), None) => {
                let encrypted = if connected.session.is_some() { "t" } else { "f" };
                assert_eq!(encrypted, expect, "{login}");
            }
            (Err(error), Some(part)) => assert!(error.contains(part), "{login}: {error}"),
            (Ok(_), Some(_)) => panic!("{login} was let in"),
            (Err(error), None) => panic!("{login}: {error}"),
        }
    }

    /// Lets the server show this certificate, and waits until it does.
    fn serve_with(&self, name: &str) {
        let place = self.cluster.directory.join(name);
        for end in ["crt", "key"] {
            let to = place.with_extension(end);
            fs::copy(self.keys.folder.join(name).with_extension(end), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some(user) = nix::unistd::User::from_name("postgres").unwrap().filter(|_| is_root()) {
                chown(&to, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
            }
        }
        let ca = self.cluster.directory.join("ca.crt");
        fs::copy(self.keys.folder.join("ca.crt"), &ca).unwrap();
        let place = place.display();
        for setting in [
            format!("ssl_cert_file = '{place}.crt'"),
            format!("ssl_key_file = '{place}.key'"),
            format!("ssl_ca_file = '{}'", ca.display()),
            "ssl = on".to_owned(),
        ] {
            self.cluster.sql(&format!("alter system set {setting}"));
        }
        self.cluster.sql("select pg_reload_conf()");
        let wanted = fs::read_to_string(self.keys.folder.join(name).with_extension("crt")).unwrap();
        let text = self.text("u_super sslmode=require");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !open(&text).is_ok_and(|connected| pem_holds(&wanted, &connected)) {
            assert!(Instant::now() < deadline, "the server does not take its new certificate");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// True if this is the certificate that the server showed.
fn pem_holds(pem: &str, connected: &Authenticated) -> bool {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let wanted = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let shown = connected.session.as_ref().and_then(|session| session.peer_certificates()?.first());
    shown == Some(&wanted)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn open(text: &str) -> Result<Authenticated, String> {
    connect(&Target::parse(text).unwrap(), Instant::now() + Duration::from_secs(20)).map_err(|error| error.to_string())
}

fn on_both_drivers<F: Future>(mut main: impl FnMut() -> F) {
    for driver in [Driver::Epoll, rt::driver()] {
        rt::run(driver, main()).unwrap();
    }
}

/// Two authorities, and what the first of them signed.
struct Keys {
    folder: PathBuf,
}

impl Keys {
    fn make() -> Self {
        let folder = std::env::temp_dir().join(format!("tls-keys-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        for name in ["ca", "other"] {
            openssl(
                &folder,
                &format!("req -x509 {NEW_KEY} -keyout {name}.key -out {name}.crt -subj /CN={name} -days 9"),
            );
        }
        fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
        // A life of no days has ended by the time it is looked at.
        for (name, subject, days) in [("server", "localhost", 9), ("expired", "localhost", 0), ("client", "u_cert", 9)]
        {
            openssl(&folder, &format!("req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={subject}"));
            let signed_by = "-CA ca.crt -CAkey ca.key -CAcreateserial -extfile names";
            openssl(&folder, &format!("x509 -req -in {name}.csr -out {name}.crt -days {days} {signed_by}"));
        }
        fs::copy(folder.join("client.key"), folder.join("open.key")).unwrap();
        fs::set_permissions(folder.join("client.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(folder.join("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
        Self { folder }
    }
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
