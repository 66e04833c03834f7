//! Events and access lines → standard error and standard output, by level, from a thread of their own.
//! Invariant: the queue is bounded and a full one drops lines and counts them; no core ever waits for a log.
//! Control characters in a line are written as `\xNN`: a client can't forge lines or drive a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Event;
use crate::config::LogLevel;
use crate::limits;

/// Whether a response of that status gets an access line.
pub fn logs_status(level: LogLevel, status: u16) -> bool {
    match level {
        LogLevel::Crit => false,
        LogLevel::Error => status >= 500,
        LogLevel::Warn => status >= 400,
        LogLevel::Info | LogLevel::Debug => true,
    }
}

fn level_of(number: u8) -> LogLevel {
    [LogLevel::Crit, LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug]
        .into_iter()
        .find(|level| *level as u8 == number)
        .unwrap_or(LogLevel::Error)
}

enum Line {
    Diagnostic(String),
    Access(String),
    End,
}

/// Handle to the log; cheap to clone, usable from every thread.
#[derive(Clone, Debug)]
pub struct Log {
    lines: SyncSender<Line>,
    level: Arc<AtomicU8>,
    /// Lines that found the queue full, since the start.
    dropped: Arc<AtomicU64>,
}

/// The writing thread; `finish` writes what is queued, if that can be written.
#[derive(Debug)]
pub struct LogThread {
    lines: SyncSender<Line>,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Waits for the last lines, but not for long: a terminal that takes nothing must not keep the process alive.
    pub fn finish(self) {
        let deadline = Instant::now() + Duration::from_millis(limits::LOG_FINISH_MS);
        let mut end = Some(Line::End);
        while !self.thread.is_finished() && Instant::now() < deadline {
            if let Some(line) = end.take()
                && let Err(TrySendError::Full(line)) = self.lines.try_send(line)
            {
                end = Some(line);
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Log {
    pub fn start(level: LogLevel) -> io::Result<(Self, LogThread)> {
        let (lines, queue) = sync_channel(limits::LOG_LINES_QUEUED_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&queue, &counted))?;
        let log = Self { lines: lines.clone(), level: Arc::new(AtomicU8::new(level as u8)), dropped };
        Ok((log, LogThread { lines, thread }))
    }

    pub fn level(&self) -> LogLevel {
        level_of(self.level.load(Ordering::Relaxed))
    }

    /// Whether `Event::Detail` is written.
    pub fn wants_details(&self) -> bool {
        self.level() == LogLevel::Debug
    }

    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    pub fn event(&self, event: &Event) {
        if event.level() <= self.level() {
            self.queue(Line::Diagnostic(event.text()));
            if let Some(text) = event.second_line() {
                self.queue(Line::Diagnostic(text));
            }
        }
    }

    /// An access line, already in Apache's combined format but for the newline.
    pub fn access(&self, line: String) {
        self.queue(Line::Access(line));
    }

    /// Lines that were dropped since the start.
    pub fn dropped_count(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn queue(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(queue: &Receiver<Line>, dropped: &AtomicU64) {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut told = 0;
    while let Ok(line) = queue.recv() {
        // A closed stream loses the line: there is nobody to tell.
        let _ = match line {
            // Whole: standard error has no buffer, and the formatter writes character by character.
            Line::Diagnostic(text) => {
                err.write_all(format!("{}: {}\n", timestamp(SystemTime::now()), Harmless(&text)).as_bytes())
            }
            Line::Access(text) => writeln!(out, "{}", Harmless(&text)),
            Line::End => return,
        };
        let lost = dropped.load(Ordering::Relaxed);
        if lost > told {
            let _ = writeln!(err, "{}: {} log lines were dropped", timestamp(SystemTime::now()), lost - told);
            told = lost;
        }
    }
}

/// Text whose control characters are shown instead of obeyed.
struct Harmless<'t>(&'t str);

impl std::fmt::Display for Harmless<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '\t' => out.write_char(character)?,
                control if control.is_control() => write!(out, "\\x{:02x}", u32::from(control))?,
                plain => out.write_char(plain)?,
            }
        }
        Ok(())
    }
}

/// `24/Nov/2026:14:55:17 +0000`, always UTC.
pub fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_date(days);
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or("Jan");
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// Days since 1970-01-01 → year, month (from 1), day (from 1), by the proleptic Gregorian calendar.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps() {
        let check = |seconds: u64, expect: &str| {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expect);
        };
        check(0, "01/Jan/1970:00:00:00 +0000");
        check(951_782_400, "29/Feb/2000:00:00:00 +0000");
        check(1_795_532_117, "24/Nov/2026:14:55:17 +0000");
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(Harmless("a\nb\x1b[0m").to_string(), "a\\x0ab\\x1b[0m");
    }

    #[test]
    fn levels_decide_which_statuses_are_logged() {
        assert!(!logs_status(LogLevel::Crit, 500));
        assert!(logs_status(LogLevel::Error, 500) && !logs_status(LogLevel::Error, 404));
        assert!(logs_status(LogLevel::Warn, 404) && !logs_status(LogLevel::Warn, 200));
        assert!(logs_status(LogLevel::Info, 200));
        assert_eq!(level_of(LogLevel::Debug as u8), LogLevel::Debug);
    }
}
