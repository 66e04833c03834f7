//! A write's or call's body → `Payload` by Content-Type: its column set, the raw bytes kept.
//! CSV of any kind and the forms of writes become JSON, because PostgreSQL unpacks JSON alone: here where that is small, while
//! it is sent where it isn't.
//! Limits: `limits::PARAMETER_BYTES_MAX`, `limits::BODY_LENT_BYTES`, `limits::FORM_FIELDS_MAX`.

use std::borrow::Cow;
use std::rc::Rc;

use super::payload_csv::push_string;
pub use super::payload_json::write_member_names;
use super::payload_json::{JsonRefusal, read};
use super::query::split;
use super::refusal::RequestError;
use super::{Action, Invocation, Mutation, payload_csv};
use crate::limits;
use crate::media::MediaType;

/// The body once understood. The bytes go to PostgreSQL as they came where that is possible.
#[derive(Clone, PartialEq, Debug)]
pub enum Payload<'r> {
    /// JSON object or array of objects with the same keys: the key set, sorted, without repeats.
    Json { raw: Cow<'r, [u8]>, keys: Vec<Cow<'r, str>>, shape: JsonShape },
    /// JSON that nobody needs to look into: `columns=` names the columns.
    RawJson { raw: Cow<'r, [u8]> },
    /// A write's CSV that would be large as JSON: an array of objects with these keys.
    Csv { body: &'r [u8], table: Rc<payload_csv::Table>, keys: Vec<Cow<'r, str>> },
    /// A call's urlencoded fields in order.
    Form { fields: Vec<(Cow<'r, str>, Cow<'r, str>)> },
    /// text/plain, text/xml, octet-stream: one argument of a routine.
    Raw { raw: Cow<'r, [u8]> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonShape {
    Object,
    Array,
    /// A scalar body counts as an empty array.
    Scalar,
}

/// What the body is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    Write,
    Call,
}

/// `None` where the action has no use for a body. `columns` tells whether `columns=` was given.
pub fn parse<'r>(
    body: &'r [u8],
    content_type: &MediaType,
    action: &Action<'_>,
    columns: Option<&[Cow<'_, str>]>,
) -> Result<Option<Payload<'r>>, RequestError> {
    let (purpose, columns) = match action {
        Action::Mutate { mutation: Mutation::Insert | Mutation::Update, .. } => (Purpose::Write, columns),
        Action::Mutate { mutation: Mutation::SingleUpsert, .. } => (Purpose::Write, None),
        Action::Call { by: Invocation::Post, .. } => (Purpose::Call, columns),
        Action::Mutate { mutation: Mutation::Delete, .. }
        | Action::Call { by: Invocation::Get(_), .. }
        | Action::Read { .. }
        | Action::RelationInfo { .. }
        | Action::RoutineInfo { .. }
        | Action::SchemaRead { .. }
        | Action::SchemaInfo => return Ok(None),
    };
    if body.len() > limits::PARAMETER_BYTES_MAX {
        return Err(RequestError::BodyTooLarge);
    }
    let payload = match (content_type, purpose) {
        (MediaType::Json | MediaType::ArrayJson { nulls: crate::media::Nulls::Kept }, _) if columns.is_some() => {
            Payload::RawJson { raw: Cow::Borrowed(body) }
        }
        (MediaType::Json | MediaType::ArrayJson { nulls: crate::media::Nulls::Kept }, _) => json(body, purpose)?,
        (MediaType::Csv, _) => csv(body, purpose)?,
        (MediaType::UrlEncoded, Purpose::Call) => Payload::Form { fields: fields(body)? },
        (MediaType::UrlEncoded, Purpose::Write) => form_as_json(fields(body)?),
        (MediaType::TextPlain | MediaType::TextXml | MediaType::OctetStream, Purpose::Call) => {
            Payload::Raw { raw: Cow::Borrowed(body) }
        }
        (
            MediaType::TextPlain
            | MediaType::TextXml
            | MediaType::OctetStream
            | MediaType::GeoJson
            | MediaType::OpenApi
            | MediaType::Any
            | MediaType::SingularJson { .. }
            | MediaType::ArrayJson { .. }
            | MediaType::Plan(_)
            | MediaType::Other(_),
            _,
        ) => return Err(refused(format!("Content-Type not acceptable: {content_type}"))),
    };
    Ok(Some(payload))
}

