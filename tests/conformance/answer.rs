//! An answer in the form it was recorded in, and how two of them differ.

use std::collections::BTreeSet;

use crate::http::{Reply, to_base64};
use crate::json::{self, Json};

/// Headers that differ from run to run or between HTTP libraries; never recorded, never compared.
const VOLATILE: &[&str] =
    &["date", "server", "connection", "keep-alive", "transfer-encoding", "content-length", "server-timing"];
const SHOWN_CHARS_MAX: usize = 3000;

/// A body in the one form it is recorded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Json(Json),
    Text(String),
    Base64(String),
}

/// What is compared of an answer. Header names keep their case; values of repeated ones are a list.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: String,
    pub headers: Vec<(String, Json)>,
    pub body: Body,
}

impl Answer {
    /// The recordable form of a reply.
    pub fn of(reply: &Reply) -> Self {
        let mut kind = String::new();
        let mut headers: Vec<(String, Json)> = Vec::new();
        for (name, value) in &reply.headers {
            if name.eq_ignore_ascii_case("content-type") {
                kind = value.to_ascii_lowercase();
            }
            if VOLATILE.contains(&name.to_ascii_lowercase().as_str()) {
                continue;
            }
            let value = Json::String(value.clone());
            match headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                None => headers.push((name.clone(), value)),
                Some((_, Json::Array(values))) => values.push(value),
                Some((_, first)) => *first = Json::Array(vec![first.clone(), value]),
            }
        }
        let json_kind = kind.split(';').next().unwrap_or_default().contains("json");
        let body = match std::str::from_utf8(&reply.body) {
            Err(_) => Body::Base64(to_base64(&reply.body)),
            Ok(text) => match json::parse(text) {
                Ok(value) if json_kind && !text.is_empty() => Body::Json(value),
                Ok(_) | Err(_) => Body::Text(text.to_owned()),
            },
        };
        Self { status: reply.status.to_string(), headers, body }
    }
}

/// The headers that `present` names and that did not come.
pub fn absent(request: &Json, reply: &Reply) -> Vec<String> {
    let came = |wanted: &str| reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    names(request.at("present")).into_iter().filter(|name| !came(name)).collect()
}

fn names(list: Option<&Json>) -> Vec<String> {
    list.map(Json::items).unwrap_or_default().iter().filter_map(|name| name.text().map(str::to_owned)).collect()
}

/// Sentences, none when the answer is the recorded one. `request` is the case or one of its steps.
pub fn differences(request: &Json, got: &Answer, absent: &[String]) -> Vec<String> {
    let Some(want @ Json::Object(_)) = request.at("expect") else {
        return vec!["the case has no recorded answer".to_owned()];
    };
    let mut out: Vec<String> = absent.iter().map(|name| format!("header {name}: expected, got none")).collect();
    let status = want.at("status").map(Json::to_string).unwrap_or_default();
    if status != got.status {
        out.push(format!("status: expected {status}, got {}", got.status));
    }
    let ignored: Vec<String> = names(request.at("ignore")).iter().map(|name| name.to_ascii_lowercase()).collect();
    header_differences(want.at("headers").map(Json::pairs).unwrap_or_default(), &got.headers, &ignored, &mut out);
    if !ignored.iter().any(|name| name == "body") {
        out.extend(body_difference(want, &got.body));
    }
    out
}

fn header_differences(want: &[(String, Json)], got: &[(String, Json)], ignored: &[String], out: &mut Vec<String>) {
    let lower = |pairs: &[(String, Json)]| pairs.iter().map(|(name, _)| name.to_ascii_lowercase()).collect::<Vec<_>>();
    let (old, new) = (lower(want), lower(got));
    let all: BTreeSet<&String> = old.iter().chain(&new).collect();
    for name in all {
        if VOLATILE.contains(&name.as_str()) || ignored.contains(name) {
            continue;
        }
        let value = |names: &[String], pairs: &[(String, Json)]| {
            names.iter().rposition(|known| known == name).map(|index| pairs[index].1.clone())
        };
        let (expected, came) = (value(&old, want), value(&new, got));
        if expected != came {
            let show = |value: Option<Json>| value.map_or("none".to_owned(), |value| value.to_string());
            out.push(format!("header {name}: expected {}, got {}", show(expected), show(came)));
        }
    }
}

