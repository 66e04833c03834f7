//! The `Date` header's value (RFC 9110 §5.6.7), formatted once a second on each core.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub type HttpDate = [u8; 29];

thread_local! {
    /// The second that was formatted last, and its text.
    static LATEST: Cell<(u64, HttpDate)> = const { Cell::new((u64::MAX, [b' '; 29])) };
}

/// The present second as text.
pub fn now() -> HttpDate {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (latest, text) = LATEST.get();
    if latest == seconds {
        return text;
    }
    let text = format(seconds);
    LATEST.set((seconds, text));
    text
}

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// `seconds` since 1970; years past 9999 show their last four digits.
fn format(seconds: u64) -> HttpDate {
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let [w0, w1, w2] = *pick(&DAYS, days % 7);
    let [m0, m1, m2] = *pick(&MONTHS, month - 1);
    let [d0, d1] = two(day);
    let ([y0, y1], [y2, y3]) = (two(year / 100), two(year));
    let ([h0, h1], [i0, i1], [s0, s1]) =
        (two(second_of_day / 3600), two(second_of_day / 60 % 60), two(second_of_day % 60));
    [
        w0, w1, w2, b',', b' ', d0, d1, b' ', m0, m1, m2, b' ', y0, y1, y2, y3, b' ', h0, h1, b':', i0, i1, b':', s0,
        s1, b' ', b'G', b'M', b'T',
    ]
}

fn pick<const N: usize>(names: &[&'static [u8; 3]; N], index: u64) -> &'static [u8; 3] {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or(b"???")
}

/// The last two decimal digits.
fn two(number: u64) -> [u8; 2] {
    let digit = |value: u64| u8::try_from(value % 10).map_or(b'?', |digit| b'0' + digit);
    [digit(number / 10), digit(number)]
}

/// Days since 1970-01-01 → year, month from 1, day from 1. Counts in eras of 400 years that begin in March, so that the
/// leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: u64, expect: &str) {
        assert_eq!(std::str::from_utf8(&format(seconds)).unwrap(), expect);
    }

    #[test]
    fn dates() {
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(1_704_067_199, "Sun, 31 Dec 2023 23:59:59 GMT");
        check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
        check(253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970_u64, 1_usize, 1_u64);
        for days in 0..100_000 {
            assert_eq!(civil(days), (year, u64::try_from(month).unwrap(), day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn the_cache_keeps_up() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let text = now();
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((before..=after).any(|second| format(second) == text));
        assert_eq!(now().len(), 29);
    }
}