fn json(body: &[u8], purpose: Purpose) -> Result<Payload<'_>, RequestError> {
    if body.is_empty() && purpose == Purpose::Call {
        return Ok(Payload::Json { raw: Cow::Borrowed(body), keys: Vec::new(), shape: JsonShape::Object });
    }
    match read(body) {
        Ok(found) => {
            let raw = match found.shape {
                JsonShape::Object | JsonShape::Array => Cow::Borrowed(body),
                JsonShape::Scalar => Cow::Borrowed(b"[]".as_slice()),
            };
            Ok(Payload::Json { raw, keys: sorted(found.keys), shape: found.shape })
        }
        Err(JsonRefusal::Invalid) => Err(refused("Empty or invalid json".to_owned())),
        Err(JsonRefusal::KeysDiffer) => Err(refused("All object keys must match".to_owned())),
    }
}

fn csv(body: &[u8], purpose: Purpose) -> Result<Payload<'_>, RequestError> {
    let table = payload_csv::read(body).map_err(refused)?;
    let keys = table.keys().ok_or_else(|| refused("All lines must have same number of fields".to_owned()))?;
    let keys = keys.iter().map(|key| Cow::Owned(key.clone())).collect();
    if table.json_bytes() > limits::PARAMETER_BYTES_MAX {
        return Err(RequestError::BodyTooLarge);
    }
    Ok(match purpose {
        Purpose::Write if table.json_bytes() >= limits::BODY_LENT_BYTES => {
            Payload::Csv { body, table: Rc::new(table), keys }
        }
        Purpose::Write | Purpose::Call => {
            Payload::Json { raw: Cow::Owned(table.to_json(body)), keys, shape: JsonShape::Array }
        }
    })
}

type Fields<'r> = Vec<(Cow<'r, str>, Cow<'r, str>)>;

fn fields(body: &[u8]) -> Result<Fields<'_>, RequestError> {
    let separators = memchr::memchr2_iter(b'&', b';', body);
    if separators.take(limits::FORM_FIELDS_MAX).count() == limits::FORM_FIELDS_MAX {
        return Err(RequestError::BodyTooLarge);
    }
    let pairs = split(body).ok_or_else(|| refused("the form is not valid UTF-8".to_owned()))?;
    Ok(pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect())
}

