//! A private PostgreSQL for tests of the wire: every way to log in, on loopback and on a unix socket.
#![allow(dead_code)] // Shared: no test binary needs all of it.

use std::fs;
use std::path::PathBuf;

use trunkline::server::cluster::{ClusterOptions, Loopback, Shutdown};

pub struct Cluster {
    /// Holds `data/` and whatever the server should find.
    pub directory: PathBuf,
    /// The folder of the unix socket.
    pub socket: PathBuf,
    pub port: u16,
    server: trunkline::server::cluster::Cluster,
}

/// Each role `u_<method>` logs in over TCP by that method, with the password `p ä`.
pub const PASSWORD: &str = "p ä";
const LOGINS: [&str; 4] = ["trust", "password", "md5", "scram"];

impl Cluster {
    pub fn start() -> Self {
        let settings = vec![("max_connections".to_owned(), "60".to_owned())];
        let options = ClusterOptions { loopback: Loopback::Trust, settings, ..ClusterOptions::default() };
        let mut server = trunkline::server::cluster::Cluster::start(options).expect("a private PostgreSQL");
        let socket = server.socket_dir();
        let directory = socket.parent().unwrap().to_owned();
        fs::write(directory.join("data/pg_hba.conf"), hba()).unwrap();
        server.restart(Shutdown::Fast).unwrap();
        let cluster = Self { directory, socket, port: server.port(), server };
        cluster.sql("create role u_super superuser login");
        for login in LOGINS {
            let encryption = if login == "md5" { "md5" } else { "scram-sha-256" };
            cluster.sql(&format!(
                "set password_encryption = '{encryption}'; create role u_{login} login password '{PASSWORD}'"
            ));
        }
        cluster
    }

    /// Runs SQL as the superuser and returns what psql prints.
    pub fn sql(&self, text: &str) -> String {
        self.server.psql(text).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn hba() -> String {
    let mut text = "local all all trust\nhost all u_super 127.0.0.1/32 trust\n".to_owned();
    for login in LOGINS {
        let method = if login == "scram" { "scram-sha-256" } else { login };
        text.push_str(&format!("host all u_{login} 127.0.0.1/32 {method}\n"));
    }
    text
}
