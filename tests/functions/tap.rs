//! A unix socket in front of PostgreSQL's that passes everything on and keeps what went which way.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use trunkline::server::cluster::Cluster;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    ToPostgres,
    FromPostgres,
}

type Record = Arc<Mutex<Vec<(Way, Vec<u8>)>>>;

pub struct Tap {
    folder: PathBuf,
    record: Record,
}

impl Tap {
    /// Listens until the process ends.
    pub fn start(cluster: &Cluster) -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-tap-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let socket = format!(".s.PGSQL.{}", cluster.port());
        let listener = UnixListener::bind(folder.join(&socket)).unwrap();
        let (upstream, record) = (cluster.socket_dir().join(&socket), Record::default());
        let kept = record.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), UnixStream::connect(&upstream).unwrap());
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for ((from, to), way) in [((client, server), Way::ToPostgres), (back, Way::FromPostgres)] {
                    let record = kept.clone();
                    thread::spawn(move || pass_on(from, to, way, &record));
                }
            }
        });
        Self { folder, record }
    }

    /// Where a connection string finds it: the cluster's, with another folder.
    pub fn uri(&self, cluster: &Cluster, role: &str, database: &str) -> String {
        format!("postgresql://{role}@/{database}?host={}&port={}", self.folder.display(), cluster.port())
    }

    /// What went by since the last time: the tags of the messages to PostgreSQL, and whether all of them went before its
    /// first answer.
    pub fn take(&self) -> (String, bool) {
        let record = std::mem::take(&mut *self.record.lock().unwrap());
        let first_answer = record.iter().position(|(way, _)| *way == Way::FromPostgres).unwrap_or(record.len());
        let one_flush = record[first_answer..].iter().all(|(way, _)| *way == Way::FromPostgres);
        let sent: Vec<u8> =
            record.into_iter().filter(|(way, _)| *way == Way::ToPostgres).flat_map(|(_, bytes)| bytes).collect();
        let (mut tags, mut rest) = (String::new(), sent.as_slice());
        while let [tag, a, b, c, d, ..] = rest {
            tags.push(char::from(*tag));
            // What begins a connection has no tag.
            rest = rest.get(1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..).unwrap_or_default();
        }
        (tags, one_flush)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn pass_on(mut from: UnixStream, mut to: UnixStream, way: Way, record: &Record) {
    let mut piece = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        record.lock().unwrap().push((way, piece[..read].to_vec()));
        if to.write_all(&piece[..read]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
