//! A private PostgreSQL on a unix socket, and just enough of a client to see a result's own bytes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use trunkline::server::cluster::{Cluster, ClusterOptions, DATABASE, SUPERUSER};
use trunkline::wire::row::{DataRow, RowDescription};

/// A running server.
pub struct Server(Cluster);

/// A session that asks one query after the other.
pub struct Session {
    stream: UnixStream,
}

/// What a query gave: its columns, and the bodies of its DataRow messages.
pub struct Answer {
    pub columns: RowDescription,
    pub rows: Vec<Vec<u8>>,
}

impl Server {
    pub fn start() -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
        // Stands in values of the types regrole and aclitem.
        cluster.psql("CREATE ROLE tester").unwrap();
        Self(cluster)
    }

    pub fn session(&self) -> Session {
        let socket = self.0.socket_dir().join(format!(".s.PGSQL.{}", self.0.port()));
        Session::open(&socket, SUPERUSER, DATABASE)
    }
}

impl Session {
    pub fn open(socket: &Path, user: &str, database: &str) -> Self {
        let mut session = Self { stream: UnixStream::connect(socket).unwrap() };
        let mut message = BytesMut::new();
        frontend::startup_message([("user", user), ("database", database)], &mut message).unwrap();
        session.stream.write_all(&message).unwrap();
        session.answer().expect("a session");
        session
    }

    /// One query by the simple protocol, whose rows come in text format.
    pub fn query(&mut self, sql: &str) -> Answer {
        self.try_query(sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }

    /// An error is the fields of the server's message, with blanks between them.
    pub fn try_query(&mut self, sql: &str) -> Result<Answer, String> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message).unwrap();
        self.stream.write_all(&message).unwrap();
        self.answer()
    }

    /// The first column of every row, NULL as `None`.
    pub fn texts(&mut self, sql: &str) -> Vec<Option<String>> {
        let first = |row: &Vec<u8>| {
            let field = DataRow::parse(row).unwrap().fields().next().unwrap();
            field.map(|text| String::from_utf8(text.to_vec()).unwrap())
        };
        self.query(sql).rows.iter().map(first).collect()
    }

    /// Reads to ReadyForQuery.
    fn answer(&mut self) -> Result<Answer, String> {
        let mut answer = Answer { columns: RowDescription::default(), rows: Vec::new() };
        let mut error = None;
        loop {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header).map_err(|error| error.to_string())?;
            let [tag, len @ ..] = header;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap() - 4];
            self.stream.read_exact(&mut body).map_err(|error| error.to_string())?;
            match tag {
                b'T' => answer.columns = RowDescription::parse(&body).unwrap(),
                b'D' => answer.rows.push(body),
                b'E' => error = Some(String::from_utf8_lossy(&body).replace('\0', " ")),
                b'Z' => return error.map_or(Ok(answer), Err),
                _ => {}
            }
        }
    }
}
