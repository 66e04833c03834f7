//! One server process under one configuration, and a group's cases against it.
//! Owns: the process; it is ended by its id when the value is dropped.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trunkline::server::cluster::free_port;

use crate::answer::{Answer, absent, differences};
use crate::corpus::{Case, Group};
use crate::http::exchange;
use crate::json::Json;

const READY_SECONDS: u64 = 20;
const STOP_SECONDS: u64 = 15;
/// Neither a process's end nor a port's opening can be waited for here: both are asked for this often.
const POLL: Duration = Duration::from_millis(5);
const LOG_TAIL_BYTES: usize = 2000;
/// A server that lets so many requests in a row run into their deadline is not asked again.
const TIMEOUTS_MAX: u32 = 3;

/// Where a group's server listens.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub main: SocketAddr,
    pub admin: SocketAddr,
}

pub struct Server {
    pub addresses: Addresses,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Writes the group's configuration file, starts `program` with it, and waits for `/ready` of the admin port.
    pub fn start(program: &Path, group: &Group, db_uri: &str, folder: &Path) -> Result<Self, String> {
        let name = format!("{}-{}", group.half, group.name);
        let problem = |error: io::Error| format!("starting {}: {error}", program.display());
        let port = || free_port().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(problem);
        let addresses = Addresses { main: port()?, admin: port()? };
        let config = folder.join(format!("{name}.conf"));
        fs::write(&config, config_text(&group.settings, db_uri, addresses)).map_err(problem)?;
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).map_err(problem)?;
        let mut command = Command::new(program);
        // What this process was told about databases is not for the server.
        for (variable, _) in std::env::vars_os() {
            if variable.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(variable);
            }
        }
        command.arg(&config).stdin(Stdio::null()).stdout(output.try_clone().map_err(problem)?).stderr(output);
        let mut server = Self { addresses, child: command.spawn().map_err(problem)?, log };
        server.wait_ready()?;
        Ok(server)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let request = Json::Object(vec![("path".to_owned(), Json::String("/ready".to_owned()))]);
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS);
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended ({status}) before it was ready:\n{}", self.log_tail()));
            }
            if exchange(self.addresses.admin, &request).is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(format!("the server did not become ready within {READY_SECONDS} s:\n{}", self.log_tail()))
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }

    /// What the process ended with, if it ended on its own.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("the server ended ({status}):\n{}", self.log_tail()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS);
        if let Ok(pid) = i32::try_from(self.child.id())
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(POLL);
        }
    }
}

