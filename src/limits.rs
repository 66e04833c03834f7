//! Every bound and buffer size, with its unit and its reason. Latency and memory are read off this page.

use std::num::NonZeroU16;

/// A request head (request line and headers) may take this many bytes; past it 431, or 414 for the request line.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The request target alone; past it 414. PostgREST refuses heads over 50 KiB, so no client of its has longer targets.
pub const TARGET_BYTES_MAX: usize = 56 * 1024;
/// Headers in one request; more are refused with 431.
pub const HEADER_COUNT_MAX: usize = 128;
/// A method longer than this names nothing that anybody answers; 501.
pub const METHOD_BYTES_MAX: usize = 64;
/// The longest head of an answer that still leaves in one write with its body without being copied around.
pub const RESPONSE_HEAD_ROOM_BYTES: usize = 1024;
/// An answer's buffer up to this size is kept for the next answer; a larger one is freed.
pub const RESPONSE_KEPT_BYTES: usize = 72 * 1024;
/// So many buffers a core keeps: requests under way at the same time beyond it allocate theirs.
pub const RESPONSE_BUFFERS_SPARE: usize = 128;
/// One write to a client takes at most this much, so that a stall is noticed within a large body.
pub const CLIENT_WRITE_BYTES: usize = 64 * 1024;
/// After this much of one body, read or written, the core's other tasks get a turn: a fast client's socket may never
/// make its task wait. A turn costs a millisecond, hence not after less.
pub const CLIENT_TURN_BYTES: usize = 4 * 1024 * 1024;
/// And after this many requests that were there before they were asked for.
pub const PIPELINED_PER_TURN: u32 = 128;
/// One read of a request body takes at most this much.
pub const BODY_READ_BYTES: usize = 64 * 1024;
/// One chunk-size line with its extension.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// All chunk extensions of one body: they carry nothing, so a body may not consist of them.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// All trailers of one body; they are checked and dropped.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// After an answer that ends the connection, a client gets this long to read it before the socket closes.
pub const LINGER_SECONDS: u64 = 2;
/// And may send this much that nobody reads.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// A waiting connection's read buffer: most requests fit, and ten thousand idle clients take 20 MB of them.
pub const IDLE_BUFFER_BYTES: usize = 2 * 1024;
/// What a read buffer grows by when that was not enough. It returns to the idle size after an outsized request.
pub const READ_BUFFER_BYTES: usize = 8 * 1024;
/// One read from PostgreSQL takes at most this much, so that one large answer is not another request's latency.
pub const WIRE_READ_BYTES: usize = 64 * 1024;
/// A batch up to this size is written before answers are read: it fits into any socket buffer. A larger one is written
/// while answers are read.
pub const WIRE_WRITE_BYTES: usize = 32 * 1024;
/// After a request whose buffers took this much, what was freed is given back to the system at once.
pub const OUTSIZED_BYTES: usize = 4 * 1024 * 1024;
/// A message that PostgreSQL reads (`PQ_LARGE_MESSAGE_LIMIT`); after a longer one it closes the connection.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) - 2;
/// A body, or the JSON made of it, may be this large to be a parameter: there is room for the others in its message.
pub const PARAMETER_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (1 << 20);
/// A body from this size on is sent to PostgreSQL from where it was received; a smaller one is copied, which is cheaper than
/// one more write.
pub const BODY_LENT_BYTES: usize = 64 * 1024;
/// The first line of a CSV body: 1600 columns with names of 63 bytes, PostgreSQL's most, are less than half of it.
pub const CSV_HEADER_BYTES_MAX: usize = 256 * 1024;
/// Keys of one JSON object that are told apart. No table has more than 1600 columns and no routine more than 100 parameters, so
/// what there may be beyond them cannot be a name of either.
pub const JSON_KEYS_MAX: usize = 16 * 1024;
/// Fields of one urlencoded body.
pub const FORM_FIELDS_MAX: usize = 256 * 1024;
/// A single frame from PostgreSQL (one row) may be this large; PostgreSQL's own field limit is 1 GiB.
pub const FRAME_BYTES_MAX: usize = 1 << 30;
/// A body is buffered up to here; past it a read whose plan allows it goes on chunked.
pub const BODY_BUFFERED_BYTES: usize = 4 * 1024 * 1024;
/// A body that may stream gets room for `BODY_BUFFERED_BYTES` at once when it reaches this size.
pub const BODY_GROWTH_BYTES: usize = 256 * 1024;
/// A streamed body is written to the client in pieces of about this size.
pub const STREAM_CHUNK_BYTES: usize = 64 * 1024;
/// A client that takes nothing for this long is cut.
pub const CLIENT_STALL_SECONDS: u64 = 30;
/// A client gets this long for a whole request head, from its first byte.
pub const HEAD_SECONDS: u64 = 30;
/// An idle keep-alive connection is closed after this.
pub const KEEP_ALIVE_SECONDS: u64 = 75;
/// Bytes of a request body must keep coming: at most this long between two reads.
pub const BODY_STALL_SECONDS: u64 = 30;
/// Default of `server-max-body` in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// All request bodies that are on their way to one core, in bytes; more are refused with 503. At least one of the largest
/// always fits.
pub const BODIES_BYTES_PER_CORE: usize = 1 << 30;
/// Default of `server-max-response` in bytes: a body that may not stream is refused past it.
pub const RESPONSE_BYTES_MAX: usize = 1 << 30;
/// Prepared statements kept on one connection; the least recently used is closed beyond it.
pub const PREPARED_PER_CONNECTION: usize = 512;
/// A core that loses so many prepared statements within a second, and one of every so many executed, goes on without
/// preparing: behind a pooler that hands out sessions by transaction each loss leaves statements on a session for good.
pub const STATEMENTS_LOST_MIN: u64 = 4;
pub const STATEMENTS_PER_LOST_ONE: u64 = 64;
/// The text of all of them: PostgreSQL keeps some forty times as much for each (0.8 MB for 20 KB of columns and casts).
pub const PREPARED_BYTES_PER_CONNECTION: usize = 1024 * 1024;
/// A statement with a longer text is parsed on each use.
pub const PREPARED_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Messages of LISTEN kept until somebody asks for them; the oldest go first.
pub const NOTIFICATIONS_MAX: usize = 1024;
/// A message of PostgreSQL before the connection is ready; libpq takes 30 000 bytes.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 64 * 1024;
/// All settings that PostgreSQL reports about a connection.
pub const PARAMETERS_BYTES_MAX: usize = 64 * 1024;
/// SCRAM rounds that a server may ask for (its default is 4096): about a second of one connector thread.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;
/// Connections and cancellations that may wait for a connector thread.
pub const CONNECTOR_JOBS_MAX: usize = 4096;
/// Opening a connection takes at most this long; `connect_timeout` in the target may say less for each address.
pub const CONNECT_SECONDS: u64 = 15;
/// A cancellation gets this long to be delivered.
pub const CANCEL_SECONDS: u64 = 10;
/// Requests that may wait for a connection on one core; more are refused at once with 504.
pub const POOL_WAITERS_MAX: usize = 10_000;
/// A request that has waited this long for a connection makes its core ask the others for a place.
pub const POOL_PATIENCE_MS: u64 = 5;
/// And again after this, as long as it waits.
pub const POOL_ASK_AGAIN_MS: u64 = 100;
/// What `server-db-pipeline` may be.
pub const DB_PIPELINE_MAX: u64 = 64;
/// Reads that share a connection on which nobody's turn has come for this long are sent once more, each on one of its own.
pub const DB_PIPELINE_PATIENCE_MS: u64 = 50;
/// After a reload that found what sessions start from changed, every connection to PostgreSQL is replaced within this time.
pub const POOL_RENEWAL_SECONDS: u64 = 5;
/// Client connections on one core.
pub const CLIENTS_PER_CORE_MAX: usize = 65_536;
/// Nested parentheses in `select`, `and`, `or`, and nested embeds.
pub const NESTING_MAX: usize = 200;
/// Subqueries in one read's statement: about 150 bytes of SQL each, and planning time in PostgreSQL.
pub const SUBQUERIES_MAX: u64 = 4096;
/// Columns of parents and child rows together: a row has NULLs in those that aren't its own, five bytes each, and
/// PostgreSQL takes 1,664.
pub const CHILD_ROW_COLUMNS_MAX: usize = 256;
/// Relationships of one catalog; foreign keys multiply with the views over both of their tables.
pub const RELATIONSHIPS_MAX: usize = 4_000_000;
/// Ways to name one foreign key's columns in one view that shows some of them more than once.
pub const VIEW_KEY_NAMES_MAX: usize = 1024;

