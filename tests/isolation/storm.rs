//! Many clients at once, each request as somebody else; what comes back is searched for anything of anybody else.

use std::fmt;
use std::io::{BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, Reply, read_reply};
use crate::world::{Identity, World, identities};

const CLIENTS: u64 = 8;
const LEAKS_KEPT: usize = 10;
/// Between two disturbances from outside: a killed backend or DDL.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Default, Debug)]
pub struct Tally {
    pub answers: u64,
    pub good: u64,
    /// Answers of 4xx that were asked for.
    pub errors: u64,
    pub timeouts: u64,
    pub unavailable: u64,
    pub hung_up: u64,
    pub killed: u64,
    pub leaks: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.good += other.good;
        self.errors += other.errors;
        self.timeouts += other.timeouts;
        self.unavailable += other.unavailable;
        self.hung_up += other.hung_up;
        self.killed += other.killed;
        self.leaks.extend(other.leaks);
        self.leaks.truncate(LEAKS_KEPT);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, good, errors, timeouts, unavailable, hung_up, killed, leaks } = self;
        write!(
            out,
            "{answers} answers ({good} good, {errors} SQL errors, {timeouts} time-outs, {unavailable} unavailable), \
             {hung_up} hang-ups, {killed} kills and DDL, {} leaks",
            leaks.len()
        )
    }
}

pub struct Storm<'w> {
    pub world: &'w World,
    pub process: &'w Process,
    pub seed: u64,
    pub mix: Mix,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    Everything,
    /// Mostly reads that may share a connection, everything else in between.
    Sharing,
}

impl Storm<'_> {
    pub fn rage(&self, how_long: Duration) -> Tally {
        let over = AtomicBool::new(false);
        let identities = identities();
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let mut client = Client {
                        process: self.process,
                        mix: self.mix,
                        identities: &identities,
                        random: Random(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number) | 1),
                        stream: None,
                        tally: Tally::default(),
                    };
                    let over = &over;
                    scope.spawn(move || {
                        while !over.load(Ordering::Relaxed) {
                            client.step();
                        }
                        client.tally
                    })
                })
                .collect();
            let mut tally = Tally { killed: self.disturb(how_long), ..Tally::default() };
            over.store(true, Ordering::Relaxed);
            clients.into_iter().for_each(|client| tally.add(client.join().unwrap()));
            tally
        })
    }

    /// Kills backends and changes a table until the time is up.
    fn disturb(&self, how_long: Duration) -> u64 {
        let end = Instant::now() + how_long;
        let mut rounds = 0;
        while Instant::now() < end {
            if rounds % 2 == 0 {
                self.world.kill_backend();
            } else {
                self.world.make_stale(rounds / 2);
            }
            rounds += 1;
            // The pace of the disturbances, not a wait for anything.
            thread::sleep(PAUSE.min(end.saturating_duration_since(Instant::now())));
        }
        rounds as u64
    }
}

const OBJECT: &str = "Accept: application/vnd.pgrst.object+json\r\n";

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// What an answer must be, beside being nobody else's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    /// Every row is its owner's, and there are some.
    Rows,
    /// The settings as this request alone makes them.
    State { zone: Option<&'static str> },
    /// Nothing more.
    Anything,
}

struct Ask {
    method: &'static str,
    path: String,
    headers: &'static str,
    body: Option<String>,
    expect: Expect,
}

struct Client<'w> {
    process: &'w Process,
    mix: Mix,
    identities: &'w [Identity],
    random: Random,
    stream: Option<BufReader<TcpStream>>,
    tally: Tally,
}

