//! Plays systemd: sockets that are handed over, and what the server tells about itself.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::process::{Process, ask, get, read_reply};
use crate::{ANON, cluster, options};

#[test]
fn a_socket_that_is_handed_over_is_served_and_outlives_the_server() {
    let cluster = cluster();
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = bound.local_addr().unwrap();
    let early = || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /item?limit=1 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        BufReader::new(stream)
    };
    let mut options = options(&cluster, ANON);
    options.handed = Some(Arc::new(OwnedFd::from(bound)));
    // Who connects while nobody serves waits for the next start.
    for _ in 0..2 {
        let mut waiting = early();
        let mut process = Process::start(&options);
        assert_eq!(read_reply(&mut waiting).unwrap().status, 200);
        assert_eq!(get(address, "/item?limit=1").unwrap().status, 200);
        assert!(get(process.api, "/").is_err(), "the configured port is not served");
        assert!(process.log().contains(&format!("API server listening on {address}")), "{}", process.log());
        process.signal(Signal::SIGTERM);
        assert!(process.wait_exit().success(), "{}", process.log());
    }
}

#[test]
fn a_unix_socket_that_is_handed_over_keeps_its_file() {
    let cluster = cluster();
    let path = std::env::temp_dir().join(format!("trunkline-handed-{}.socket", std::process::id()));
    let mut options = options(&cluster, ANON);
    options.handed = Some(Arc::new(OwnedFd::from(UnixListener::bind(&path).unwrap())));
    let mut process = Process::start(&options);
    assert_eq!(ask(UnixStream::connect(&path).unwrap(), "/item?limit=1").unwrap().status, 200);
    process.signal(Signal::SIGTERM);
    assert!(process.wait_exit().success());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_is_no_socket_is_refused_with_its_number() {
    let cluster = cluster();
    let mut options = options(&cluster, ANON);
    options.handed = Some(Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap())));
    let mut process = Process::spawn(&options);
    assert!(!process.wait_exit().success());
    assert!(process.log().contains("sockets of the service manager: descriptor 3"), "{}", process.log());
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end_and_the_watchdog_is_fed() {
    let cluster = cluster();
    let name = format!("trunkline-supervisor-{}", std::process::id());
    let supervisor = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = || {
        let mut buffer = [0; 128];
        let count = supervisor.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let heard = |wanted: &str| {
        while let word = hear()
            && word != wanted
        {
            assert_eq!(word, "WATCHDOG=1\n", "before {wanted}");
        }
    };
    let mut options = options(&cluster, ANON);
    options.environment.push(("NOTIFY_SOCKET".to_owned(), format!("@{name}")));
    options.environment.push(("WATCHDOG_USEC".to_owned(), "200000".to_owned()));
    let mut process = Process::spawn(&options);
    heard("READY=1\n");
    heard("WATCHDOG=1\n");
    heard("WATCHDOG=1\n");
    process.wait_ready();
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2] {
        process.signal(signal);
        let begun = loop {
            let word = hear();
            if word != "WATCHDOG=1\n" {
                break word;
            }
        };
        let us =
            begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.trim_end().parse::<u64>().ok());
        assert!(us.is_some_and(|us| us > 0), "{begun}");
        heard("READY=1\n");
    }
    process.signal(Signal::SIGTERM);
    heard("STOPPING=1\n");
    assert!(process.wait_exit().success());
}
