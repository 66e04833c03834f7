//! A scripted PostgreSQL on loopback: answers whatever it is asked in the protocol's order, and lets the test say how its
//! bytes reach the client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// One listening socket and the thread that plays the server for the first connection.
pub struct Fake {
    pub port: u16,
    thread: JoinHandle<()>,
}

impl Fake {
    /// `script` gets the accepted connection, with nothing said on it yet.
    pub fn start(script: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            script(socket);
        });
        Self { port, thread }
    }

    /// The same past the handshake.
    pub fn ready(script: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        Self::start(move |mut socket| {
            read_startup(&mut socket);
            socket.write_all(&hello()).unwrap();
            script(socket);
        })
    }

    pub fn uri(&self) -> String {
        format!("postgresql://u:p@127.0.0.1:{}/db?sslmode=disable", self.port)
    }

    pub fn join(self) {
        self.thread.join().unwrap();
    }
}

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub fn hello() -> Vec<u8> {
    let parts = [
        message(b'R', &[0, 0, 0, 0]),
        message(b'S', b"DateStyle\0ISO, MDY\0"),
        message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]),
        message(b'Z', b"I"),
    ];
    parts.concat()
}

pub fn error(severity: &str, sqlstate: &str) -> Vec<u8> {
    message(b'E', format!("V{severity}\0C{sqlstate}\0Msays no\0\0").as_bytes())
}

pub fn row(fields: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for field in fields {
        match field {
            Some(text) => {
                body.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
            None => body.extend_from_slice(&[255; 4]),
        }
    }
    message(b'D', &body)
}

pub fn row_description(names: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    for name in names {
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[0; 7]);
        body.extend_from_slice(&25_u32.to_be_bytes());
        body.extend_from_slice(&[0; 8]);
    }
    message(b'T', &body)
}

pub fn read_startup(socket: &mut TcpStream) {
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    socket.read_exact(&mut body).unwrap();
}

/// The next message's tag; `None` at the end of the stream.
pub fn read_tag(socket: &mut TcpStream) -> Option<u8> {
    let mut header = [0; 5];
    socket.read_exact(&mut header).ok()?;
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize - 4;
    let mut body = vec![0; length];
    socket.read_exact(&mut body).ok()?;
    Some(header[0])
}

/// The answers to one batch, one element a message: two rows of `a` and `b` for each statement.
pub fn read_batch(socket: &mut TcpStream) -> Option<Vec<Vec<u8>>> {
    let mut answers = Vec::new();
    loop {
        match read_tag(socket)? {
            b'P' => answers.push(message(b'1', b"")),
            b'D' => {
                answers.push(message(b't', &[0, 0]));
                answers.push(row_description(&["a", "b"]));
            }
            b'B' => answers.push(message(b'2', b"")),
            b'E' => {
                answers.push(row(&[Some("one"), None]));
                answers.push(row(&[Some(""), Some("two")]));
                answers.push(message(b'C', b"SELECT 2\0"));
            }
            b'C' => answers.push(message(b'3', b"")),
            b'S' => {
                answers.push(message(b'Z', b"I"));
                return Some(answers);
            }
            b'X' => return None,
            tag => panic!("the client said {:?}", char::from(tag)),
        }
    }
}