fn body_difference(want: &Json, got: &Body) -> Option<String> {
    let came = match got {
        Body::Json(value) => ("json", value.clone()),
        Body::Text(text) => ("text", Json::String(text.clone())),
        Body::Base64(text) => ("base64", Json::String(text.clone())),
    };
    let (form, expected) = ["json", "text", "base64"].into_iter().find_map(|form| Some((form, want.at(form)?)))?;
    let same = form == came.0 && if form == "json" { expected.same(&came.1) } else { *expected == came.1 };
    (!same).then(|| match form == came.0 {
        true => format!("body: expected {}\n      got      {}", short(expected), short(&came.1)),
        false => format!("body: expected {form} {}\n      got      {} {}", short(expected), came.0, short(&came.1)),
    })
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reply { status, headers, body: body.to_vec() }
    }

    fn check(case: &str, reply: &Reply, expect: &[&str]) {
        let case = json::parse(case).expect(case);
        let found = differences(&case, &Answer::of(reply), &absent(&case, reply));
        assert_eq!(found, expect, "{case}");
    }

    const KIND: (&str, &str) = ("Content-Type", "application/json; charset=utf-8");

    #[test]
    fn answers_that_are_the_recorded_ones() {
        let json = reply(200, &[("content-type", KIND.1), ("Date", "now"), ("Server", "x")], br#"{"b": 1.0, "a": 2}"#);
        check(
            r#"{"expect": {"status": 200, "headers": {"Content-Type": "application/json; charset=utf-8"}, "json": {"a": 2, "b": 1}}}"#,
            &json,
            &[],
        );
        let text = reply(200, &[("Content-Type", "text/csv")], b"a,b");
        check(r#"{"expect": {"status": 200, "headers": {"Content-Type": "text/csv"}, "text": "a,b"}}"#, &text, &[]);
        check(
            r#"{"expect": {"status": 200, "headers": {}, "text": "other"}, "ignore": ["body", "CONTENT-TYPE"]}"#,
            &text,
            &[],
        );
        let bytes = reply(200, &[("X", "1"), ("x", "2"), ("Server-Timing", "t")], &[0xff]);
        check(
            r#"{"expect": {"status": 200, "headers": {"X": ["1", "2"]}, "base64": "/w=="}, "present": ["server-timing"]}"#,
            &bytes,
            &[],
        );
        check(r#"{"expect": {"status": 204, "headers": {}, "text": ""}}"#, &reply(204, &[], b""), &[]);
    }

    #[test]
    fn answers_that_differ() {
        let json = reply(200, &[KIND, ("Vary", "Accept")], b"[1, 2]");
        check(
            r#"{"expect": {"status": 206, "headers": {"Content-Type": "text/csv", "Range": "x"}, "json": [2, 1]}, "present": ["Allow"]}"#,
            &json,
            &[
                "header Allow: expected, got none",
                "status: expected 206, got 200",
                "header content-type: expected \"text/csv\", got \"application/json; charset=utf-8\"",
                "header range: expected \"x\", got none",
                "header vary: expected none, got \"Accept\"",
                "body: expected [2, 1]\n      got      [1, 2]",
            ],
        );
        let text = reply(200, &[KIND], b"not json");
        check(
            r#"{"expect": {"status": 200, "headers": {"Content-Type": "application/json; charset=utf-8"}, "json": 1}}"#,
            &text,
            &["body: expected json 1\n      got      text \"not json\""],
        );
        check(r#"{"id": "x"}"#, &text, &["the case has no recorded answer"]);
        let same_values = reply(200, &[], b"1.0");
        check(
            r#"{"expect": {"status": 200, "headers": {}, "text": "1"}}"#,
            &same_values,
            &["body: expected \"1\"\n      got      \"1.0\""],
        );
    }
}