/// Log lines waiting for the log thread; a full queue drops lines and counts them.
pub const LOG_LINES_QUEUED_MAX: usize = 8192;
/// The log is told once in this time that requests wait in vain for a connection, by each core.
pub const POOL_TIMEOUT_TOLD_SECONDS: u64 = 5;
/// The last log lines may take this long to be written when the process ends, in milliseconds.
pub const LOG_FINISH_MS: u64 = 1000;
/// A core that does not answer a scrape within this time is left out of it, in milliseconds.
pub const SCRAPE_MS: u64 = 500;
/// A listener that heard nothing for this long asks PostgreSQL whether it is still there.
pub const LISTENER_HEARTBEAT_SECONDS: u64 = 30;
/// And gives it this long to say so.
pub const LISTENER_ANSWER_SECONDS: u64 = 10;
/// Connections the kernel keeps for the acceptor.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Pause after a failed accept (out of descriptors mostly), in milliseconds.
pub const ACCEPT_BACKOFF_MS: u64 = 50;
/// On a shared port (`server-reuseport`), what the kernel has queued for us gets this long to be accepted after SIGTERM.
pub const HAND_OVER_MS: u64 = 200;
/// After SIGTERM the listening socket stays for so long while connections that are on their way arrive and new ones are
/// kept out: one that is established and then reset may have carried a request that nobody dares to send again.
pub const LAST_CONNECTIONS_MS: u64 = 10;
/// For this long after SIGTERM keep-alive clients are told with their next answer that it is the last; then those that
/// asked for nothing are closed.
pub const DRAIN_NOTICE_MS: u64 = 100;
/// In-flight requests get this long after SIGTERM before their connections are cut.
pub const DRAIN_SECONDS: u64 = 30;
/// Back-off between tries to reach PostgreSQL doubles up to this.
pub const RECONNECT_SECONDS_MAX: u32 = 32;
/// Asks that wait for the reload thread; more are answered by the load that is due anyway.
pub const RELOAD_ASKS_MAX: usize = 64;
/// Asks within this time are one reload, in milliseconds (PostgREST's window).
pub const RELOAD_DEBOUNCE_MS: u64 = 100;
/// Jobs that wait for the thread that works when the machine is idle.
pub const BACKGROUND_JOBS_MAX: usize = 8;
/// A catalog that such a thread has not built by then is built by another.
pub const BACKGROUND_PATIENCE_SECONDS: u64 = 5;
/// How often the reload thread looks whether a catalog that was replaced is still read, in milliseconds.
pub const RETIRED_SWEPT_MS: u64 = 100;
/// A reload beside requests asks PostgreSQL for rows that it makes within this time, in microseconds: shorter than the slice
/// for which Linux leaves a processor to one process (3 ms), so that requests wait little.
pub const RELOAD_PIECE_US: u64 = 500;
/// The fewest rows of a piece, however slow they seem: a machine without time for the reload would never come to its end.
pub const RELOAD_ROWS_MIN: NonZeroU16 = NonZeroU16::MIN.saturating_add(15);
/// A piece has so many times as many rows while nobody asks anything.
pub const RELOAD_ALONE_TIMES: NonZeroU16 = NonZeroU16::MIN.saturating_add(15);
/// And pauses so long, in milliseconds, after each such piece: a reload takes about a fifth of one processor there.
pub const RELOAD_PAUSE_MS: u64 = 3;
/// It does so for this time, in milliseconds, after a request has come.
pub const RELOAD_COURTESY_MS: u64 = 1000;
/// Threads that connect and cancel.
pub const CONNECTOR_THREADS: usize = 2;
/// How often boot looks whether every core still runs, in milliseconds.
pub const CORES_WATCHED_MS: u64 = 1000;
/// How often boot looks whether a thread has ended or a signal has come, in milliseconds.
pub const START_POLL_MS: u64 = 20;
/// Sets of request buffers a core keeps for its next requests.
pub const SCRATCHES_PER_CORE: usize = 64;
/// Request shapes whose plan and statement a core keeps.
pub const SHAPES_PER_CORE: usize = 2048;
/// Their keys and statements together; with plan and row writer a shape takes up to five times as much.
pub const SHAPES_BYTES_PER_CORE: usize = 8 * 1024 * 1024;
/// A shape with a longer key and statement is planned on each request.
pub const SHAPE_BYTES_MAX: usize = 128 * 1024;
/// A call's JSON body up to this size is looked through for its names, to find its shape.
pub const SHAPE_BODY_BYTES_MAX: usize = 8 * 1024;
/// What a role may see in the root document is asked for at most once in this time, in milliseconds: so soon a GRANT shows.
pub const DOCUMENT_ASKED_MS: u64 = 1000;
/// Root documents that a core keeps; a larger one is written anew each time.
pub const DOCUMENTS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Roles whose documents a core remembers.
pub const DOCUMENT_ROLES_MAX: usize = 1024;
/// After this much of a root document the core's other tasks get a turn: writing a large schema's is nobody's latency.
pub const DOCUMENT_TURN_BYTES: usize = 256 * 1024;
/// A longer bearer token is verified on each request, not remembered.
pub const TOKEN_CACHED_BYTES_MAX: usize = 8 * 1024;
/// Keys in `jwt-secret`: a token that names none is tried with each of its kind.
pub const JWT_KEYS_MAX: usize = 256;

const _: () = assert!(TOKEN_CACHED_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX + HEAD_BYTES_MAX <= BODIES_BYTES_PER_CORE);
const _: () = assert!(PREPARED_TEXT_BYTES_MAX <= PREPARED_BYTES_PER_CONNECTION);
const _: () = assert!(SHAPE_BYTES_MAX <= SHAPES_BYTES_PER_CORE);
const _: () = assert!(STREAM_CHUNK_BYTES + RESPONSE_HEAD_ROOM_BYTES <= RESPONSE_KEPT_BYTES);
const _: () = assert!(STREAM_CHUNK_BYTES < BODY_BUFFERED_BYTES);