/// The settings of a group over the ones that every server needs.
fn config_text(settings: &Json, db_uri: &str, addresses: Addresses) -> String {
    let number = |port: u16| Json::Number(port.to_string());
    let mut lines = vec![
        ("db-uri".to_owned(), Json::String(db_uri.to_owned())),
        ("server-host".to_owned(), Json::String(addresses.main.ip().to_string())),
        ("server-port".to_owned(), number(addresses.main.port())),
        ("admin-server-port".to_owned(), number(addresses.admin.port())),
    ];
    for (key, value) in settings.pairs() {
        lines.retain(|(known, _)| known != key);
        lines.push((key.clone(), value.clone()));
    }
    lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

/// Asks a server everything that a case asks; the sentences say how it differed, none when it passed.
pub fn run_case(case: &Case, addresses: Addresses) -> (Vec<String>, Option<io::ErrorKind>) {
    let mut problems = Vec::new();
    for (index, request) in case.requests.iter().enumerate() {
        let admin = request.at("port").and_then(Json::text) == Some("admin");
        let reply = match exchange(if admin { addresses.admin } else { addresses.main }, request) {
            Ok(reply) => reply,
            Err(error) => {
                problems.push(format!("no answer: {error}"));
                return (problems, Some(error.kind()));
            }
        };
        let step = if case.has_steps { format!("step {}: ", index + 1) } else { String::new() };
        let found = differences(request, &Answer::of(&reply), &absent(request, &reply));
        problems.extend(found.into_iter().map(|problem| format!("{step}{problem}")));
    }
    (problems, None)
}

/// Runs the cases of a group in order against a server that is up; `ended` tells whether it died meanwhile.
pub fn run_cases<'c>(
    cases: &[&'c Case],
    addresses: Addresses,
    mut ended: impl FnMut() -> Option<String>,
) -> Vec<(&'c Case, Vec<String>)> {
    let (mut results, mut timeouts, mut given_up) = (Vec::new(), 0, None);
    for case in cases {
        if let Some(why) = &given_up {
            results.push((*case, vec![format!("not asked: {why}")]));
            continue;
        }
        let (problems, trouble) = run_case(case, addresses);
        results.push((*case, problems));
        timeouts = match trouble {
            Some(io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => timeouts + 1,
            Some(_) | None => 0,
        };
        if timeouts == TIMEOUTS_MAX {
            given_up = Some(format!("{TIMEOUTS_MAX} requests in a row had no answer in time"));
        }
        if trouble.is_some() && given_up.is_none() {
            given_up = ended();
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::json;

    /// Answers every connection with the next of `replies`, then stops listening.
    fn stub(replies: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().expect("a port"))).expect("a listener");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                stream.write_all(reply.as_bytes()).expect("an answer");
            }
        });
        address
    }

    fn case(line: &str) -> Case {
        let value = json::parse(line).expect(line);
        let steps = value.at("steps").map(Json::items).unwrap_or_default().to_vec();
        let has_steps = !steps.is_empty();
        Case { id: "x".into(), area: "read/x".into(), requests: if has_steps { steps } else { vec![value] }, has_steps }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]";
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn cases_against_a_server_of_our_own() {
        let good = r#"{"path": "/", "expect": {"status": 200, "headers": {"Content-Type": "application/json"}, "json": [1.0]}}"#;
        let steps = format!(r#"{{"steps": [{good}, {good}]}}"#);
        let check = |line: &str, replies, expect: &[&str]| {
            let address = stub(replies);
            let (problems, _) = run_case(&case(line), Addresses { main: address, admin: address });
            assert_eq!(problems, expect, "{line}");
        };
        check(good, &[OK], &[]);
        check(&steps, &[OK, OK], &[]);
        let second = ["step 2: status: expected 200, got 404", "step 2: body: expected [1.0]\n      got      {}"];
        check(&steps, &[OK, MISSING], &second);
        check(
            &steps,
            &[MISSING, OK],
            &second.map(|problem| problem.replace("step 2", "step 1")).each_ref().map(|p| p.as_str()),
        );
        check(good, &[""], &["no answer: connection closed before a status line"]);
        let admin = case(
            r#"{"path": "/ready", "port": "admin", "expect": {"status": 404, "headers": {}}, "ignore": ["content-type"]}"#,
        );
        let addresses = Addresses { main: stub(&[OK]), admin: stub(&[MISSING]) };
        assert_eq!(run_case(&admin, addresses).0, Vec::<String>::new());
    }

    #[test]
    fn a_server_that_died_is_not_asked_again() {
        let cases = [case(r#"{"path": "/"}"#), case(r#"{"path": "/"}"#)];
        let address = stub(&[""]);
        let ended = || Some("the server ended".to_owned());
        let results = run_cases(&cases.each_ref(), Addresses { main: address, admin: address }, ended);
        assert!(results[0].1[0].starts_with("no answer"), "{:?}", results[0].1);
        assert_eq!(results[1].1, ["not asked: the server ended"]);
    }

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let folder = std::env::temp_dir().join(format!("trunkline-server-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder");
        let group = Group { half: "read", name: "g".into(), settings: Json::Object(vec![]), cases: vec![] };
        let check = |program: &str, expect: &str| {
            let error = Server::start(Path::new(program), &group, "postgresql://", &folder).err().expect("an error");
            assert!(error.contains(expect), "{program}: {error}");
        };
        // Prints the configuration file's path in its complaint, or the file itself, and ends.
        check("/bin/ls", "before it was ready:");
        check("/bin/cat", "db-uri = \"postgresql://\"");
        check("/nonexistent", "starting /nonexistent");
        fs::remove_dir_all(folder).expect("removal");
    }

    #[test]
    fn the_groups_settings_win() {
        let address: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let settings =
            json::parse(r#"{"server-host": "*", "db-pool": 3, "db-config": false, "s": "a\"b"}"#).expect("settings");
        let text = config_text(&settings, "uri", Addresses { main: address, admin: address });
        let expect = "db-uri = \"uri\"\nserver-port = 1\nadmin-server-port = 1\nserver-host = \"*\"\ndb-pool = 3\n\
                      db-config = false\ns = \"a\\\"b\"\n";
        assert_eq!(text, expect);
    }
}