impl Client<'_> {
    fn step(&mut self) {
        let identities = self.identities;
        let who = &identities[self.random.below(identities.len())];
        let sharing = self.mix == Mix::Sharing && who.role == "reader" && self.random.below(8) > 0;
        let ask = if sharing { self.choose_shared() } else { self.choose(who) };
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.process.api).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.set_nodelay(true).unwrap();
            self.stream = Some(BufReader::new(stream));
        }
        let Some(stream) = &mut self.stream else { return };
        let sent = stream.get_mut().write_all(text(&ask, who).as_bytes());
        if self.random.below(60) == 0 {
            // Gone in the middle of it: the query is cancelled, or its answer written to nobody.
            let _ = stream.get_ref().shutdown(Shutdown::Both);
            self.stream = None;
            self.tally.hung_up += 1;
            return;
        }
        match sent.and_then(|()| read_reply(stream)) {
            Ok(reply) => self.judge(&ask, who, &reply),
            // A streamed answer whose backend died ends early; nothing of it is an answer.
            Err(_) => self.stream = None,
        }
    }

    /// A read whose role has no settings and whose rows need no code of users.
    fn choose_shared(&mut self) -> Ask {
        let number = self.random.below(9);
        let (path, headers, expect) = match self.random.below(10) {
            0..3 => ("/here".to_owned(), OBJECT, Expect::State { zone: None }),
            3 => ("/memo?id=eq.x".to_owned(), "", Expect::Anything),
            4 => ("/memo?select=id,body::int&limit=1".to_owned(), "", Expect::Anything),
            _ => (format!("/memo?select=body,owner&id=gte.{number}&limit={}", 1 + number), "", Expect::Rows),
        };
        Ask { method: "GET", path, headers, body: None, expect }
    }

    fn choose(&mut self, who: &Identity) -> Ask {
        let get = |path: &str, expect| Ask { method: "GET", path: path.to_owned(), headers: "", body: None, expect };
        let call = |name: &str, body: String, expect| Ask {
            method: "POST",
            path: format!("/rpc/{name}"),
            headers: "",
            body: Some(body),
            expect,
        };
        let number = self.random.below(1_000_000);
        match self.random.below(100) {
            0..15 => get("/note", Expect::Rows),
            15..30 => get(&format!("/note?select=id,body,owner&id=lt.{}&stamp=gte.0", 400 + number % 9), Expect::Rows),
            30..36 => Ask { headers: "Prefer: count=exact\r\n", ..get("/note?limit=5&order=body", Expect::Rows) },
            36..42 => get("/rpc/my_notes?select=body,owner", Expect::Rows),
            42..54 => get("/rpc/state_read", Expect::State { zone: None }),
            54..60 => call("state", "{}".to_owned(), Expect::State { zone: None }),
            60..64 => Ask {
                headers: "Prefer: timezone=Europe/Rome\r\n",
                ..get("/rpc/state_read", Expect::State { zone: Some("Europe/Rome") })
            },
            64..70 => {
                let body = format!("{{\"body\":\"{} {number}\",\"stamp\":1}}", who.marker());
                Ask {
                    method: "POST",
                    path: "/note".to_owned(),
                    headers: "Prefer: return=representation\r\n",
                    body: Some(body),
                    expect: Expect::Rows,
                }
            }
            // No word of the owner: the policy alone keeps others' rows out.
            70..76 => Ask {
                method: "PATCH",
                path: format!("/note?id=lt.{}", 380 + number % 40),
                headers: "Prefer: return=representation\r\n",
                body: Some(format!("{{\"body\":\"{} {number}\"}}", who.marker())),
                expect: Expect::Rows,
            },
            76..79 => Ask { method: "DELETE", ..get("/note?stamp=eq.1", Expect::Anything) },
            79..83 => call("headed", "{}".to_owned(), Expect::Anything),
            83..85 => call("hoisted", "{}".to_owned(), Expect::Anything),
            85..86 => call("serial", "{}".to_owned(), Expect::Anything),
            86..91 => {
                let how = ["raise", "divide", "late", "unique"][number % 4];
                call("fail", format!("{{\"how\":\"{how}\"}}"), Expect::Anything)
            }
            91..92 => call("nap", format!("{{\"seconds\":{}}}", [0.01, 0.3][number % 2]), Expect::Anything),
            92..96 => {
                let other = &self.identities[number % self.identities.len()];
                let body = format!("{{\"other\":\"{}\",\"other_role\":\"{}\"}}", other.marker(), other.role);
                call("leave", body, Expect::Anything)
            }
            96..97 => call("forget", "{}".to_owned(), Expect::Anything),
            97..98 if number.is_multiple_of(4) => call("die", "{}".to_owned(), Expect::Anything),
            _ => get("/note?nonsense=is.17", Expect::Anything),
        }
    }

    fn judge(&mut self, ask: &Ask, who: &Identity, reply: &Reply) {
        self.tally.answers += 1;
        let body = reply.text();
        let code = serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default()["code"].clone();
        match reply.status {
            200..300 => self.tally.good += 1,
            _ if code == "57014" => self.tally.timeouts += 1,
            400..500 => self.tally.errors += 1,
            _ => self.tally.unavailable += 1,
        }
        let heads: String = reply.headers.iter().map(|(_, value)| value.as_str()).collect();
        // What `leave` sets on purpose may name another within its own request.
        let leaving = ask.path == "/rpc/leave";
        let foreign = foreign_marker(&format!("{heads}{body}"), who).filter(|_| !leaving);
        let mut wrong = foreign.map(|marker| format!("foreign {marker}"));
        if reply.status == 299 && !leaving {
            wrong = Some("a status that another set".to_owned());
        }
        if (200..300).contains(&reply.status) {
            wrong = wrong.or_else(|| match ask.expect {
                Expect::Rows => (!body.contains(&who.marker())).then(|| "own rows are missing".to_owned()),
                Expect::State { zone } => wrong_state(&body, ask, who, zone),
                Expect::Anything => None,
            });
        }
        if let Some(wrong) = wrong.filter(|_| self.tally.leaks.len() < LEAKS_KEPT) {
            let Identity { subject, role, .. } = who;
            let excerpt = body.chars().take(600).collect::<String>();
            self.tally.leaks.push(format!(
                "{wrong}: <{subject}> ({role}) asked {} {} and got {} {heads} {excerpt}",
                ask.method, ask.path, reply.status
            ));
        }
    }
}

