//! One postmaster process: started, watched through its log, stopped.
//! Owns: the child process and the thread that reads its log.
//! Invariant: the log's pipe is held by every process of the cluster, so its end means that all of them are gone.
//! Limits: the last `LOG_BYTES_MAX` of the log are kept; every wait has a deadline.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ClusterError, Shutdown, os};

/// Logged when sessions are let in, in the language that `LC_ALL=C` picks; what follows says whether they may write.
const READY: &str = "database system is ready to accept ";
const LOG_BYTES_MAX: usize = 256 * 1024;
const LINE_BYTES_MAX: u64 = 64 * 1024;
const STOP_SECONDS: u64 = 30;
const KILL_SECONDS: u64 = 10;

#[derive(Default)]
struct State {
    text: String,
    ready: bool,
    ended: bool,
}

#[derive(Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` holds, at most for `limit`; says whether it does.
    fn wait(&self, limit: Duration, done: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !done(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&state)
    }

    /// Reads the pipe to its end.
    fn read(&self, pipe: ChildStderr) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => self.add(&String::from_utf8_lossy(&line)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn add(&self, line: &str) {
        let mut state = self.lock();
        state.text.push_str(line);
        if state.text.len() > LOG_BYTES_MAX {
            let cut = state.text.len() - LOG_BYTES_MAX / 2;
            let cut = (cut..state.text.len()).find(|at| state.text.is_char_boundary(*at)).unwrap_or(0);
            state.text.drain(..cut);
        }
        state.ready |= line.contains(READY);
        drop(state);
        self.changed.notify_all();
    }
}

pub(super) struct Postmaster {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Postmaster {
    /// Starts `postgres`. Its process group is its own: Ctrl-C in a terminal reaches us alone. Signals that this thread
    /// blocks are blocked in the new process too, but PostgreSQL sets its own mask.
    pub fn spawn(mut postgres: Command) -> Result<Self, ClusterError> {
        postgres.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = postgres.spawn().map_err(os("starting postgres"))?;
        let log = Arc::new(Log::default());
        let pipe = child.stderr.take();
        let mut postmaster = Self { child, log: Arc::clone(&log), reader: None };
        let Some(pipe) = pipe else { return Err(ClusterError::NotReady { log: "no log".to_owned() }) };
        let reader = thread::Builder::new().name("postgres-log".to_owned()).spawn(move || log.read(pipe));
        postmaster.reader = Some(reader.map_err(os("starting a thread"))?);
        Ok(postmaster)
    }

    /// Returns once sessions are let in.
    pub fn wait_ready(&self, limit: Duration) -> Result<(), ClusterError> {
        self.log.wait(limit, |state| state.ready || state.ended);
        let state = self.log.lock();
        if state.ready && !state.ended { Ok(()) } else { Err(ClusterError::NotReady { log: state.text.clone() }) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of the log.
    pub fn log(&self) -> String {
        self.log.lock().text.clone()
    }

    /// Ends all processes of the cluster and returns when they are gone.
    pub fn stop(mut self, how: Shutdown) -> io::Result<()> {
        self.end(how)
    }

    fn end(&mut self, how: Shutdown) -> io::Result<()> {
        let first = match how {
            Shutdown::Fast => Signal::SIGINT,
            Shutdown::Immediate => Signal::SIGQUIT,
        };
        for (signal, seconds) in
            [(first, STOP_SECONDS), (Signal::SIGQUIT, KILL_SECONDS), (Signal::SIGKILL, KILL_SECONDS)]
        {
            self.signal(signal)?;
            if self.reader.is_none() || self.log.wait(Duration::from_secs(seconds), |state| state.ended) {
                break;
            }
        }
        self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has nothing more to tell.
            let _ = reader.join();
        }
        Ok(())
    }

    /// Sends a signal, unless the process has been waited for already.
    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // Nobody is left to be told; the folder's sweep ends a postmaster that survives this.
            let _ = self.end(Shutdown::Fast);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn(script: &str) -> Postmaster {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).stdin(Stdio::null());
        Postmaster::spawn(shell).expect("a process")
    }

    fn check(script: &str, ready: bool, said: &str) {
        let process = spawn(script);
        let outcome = process.wait_ready(Duration::from_secs(10));
        assert_eq!(outcome.is_ok(), ready, "{script}: {outcome:?}");
        assert!(process.log().contains(said), "{script}: {}", process.log());
        process.stop(Shutdown::Immediate).expect("an end");
    }

    #[test]
    fn readiness_is_read_from_the_log() {
        for kind in ["", "read-only "] {
            check(&format!("echo 'LOG:  {READY}{kind}connections' >&2; exec sleep 60"), true, READY);
        }
        check("echo 'FATAL:  no' >&2; exit 1", false, "FATAL:  no");
        check("exit 0", false, "");
    }

    #[test]
    fn the_log_is_bounded() {
        let log = Log::default();
        for _ in 0..20_000 {
            log.add("a line of some length, with a letter of two bytes: é\n");
        }
        assert!(log.lock().text.len() <= LOG_BYTES_MAX);
    }
}
