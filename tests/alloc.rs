//! A core in steady state allocates nothing: counted, not believed.
//! The one place outside `sys` with unsafe code: a counting allocator can't be had without.
#![allow(unsafe_code)]

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use ring::hmac;
    use trunkline::auth::json_path::RolePath;
    use trunkline::auth::key::KeySet;
    use trunkline::auth::{AuthSettings, TokenCache, authenticate, base64};
    use trunkline::config::Config;
    use trunkline::config::source::Process;
    use trunkline::http::{ConnectionLimits, Drain, Gone, Reply, Request, Service, serve_connection};
    use trunkline::rt::watch::WatchTable;
    use trunkline::rt::{self, Driver, Stream};
    use trunkline::server::boot;
    use trunkline::server::cluster::{Cluster, ClusterOptions, DATABASE, SUPERUSER, free_port};

    struct Counting;

    thread_local! {
        static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
        /// Set on the tests' own threads, whose allocations are no server's.
        static IS_TEST: Cell<bool> = const { Cell::new(false) };
    }

    /// Allocations of every thread that is not a test's: those of a server that runs in this process.
    static OF_THE_SERVER: AtomicU64 = AtomicU64::new(0);
    /// And what those threads hold.
    static BYTES_OF_THE_SERVER: AtomicI64 = AtomicI64::new(0);
    /// One test at a time, so that what is counted is its own.
    static ALONE: Mutex<()> = Mutex::new(());

    fn count() {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        if !IS_TEST.get() {
            OF_THE_SERVER.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn weigh(more: usize, less: usize) {
        if !IS_TEST.get() {
            BYTES_OF_THE_SERVER.fetch_add(more as i64 - less as i64, Ordering::Relaxed);
        }
    }

    // SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local without a destructor.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count();
            weigh(layout.size(), 0);
            // SAFETY: the caller's promise about `layout` is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            weigh(0, layout.size());
            // SAFETY: `block` came from `System` with this layout.
            unsafe { System.dealloc(block, layout) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            count();
            weigh(size, layout.size());
            // SAFETY: `block` came from `System` with this layout, and the caller vouches for `size`.
            unsafe { System.realloc(block, layout, size) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;

    /// Answers with a head and body of usual size, and notes how much had been allocated by then.
    struct Answers {
        seen: Cell<[u64; REQUESTS]>,
        served: Cell<usize>,
    }

    const REQUESTS: usize = 400;
    /// From here on everything is warm.
    const WARM: usize = 100;

    impl Service for Answers {
        async fn call(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), Gone> {
            let mut seen = self.seen.get();
            seen[self.served.get()] = ALLOCATIONS.get();
            self.seen.set(seen);
            self.served.set(self.served.get() + 1);
            reply.head.set_status(200, None);
            reply.head.add("Content-Type", b"application/json; charset=utf-8");
            reply.head.add_format("Content-Range", format_args!("0-{}/*", request.target.len()));
            reply.head.set("Content-Type", b"text/plain");
            reply.body().extend_from_slice(&[b'x'; 2000]);
            if self.served.get().is_multiple_of(2) {
                reply.start_stream().await?;
                reply.body().extend_from_slice(request.body);
                reply.flush().await?;
                reply.body().extend_from_slice(&[b'y'; 2000]);
            }
            Ok(())
        }
    }

    const REQUEST: &[u8] = b"POST /films?id=eq.1 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nPrefer: count=exact\r\n\
        User-Agent: test\r\nContent-Length: 5\r\n\r\nhello";

    /// Ten thousand idle clients shall not take more than 100 MB: a connection's task is one part of it.
    #[test]
    fn an_idle_connection_is_small() {
        let _alone = ALONE.lock();
        let (mine, _theirs) = UnixStream::pair().unwrap();
        let size = rt::run(Driver::Epoll, async move {
            let (table, drain, limits) = (WatchTable::new(), Drain::new(), ConnectionLimits::default());
            let service = Answers { seen: Cell::new([0; REQUESTS]), served: Cell::new(0) };
            let stream = Stream::from_unix(mine).unwrap();
            size_of_val(&serve_connection(stream, "-", &table, &service, &drain, &limits))
        });
        let size = size.unwrap();
        assert!(size < 4096, "{size} bytes");
    }

    #[test]
    fn a_warm_connection_allocates_nothing() {
        let _alone = ALONE.lock();
        for driver in [Driver::Epoll, rt::driver()] {
            let (mine, mut theirs) = UnixStream::pair().unwrap();
            let client = std::thread::spawn(move || {
                let mut piece = [0; 64 * 1024];
                for served in 1..=REQUESTS {
                    theirs.write_all(REQUEST).unwrap();
                    let end: &[u8] = if served % 2 == 0 { b"\r\n0\r\n\r\n" } else { b"xxxxxxx" };
                    let (mut filled, mut whole) = (0, false);
                    while !whole {
                        match theirs.read(&mut piece[filled..]) {
                            Ok(read) => filled += read,
                            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Interrupted),
                        }
                        let body = piece[..filled].windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
                        let long = body.is_some_and(|body| filled >= body + 2000);
                        whole = long && piece[..filled].ends_with(end);
                    }
                }
            });
            let seen = rt::run(driver, async move {
                let (table, drain, limits) = (WatchTable::new(), Drain::new(), ConnectionLimits::default());
                let service = Answers { seen: Cell::new([0; REQUESTS]), served: Cell::new(0) };
                let stream = Stream::from_unix(mine).unwrap();
                serve_connection(stream, "-", &table, &service, &drain, &limits).await;
                service.seen.get()
            })
            .unwrap();
            client.join().unwrap();
            assert!(seen[0] > 0, "the counter counts");
            assert_eq!(seen[REQUESTS - 1] - seen[WARM], 0, "{driver:?}");
        }
    }

    /// Verifying may allocate; finding the token again does not, nor does refusing it once it has expired.
    #[test]
    fn a_token_that_is_known_allocates_nothing() {
        let secret = b"a secret of more than thirty-two bytes";
        let url = |bytes: &[u8]| base64::encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_");
        let signed = format!("{}.{}", url(br#"{"alg":"HS256"}"#), url(br#"{"role":"reader","exp":2000}"#));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        let header = format!("Bearer {signed}.{}", url(signature.as_ref()));
        let keys = KeySet::parse(secret).unwrap();
        let settings = AuthSettings::new(Some(keys), Some(secret), None, RolePath::default(), None, 10);
        let mut cache = TokenCache::new();
        let mut ask = |now| authenticate(std::iter::once(header.as_bytes()), &settings, now, Some(&mut cache));
        let before = ALLOCATIONS.get();
        let first = ask(1000).unwrap();
        assert!(ALLOCATIONS.get() > before, "the counter counts");
        let before = ALLOCATIONS.get();
        for _ in 0..100 {
            assert!(std::sync::Arc::ptr_eq(&first, &ask(1000).unwrap()));
        }
        assert!(ask(3000).is_err(), "expired, though known");
        assert_eq!(ALLOCATIONS.get() - before, 0);
    }

    const SCHEMA: &str = "create role visitor; grant visitor to postgres; create schema shop; \
        create table shop.track (id int primary key, name text, ms int, price numeric, added_at timestamptz); \
        insert into shop.track select n, 'Track \"' || n, n * 1000, n / 4.0, now() from generate_series(1, 500) n; \
        create function shop.add_them(a int, b int) returns int language sql immutable as 'select a + b'; \
        create function shop.add_now(a int, b int) returns int language plpgsql volatile as 'begin return a + b; end'; \
        create function shop.tracks_from(first int) returns setof shop.track language sql stable as \
        'select * from shop.track where id >= first'; \
        grant usage on schema shop to visitor; grant select on shop.track to visitor";

    /// A request with a value that changes from one to the next, and how its answer's body begins.
    type Exchange = (&'static str, fn(usize) -> String, fn(usize) -> String);

    /// Reads of one row and of a hundred; calls with a scalar and with rows, by GET and POST, that may write or not.
    const EXCHANGES: [Exchange; 6] = [
        ("one row", |n| get(&format!("/track?select=id,name,ms&id=eq.{n}")), |n| format!("[{{\"id\":{n},")),
        ("100 rows", |n| get(&format!("/track?limit=100&order=id&id=gt.{n}")), |n| format!("[{{\"id\":{},", n + 1)),
        ("scalar", |n| get(&format!("/rpc/add_them?a={n}&b=2")), |n| (n + 2).to_string()),
        (
            "rows of a function",
            |n| get(&format!("/rpc/tracks_from?first={n}&select=id,name&order=id&limit=5")),
            |n| format!("[{{\"id\":{n},"),
        ),
        ("posted", |n| post("/rpc/add_them", &format!("{{\"a\":{n}, \"b\": 2}}")), |n| (n + 2).to_string()),
        ("volatile", |n| post("/rpc/add_now", &format!("{{\"a\":{n}, \"b\": 2}}")), |n| (n + 2).to_string()),
    ];
    const EXCHANGED: usize = 400;

    const IDLE: usize = 200;
    /// Beside it a connection costs the kernel's and the allocator's overhead; ten thousand shall not take more than 100 MB.
    const IDLE_BYTES_MAX: i64 = 9_000;

    /// The whole way: socket, cached shape, settings, PostgreSQL, rows into JSON, answer. What other threads of the server
    /// do meanwhile (a look at the clock, a heartbeat) is counted too, so that a few allocations are none of a request's.
    #[test]
    fn a_request_of_a_known_shape_allocates_nothing_and_leaves_a_small_connection() {
        let _alone = ALONE.lock();
        IS_TEST.set(true);
        let postgres = Cluster::start(ClusterOptions::default()).unwrap();
        postgres.psql(SCHEMA).unwrap();
        let port = free_port().unwrap();
        start_server(&postgres.uri(SUPERUSER, DATABASE), port);
        let mut client = connect(port);
        for (what, request, begin) in EXCHANGES {
            let mut exchange = || (1..=EXCHANGED).for_each(|n| ask(&mut client, &request(n), &begin(n)));
            exchange();
            let before = OF_THE_SERVER.load(Ordering::Relaxed);
            exchange();
            let allocated = OF_THE_SERVER.load(Ordering::Relaxed) - before;
            assert!(before > 0, "the counter counts");
            assert!(allocated < EXCHANGED as u64 / 10, "{allocated} allocations in {EXCHANGED} of {what}");
        }
        let (_, request, begin) = EXCHANGES[0];
        let held = BYTES_OF_THE_SERVER.load(Ordering::Relaxed);
        let idle: Vec<TcpStream> = (1..=IDLE)
            .map(|n| {
                let mut client = connect(port);
                ask(&mut client, &request(n), &begin(n));
                client
            })
            .collect();
        let each = (BYTES_OF_THE_SERVER.load(Ordering::Relaxed) - held) / IDLE as i64;
        assert!((1_000..IDLE_BYTES_MAX).contains(&each), "{each} bytes for each of {} idle connections", idle.len());
    }

    fn get(target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nCookie: a=b\r\n\r\n")
    }

    fn post(target: &str, body: &str) -> String {
        let media = "Content-Type: application/json";
        format!("POST {target} HTTP/1.1\r\nHost: h\r\n{media}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// Runs in this process to its end; nothing is left to stop then.
    fn start_server(db_uri: &str, port: u16) {
        let folder = std::env::temp_dir().join(format!("trunkline-alloc-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("trunkline.conf");
        let lines = [
            &format!("db-uri = \"{db_uri}\""),
            "db-schemas = \"shop\"\ndb-anon-role = \"visitor\"\ndb-pool = 2\ndb-config = false\nlog-level = \"crit\"",
            "server-host = \"127.0.0.1\"\nserver-threads = 1",
            &format!("server-port = {port}"),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let config = Config::load(&Process, file.to_str(), &[], None).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        std::thread::spawn(|| {
            let _ = boot::run(config, Box::new(|_| Err("not read again".to_owned())));
        });
    }

    fn connect(port: u16) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            // A port's opening can't be waited for.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(client: &mut TcpStream, request: &str, begin: &str) {
        client.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let read = client.read(&mut piece).unwrap();
            answer.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                assert!(body.starts_with(begin), "{body}");
                return;
            }
        }
    }
}