fn text(ask: &Ask, who: &Identity) -> String {
    let Ask { method, path, headers, body, .. } = ask;
    let marker = who.marker();
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\nX-Who: {marker}\r\nCookie: who={marker}\r\n{headers}",
        who.token
    );
    match body {
        Some(body) => {
            let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            text.push_str(&head);
            text.push_str(body);
        }
        None => text.push_str("\r\n"),
    }
    text
}

/// The first `<number>` that isn't the identity's own.
pub fn foreign_marker(text: &str, who: &Identity) -> Option<String> {
    let own = who.marker();
    text.split('<').skip(1).find_map(|rest| {
        let (number, _) = rest.split_once('>')?;
        let marker = format!("<{number}>");
        (number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() && marker != own).then_some(marker)
    })
}

/// What of the settings isn't this request's.
fn wrong_state(body: &str, ask: &Ask, who: &Identity, zone: Option<&str>) -> Option<String> {
    let state: serde_json::Value = serde_json::from_str(body).ok()?;
    let marker = who.marker();
    let read_only = if ask.method == "GET" { "on" } else { "off" };
    let timeout = if who.role == "slowpoke" { "150ms" } else { "0" };
    let expected = [
        ("role", who.role),
        ("sub", marker.as_str()),
        ("header", marker.as_str()),
        ("cookie", marker.as_str()),
        ("method", ask.method),
        ("path", ask.path.as_str()),
        ("search_path", "\"api\", \"public\""),
        ("lock_timeout", who.lock_timeout()),
        ("fast", ""),
        ("timeout", timeout),
        ("isolation", "read committed"),
        ("read_only", read_only),
        ("timezone", zone.unwrap_or("UTC")),
        ("response", ""),
    ];
    let wrong = expected.iter().find(|(name, value)| state[*name] != *value);
    wrong.map(|(name, value)| format!("setting {name} is {} and not {value:?}", state[*name]))
}
