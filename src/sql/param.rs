//! Parameters: what is sent for a client's value. Applied again when a cached statement gets the values of another request.

use super::ident::up_to_nul;
use super::{Param, Transform};
use crate::plan::call::Argument;
use crate::request::{Operand, OperandList};

impl Transform {
    /// Appends what is sent for an operand.
    pub fn write_text(self, text: &str, out: &mut Vec<u8>) {
        let text = up_to_nul(text).as_bytes();
        match self {
            Self::StarToPercent => out.extend(text.iter().map(|&byte| if byte == b'*' { b'%' } else { byte })),
            Self::Verbatim
            | Self::ArrayLiteral
            | Self::Argument
            | Self::Items
            | Self::Limit { .. }
            | Self::Offset
            | Self::Payload => out.extend_from_slice(text),
        }
    }

    /// Appends what is sent for a limit or an offset.
    pub fn write_number(self, number: i128, out: &mut Vec<u8>) {
        let number = match self {
            Self::Limit { rows_max: Some(rows_max) } => number.min(i128::from(rows_max)),
            Self::Limit { rows_max: None }
            | Self::Offset
            | Self::Verbatim
            | Self::StarToPercent
            | Self::ArrayLiteral
            | Self::Argument
            | Self::Items
            | Self::Payload => number,
        };
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

/// Appends `{"a","b"}`; the one empty element of `in.()` is no element.
pub fn write_array<T: AsRef<str>>(items: &[T], out: &mut Vec<u8>) {
    out.push(b'{');
    let nothing = matches!(items, [only] if only.as_ref().is_empty());
    for (index, item) in items.iter().filter(|_| !nothing).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        for &byte in up_to_nul(item.as_ref()).as_bytes() {
            if byte == b'"' || byte == b'\\' {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b'}');
}

/// Appends the array literal of a variadic parameter's arguments. One empty item is an item here.
pub fn write_items<T: AsRef<str>>(items: &[T], out: &mut Vec<u8>) {
    if matches!(items, [only] if only.as_ref().is_empty()) {
        out.extend_from_slice(b"{\"\"}");
    } else {
        write_array(items, out);
    }
}

/// A routine's argument, or the arguments of a variadic parameter.
pub fn argument(argument: &Argument<'_>) -> Param {
    let mut value = Vec::new();
    let (slot, transform) = match argument {
        Argument::Text { slot, text } => {
            Transform::Argument.write_text(text, &mut value);
            (*slot, Transform::Argument)
        }
        Argument::Items { slot, items } => {
            write_items(items, &mut value);
            (*slot, Transform::Items)
        }
    };
    Param { slot: Some(slot), transform, value: Some(value) }
}

/// A client's value.
pub fn operand(operand: &Operand<'_>, transform: Transform) -> Param {
    let mut value = Vec::with_capacity(operand.text.len());
    transform.write_text(&operand.text, &mut value);
    Param { slot: Some(operand.slot), transform, value: Some(value) }
}

/// A client's list, as an array.
pub fn list(list: &OperandList<'_>) -> Param {
    let mut value = Vec::new();
    write_array(&list.items, &mut value);
    Param { slot: Some(list.slot), transform: Transform::ArrayLiteral, value: Some(value) }
}

/// A limit or an offset.
pub fn number(slot: Option<u32>, number: i128, transform: Transform) -> Param {
    let mut value = Vec::new();
    transform.write_number(number, &mut value);
    Param { slot, transform, value: Some(value) }
}

/// A value that belongs to the request's shape.
pub fn fixed(value: &str) -> Param {
    let value = up_to_nul(value).as_bytes().to_vec();
    Param { slot: None, transform: Transform::Verbatim, value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |transform: Transform, text: &str, expect: &str| {
            let mut out = Vec::new();
            transform.write_text(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        };
        check(Transform::Verbatim, r#"a*'"\"#, r#"a*'"\"#);
        check(Transform::Verbatim, "plain\0junk", "plain");
        check(Transform::StarToPercent, r"*ä*\*", r"%ä%\%");
    }

    #[test]
    fn numbers() {
        let check = |asked: u64, transform, expect: &str| {
            let param = number(None, asked.into(), transform);
            assert_eq!(param.value.as_deref(), Some(expect.as_bytes()));
        };
        check(7, Transform::Limit { rows_max: None }, "7");
        check(7, Transform::Limit { rows_max: Some(5) }, "5");
        check(0, Transform::Limit { rows_max: Some(5) }, "0");
        check(u64::MAX, Transform::Offset, "18446744073709551615");
    }

    #[test]
    fn arrays() {
        let check = |items: &[&str], expect: &str| {
            let mut out = Vec::new();
            write_array(items, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        };
        check(&[""], "{}");
        check(&[], "{}");
        check(&["", ""], r#"{"",""}"#);
        check(&["a", "b,c", "NULL", "{d}"], r#"{"a","b,c","NULL","{d}"}"#);
        check(&["q\"", r"back\slash", "n\0ul"], r#"{"q\"","back\\slash","n"}"#);
    }
}
