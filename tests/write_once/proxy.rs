//! Between the server and PostgreSQL, a batch at a time: counts the batches that run a statement, and does to those that it
//! was told to what networks and servers do on bad days.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to a batch.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The connection ends, and PostgreSQL never sees the batch.
    CutBefore,
    /// PostgreSQL has done it all; nobody hears of it.
    CutAfter,
    /// All but the last message of the answer arrives.
    CutInAnswer,
    /// The statement isn't bound, for this reason; PostgreSQL never sees the batch.
    RefuseBind(&'static str),
    /// It is bound, and fails.
    FailRun(&'static str),
}

/// Tells a statement by its text.
pub type Meant = fn(&str) -> bool;

#[derive(Default)]
struct Orders {
    /// The statement that the faults are for.
    meant: Option<Meant>,
    faults: Vec<Fault>,
    /// Texts of the statements that were bound since the orders were given.
    bound: Vec<String>,
}

pub struct Proxy {
    pub port: u16,
    orders: Arc<Mutex<Orders>>,
}

impl Proxy {
    /// `server` is PostgreSQL's socket.
    pub fn start(server: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let orders = Arc::<Mutex<Orders>>::default();
        let given = orders.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, orders, server) = (client.unwrap(), given.clone(), server.clone());
                client.set_nodelay(true).unwrap();
                thread::spawn(move || {
                    let server = UnixStream::connect(server).unwrap();
                    // Ends with either side.
                    let _ = Session {
                        client,
                        server,
                        texts: HashMap::new(),
                        columns: HashMap::new(),
                        writes: false,
                        orders,
                    }
                    .serve();
                });
            }
        });
        Self { port, orders }
    }

    /// The next batches with such a statement meet these faults, one each. Counts from zero.
    pub fn expect(&self, meant: Meant, faults: &[Fault]) {
        *self.orders.lock().unwrap() =
            Orders { meant: Some(meant), faults: faults.iter().rev().copied().collect(), bound: Vec::new() };
    }

    /// How often such a statement was bound.
    pub fn sent(&self, meant: Meant) -> usize {
        self.orders.lock().unwrap().bound.iter().filter(|bound| meant(bound)).count()
    }

    pub fn faults_left(&self) -> usize {
        self.orders.lock().unwrap().faults.len()
    }
}

struct Session {
    client: TcpStream,
    server: UnixStream,
    /// Prepared statements by name.
    texts: HashMap<Vec<u8>, String>,
    /// What PostgreSQL said of a statement's columns: a lie must not differ there.
    columns: HashMap<String, Vec<u8>>,
    /// It has written: the catalog's connections commit too, but they don't.
    writes: bool,
    orders: Arc<Mutex<Orders>>,
}

struct Message {
    tag: u8,
    body: Vec<u8>,
}

impl Message {
    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 5];
        from.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        from.read_exact(&mut body)?;
        Ok(Self { tag: head[0], body })
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.body.len() + 4).unwrap();
        [&[self.tag][..], &length.to_be_bytes(), &self.body].concat()
    }

    /// The part of the body up to the zero byte that ends the string of this number.
    fn string(&self, number: usize) -> Vec<u8> {
        self.body.split(|&byte| byte == 0).nth(number).unwrap().to_vec()
    }
}

fn message(tag: u8, body: &[u8]) -> Message {
    Message { tag, body: body.to_vec() }
}

impl Session {
    fn serve(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.client.read_exact(&mut length)?;
        let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
        self.client.read_exact(&mut startup)?;
        self.server.write_all(&[&length[..], &startup].concat())?;
        self.relay_answer()?;
        loop {
            let mut batch = Vec::new();
            loop {
                let message = Message::read(&mut self.client)?;
                let ends = message.tag == b'S' || message.tag == b'X';
                batch.push(message);
                if ends {
                    break;
                }
            }
            self.batch(&batch)?;
        }
    }