/// One row of texts; of a field given twice the last counts.
fn form_as_json(fields: Fields<'_>) -> Payload<'_> {
    let row: std::collections::BTreeMap<_, _> = fields.into_iter().collect();
    let mut raw = vec![b'{'];
    for (index, (key, value)) in row.iter().enumerate() {
        if index > 0 {
            raw.push(b',');
        }
        push_string(&mut raw, key.as_bytes());
        raw.push(b':');
        push_string(&mut raw, value.as_bytes());
    }
    raw.push(b'}');
    Payload::Json { raw: Cow::Owned(raw), keys: row.into_keys().collect(), shape: JsonShape::Object }
}

fn sorted(mut keys: Vec<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    keys.sort();
    keys
}

fn refused(message: String) -> RequestError {
    RequestError::Body { message }
}

/// Fuzz entry: the first byte picks the Content-Type, the rest is the body.
pub fn fuzz_payload(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let media = match first % 4 {
        0 => MediaType::Json,
        1 => MediaType::Csv,
        2 => MediaType::UrlEncoded,
        _ => MediaType::OctetStream,
    };
    let insert = Action::Mutate { relation: Cow::Borrowed("t"), mutation: Mutation::Insert };
    let call = Action::Call { routine: Cow::Borrowed("f"), by: Invocation::Post };
    let _ = parse(body, &media, &insert, None);
    let _ = parse(body, &media, &insert, Some(&[Cow::Borrowed("a")]));
    let _ = parse(body, &media, &call, None);
    if let Ok(table) = payload_csv::read(body)
        && table.json_bytes() < limits::BODY_BUFFERED_BYTES
    {
        assert_eq!(table.to_json(body).len(), table.json_bytes(), "the JSON of a CSV is not as long as it was counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        purpose: Purpose,
        content_type: MediaType,
        columns: bool,
        body: &str,
        expect: Result<(&str, &[&str]), &str>,
    ) {
        let action = match purpose {
            Purpose::Write => Action::Mutate { relation: "t".into(), mutation: Mutation::Insert },
            Purpose::Call => Action::Call { routine: "f".into(), by: Invocation::Post },
        };
        let found = parse(body.as_bytes(), &content_type, &action, columns.then_some(&[]));
        let found = match found {
            Ok(Some(Payload::Json { raw, keys, .. })) => {
                Ok((String::from_utf8_lossy(&raw).into_owned(), keys.iter().map(|key| key.to_string()).collect()))
            }
            Ok(Some(Payload::RawJson { raw } | Payload::Raw { raw })) => {
                Ok((String::from_utf8_lossy(&raw).into_owned(), Vec::new()))
            }
            Ok(Some(Payload::Csv { body, table, keys })) => Ok((
                String::from_utf8_lossy(&table.to_json(body)).into_owned(),
                keys.iter().map(|key| key.to_string()).collect(),
            )),
            Ok(Some(Payload::Form { fields })) => Ok((format!("{fields:?}"), Vec::new())),
            Ok(None) => Ok((String::new(), Vec::new())),
            Err(RequestError::Body { message }) => Err(message),
            Err(error) => Err(format!("{error:?}")),
        };
        let expect: Result<(String, Vec<String>), String> = expect
            .map(|(raw, keys)| (raw.to_owned(), keys.iter().map(|&key| key.to_owned()).collect()))
            .map_err(str::to_owned);
        assert_eq!(found, expect, "{content_type:?} {body}");
    }

    #[test]
    fn the_fuzzers_corpus_does_no_harm() {
        for body in ["", "{", "[{\"a\":1},{\"b\":[[[", "a,b\n1", "\"a\n", "a=b&c", "\u{0}\u{feff}"] {
            for kind in 0..4 {
                super::fuzz_payload(&[&[kind], body.as_bytes()].concat());
            }
        }
        super::fuzz_payload(&[b'['; 100_000]);
    }

    #[test]
    fn writes() {
        use Purpose::Write;
        check(Write, MediaType::Json, false, r#"{"b":1,"a":2}"#, Ok((r#"{"b":1,"a":2}"#, &["a", "b"])));
        check(Write, MediaType::Json, false, "5", Ok(("[]", &[])));
        check(Write, MediaType::Json, true, "{broken", Ok(("{broken", &[])));
        check(Write, MediaType::Json, false, "", Err("Empty or invalid json"));
        check(Write, MediaType::UrlEncoded, false, "b=x+y&a=%22&b=2", Ok((r#"{"a":"\"","b":"2"}"#, &["a", "b"])));
        check(Write, MediaType::TextPlain, false, "x", Err("Content-Type not acceptable: text/plain"));
        check(Write, MediaType::Csv, false, "a,b\n1,NULL\n", Ok((r#"[{"a":"1","b":null}]"#, &["a", "b"])));
        check(Write, MediaType::Csv, false, "a,b\n1\n2,3\n", Err("All lines must have same number of fields"));
    }

    #[test]
    fn csv_that_is_large_as_json_stays_csv_and_more_than_postgresql_takes_is_refused() {
        use Purpose::{Call, Write};
        let action = |purpose| match purpose {
            Write => Action::Mutate { relation: "t".into(), mutation: Mutation::Insert },
            Call => Action::Call { routine: "f".into(), by: Invocation::Post },
        };
        let name = "n".repeat(200_000);
        let body = format!("{name}\n{}", "1\n".repeat(10));
        let kept = parse(body.as_bytes(), &MediaType::Csv, &action(Write), None).unwrap().unwrap();
        assert!(matches!(&kept, Payload::Csv { keys, .. } if *keys == [name.as_str()]), "{kept:?}");
        let made = parse(body.as_bytes(), &MediaType::Csv, &action(Call), None).unwrap().unwrap();
        assert!(matches!(&made, Payload::Json { raw, .. } if raw.len() > 2_000_000));
        let too_large = Err(RequestError::BodyTooLarge);
        // A gigabyte of names.
        let body = format!("{name}\n{}", "1\n".repeat(6000));
        for purpose in [Write, Call] {
            assert_eq!(parse(body.as_bytes(), &MediaType::Csv, &action(purpose), None), too_large);
        }
        let form = "a&".repeat(limits::FORM_FIELDS_MAX);
        assert_eq!(parse(form.as_bytes(), &MediaType::UrlEncoded, &action(Write), None), too_large);
        // Zeroes that nobody looks at take no memory.
        let body = vec![0; limits::PARAMETER_BYTES_MAX + 1];
        for media in [MediaType::Json, MediaType::OctetStream] {
            assert_eq!(parse(&body, &media, &action(Call), None), too_large);
        }
    }

    #[test]
    fn calls() {
        use Purpose::Call;
        check(Call, MediaType::Json, false, "", Ok(("", &[])));
        check(Call, MediaType::TextXml, false, "<a/>", Ok(("<a/>", &[])));
        check(Call, MediaType::UrlEncoded, false, "a=1&a=2", Ok((r#"[("a", "1"), ("a", "2")]"#, &[])));
        check(Call, MediaType::GeoJson, false, "{}", Err("Content-Type not acceptable: application/geo+json"));
    }
}
