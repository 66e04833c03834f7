//! Decimal numbers of any size as text: what claims hold and what paths compare. Nothing here rounds.
//! Invariant: `digits` has neither leading nor trailing zeros; zero is no digits at all.

use std::cmp::Ordering;

/// `digits × 10^exponent`, with what the writer needs to know of the original form.
#[derive(Clone, Debug)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
    /// The exponent before trailing zeros moved into it: `1.0` is written with a point, `1` and `10e-1` are not alike.
    written_exponent: i64,
}

impl Decimal {
    /// Takes text of JSON's number grammar; digits anywhere else than that grammar has them are ignored.
    pub fn parse(text: &str) -> Self {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (text.get(..at).unwrap_or(""), text.get(at + 1..).unwrap_or("")),
            None => (text, "0"),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction_len = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let written_exponent = exponent.parse::<i64>().unwrap_or(0).saturating_sub(fraction_len);
        let all: String = whole.chars().chain(fraction.chars()).filter(char::is_ascii_digit).collect();
        let kept = all.trim_end_matches('0');
        let dropped = i64::try_from(all.len() - kept.len()).unwrap_or(0);
        let digits = kept.trim_start_matches('0').to_owned();
        let exponent = if digits.is_empty() { 0 } else { written_exponent.saturating_add(dropped) };
        Self { negative: mantissa.starts_with('-') && !digits.is_empty(), digits, exponent, written_exponent }
    }

    /// The number if it is whole and fits 64 bits.
    pub fn to_i64(&self) -> Option<i64> {
        if self.exponent < 0 || self.magnitude() > 19 {
            return None;
        }
        let mut sum: i128 = 0;
        for digit in self.digits.bytes() {
            sum = sum * 10 + i128::from(digit - b'0');
        }
        sum *= 10i128.pow(u32::try_from(self.exponent).ok()?);
        i64::try_from(if self.negative { -sum } else { sum }).ok()
    }

    /// Appends the form PostgREST gives claims: whole numbers in full, others with a point, and with an exponent
    /// where they are below 0.1 or from 10^7 on.
    pub fn write_json(&self, out: &mut String) {
        if (0..=1024).contains(&self.written_exponent) {
            self.write_whole(out);
        } else {
            self.write_pointed(out);
        }
    }

    /// Appends the form with a point or exponent always: `5` is `5.0`.
    pub fn write_pointed(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        let magnitude = self.magnitude();
        if self.digits.is_empty() {
            out.push_str("0.0");
        } else if magnitude == 0 {
            out.push_str("0.");
            out.push_str(&self.digits);
        } else if (1..=7).contains(&magnitude) {
            for (index, digit) in self.digits.chars().enumerate() {
                if i64::try_from(index) == Ok(magnitude) {
                    out.push('.');
                }
                out.push(digit);
            }
            if self.exponent >= 0 {
                out.extend(std::iter::repeat_n('0', usize::try_from(self.exponent).unwrap_or(0)));
                out.push_str(".0");
            }
        } else {
            let (first, rest) = self.digits.split_at_checked(1).unwrap_or((&self.digits, ""));
            out.push_str(first);
            out.push('.');
            out.push_str(if rest.is_empty() { "0" } else { rest });
            out.push('e');
            out.push_str(&(magnitude - 1).to_string());
        }
    }

    fn write_whole(&self, out: &mut String) {
        if self.digits.is_empty() {
            out.push('0');
            return;
        }
        if self.negative {
            out.push('-');
        }
        out.push_str(&self.digits);
        // At most the 1024 that `write_json` admits and the zeros that stood in the text.
        out.extend(std::iter::repeat_n('0', usize::try_from(self.exponent).unwrap_or(0)));
    }

    /// Where the point stands, counted from the first digit: 1 for 5, 0 for 0.5, -1 for 0.05.
    fn magnitude(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_add(self.exponent)
    }
}

impl Decimal {
    /// By value: `1.0` and `1` are equal.
    pub fn compare(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign != Ordering::Equal || self.digits.is_empty() {
            return by_sign;
        }
        // Without zeros at either end, the longer of two digit strings with one prefix is the larger.
        let by_size = self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
        if self.negative { by_size.reverse() } else { by_size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_reference_writes_them() {
        for (text, expect) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.0", "0.0"),
            ("-0.0", "0.0"),
            ("1", "1"),
            ("-17", "-17"),
            ("1.0", "1.0"),
            ("1e3", "1000"),
            ("1.20e1", "12.0"),
            ("1.2e3", "1200"),
            ("0.1", "0.1"),
            ("0.05", "5.0e-2"),
            ("4102444800.5", "4.1024448005e9"),
            ("1234567.5", "1234567.5"),
            ("12345678.5", "1.23456785e7"),
            ("10.0", "10.0"),
            ("1e-7", "1.0e-7"),
            ("1E+2", "100"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("1e2000", "1.0e2000"),
            ("-2.50", "-2.5"),
        ] {
            let mut out = String::new();
            Decimal::parse(text).write_json(&mut out);
            assert_eq!(out, expect, "{text}");
        }
    }

    #[test]
    fn whole_numbers_of_64_bits_are_told_from_the_rest() {
        for (text, expect) in [
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("4100000000.0", Some(4_100_000_000)),
            ("4.1e9", Some(4_100_000_000)),
            ("1.5", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("100000000000000000000", None),
            ("1e400", None),
            ("1e99999999999999", None),
            ("1e-400", None),
            ("0e400", Some(0)),
        ] {
            assert_eq!(Decimal::parse(text).to_i64(), expect, "{text}");
        }
    }

    #[test]
    fn order_is_by_value() {
        let sorted = ["-1e30", "-12", "-1.5", "-0.05", "0", "0.049", "0.05", "1", "1.01", "2", "10", "99", "1e30"];
        for (left, left_text) in sorted.iter().enumerate() {
            for (right, right_text) in sorted.iter().enumerate() {
                let got = Decimal::parse(left_text).compare(&Decimal::parse(right_text));
                assert_eq!(got, left.cmp(&right), "{left_text} {right_text}");
            }
        }
        assert_eq!(Decimal::parse("1.0").compare(&Decimal::parse("1")), Ordering::Equal);
    }
}