    fn batch(&mut self, batch: &[Message]) -> io::Result<()> {
        let bytes: Vec<u8> = batch.iter().flat_map(Message::bytes).collect();
        let Some(fault) = self.fault(batch) else {
            self.server.write_all(&bytes)?;
            let answer = self.relay_answer()?;
            self.learn(batch, &answer);
            return Ok(());
        };
        match fault {
            Fault::CutBefore => Err(io::ErrorKind::Other.into()),
            Fault::CutAfter => {
                self.server.write_all(&bytes)?;
                self.answer()?;
                Err(io::ErrorKind::Other.into())
            }
            Fault::CutInAnswer => {
                self.server.write_all(&bytes)?;
                let answer = self.answer()?;
                let part: Vec<u8> = answer[..answer.len() - 1].iter().flat_map(Message::bytes).collect();
                self.client.write_all(&part)?;
                Err(io::ErrorKind::Other.into())
            }
            Fault::RefuseBind(sqlstate) => self.lie(batch, sqlstate, false),
            Fault::FailRun(sqlstate) => self.lie(batch, sqlstate, true),
        }
    }

    /// Notes what is bound, and takes the fault that is due.
    fn fault(&mut self, batch: &[Message]) -> Option<Fault> {
        let mut meant = false;
        for message in batch {
            match message.tag {
                b'P' => _ = self.texts.insert(message.string(0), String::from_utf8(message.string(1)).unwrap()),
                b'B' => {
                    let text = &self.texts[&message.string(1)];
                    let mut orders = self.orders.lock().unwrap();
                    self.writes |= text.contains("INSERT INTO");
                    meant |= self.writes && orders.meant.is_some_and(|meant| meant(text));
                    orders.bound.push(text.clone());
                }
                _ => {}
            }
        }
        if meant { self.orders.lock().unwrap().faults.pop() } else { None }
    }

    fn learn(&mut self, batch: &[Message], answer: &[Message]) {
        let asked = batch.iter().filter(|message| message.tag == b'D');
        let told = answer.iter().filter(|message| matches!(message.tag, b'T' | b'n'));
        for (asked, told) in asked.zip(told) {
            self.columns.insert(self.texts[&asked.string(0)[1..]].clone(), told.bytes());
        }
    }

    /// Answers as if every statement up to the one that is meant had run, and that one not. PostgreSQL hears of it only
    /// that the transaction, if there is one, is over.
    fn lie(&mut self, batch: &[Message], sqlstate: &str, bound: bool) -> io::Result<()> {
        let meant = self.orders.lock().unwrap().meant.unwrap();
        let mut answer = Vec::new();
        let (mut begins, mut at_commit) = (false, false);
        for message_sent in batch {
            match message_sent.tag {
                b'P' => answer.push(message(b'1', b"")),
                b'D' => {
                    let known = self.columns.get(&self.texts[&message_sent.string(0)[1..]]);
                    let columns = known.map_or(message(b'n', b""), |known| message(known[0], &known[5..]));
                    answer.extend([message(b't', &[0, 0]), columns]);
                }
                b'C' => answer.push(message(b'3', b"")),
                b'B' => {
                    let text = &self.texts[&message_sent.string(1)];
                    begins |= text.starts_with("begin");
                    at_commit |= text == "commit";
                    let is_meant = meant(text);
                    if !is_meant || bound {
                        answer.push(message(b'2', b""));
                    }
                    if is_meant {
                        break;
                    }
                }
                b'E' => answer.push(message(b'C', b"SELECT 0\0")),
                _ => {}
            }
        }
        answer.push(message(b'E', format!("SERROR\0VERROR\0C{sqlstate}\0Msays the proxy\0\0").as_bytes()));
        // What fails at COMMIT leaves no transaction behind; in the middle of one it stays open until ROLLBACK.
        if at_commit {
            self.server.write_all(&message(b'Q', b"rollback\0").bytes())?;
            self.answer()?;
        } else if begins {
            self.server.write_all(&message(b'Q', b"begin\0").bytes())?;
            self.answer()?;
        }
        answer.push(message(b'Z', if begins { b"E" } else { b"I" }));
        self.client.write_all(&answer.iter().flat_map(Message::bytes).collect::<Vec<_>>())
    }

    fn answer(&mut self) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let message = Message::read(&mut self.server)?;
            let ends = message.tag == b'Z';
            messages.push(message);
            if ends {
                return Ok(messages);
            }
        }
    }

    fn relay_answer(&mut self) -> io::Result<Vec<Message>> {
        let answer = self.answer()?;
        self.client.write_all(&answer.iter().flat_map(Message::bytes).collect::<Vec<_>>())?;
        Ok(answer)
    }
}
