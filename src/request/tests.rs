//! The parser against the recorded answers of PostgREST 16.2, and properties of the whole stage.

use super::prefer::TxOverride;
use super::target::RootPage;
use super::{ApiRequest, RequestError, RequestHead, RequestSettings, parse};
use crate::error::{ApiError, Details};
use crate::http::{Headers, Method};
use crate::media::MediaType;
use serde_json::Value;

/// One recorded request, as far as this stage sees it.
struct Case {
    id: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    settings: RequestSettings,
    verbose: bool,
    status: u64,
    answer: Value,
    answer_headers: Value,
}

impl Case {
    fn run<T>(&self, look: impl FnOnce(Result<ApiRequest<'_>, RequestError>) -> T) -> T {
        let mut headers = Headers::default();
        headers.fields.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.trim_start().as_bytes())));
        let head = RequestHead { method: method(&self.method), target: self.target.as_bytes(), headers: &headers };
        look(parse(head, &self.body, &self.settings))
    }
}

fn method(token: &str) -> Method<'_> {
    match token {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        other => Method::Other(other),
    }
}

/// Every recorded request to the main port.
fn corpus() -> Vec<Case> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut cases = Vec::new();
    for half in ["read", "write"] {
        let configs = std::fs::read_to_string(root.join(half).join("configs.json")).unwrap();
        let configs: Value = serde_json::from_str(&configs).unwrap();
        for file in std::fs::read_dir(root.join(half).join("cases")).unwrap() {
            for line in std::fs::read_to_string(file.unwrap().path()).unwrap().lines() {
                let case: Value = serde_json::from_str(line).unwrap();
                let steps = case["steps"].as_array().cloned().unwrap_or_else(|| vec![case.clone()]);
                for step in steps.iter().filter(|step| is_for_this_stage(step)) {
                    let group = step["config"].as_str().or(case["config"].as_str()).unwrap();
                    cases.extend(read_case(&case, step, &configs[group]));
                }
            }
        }
    }
    assert!(cases.len() > 4000, "the corpus has shrunk to {}", cases.len());
    cases
}

/// The admin port and chunked bodies are other stages' business.
fn is_for_this_stage(step: &Value) -> bool {
    step["port"] != "admin" && step["path"].is_string() && step["headers"]["Transfer-Encoding"].is_null()
}

/// `None` where the configuration that counts is in the database.
fn read_case(case: &Value, step: &Value, config: &Value) -> Option<Case> {
    let mut headers = Vec::new();
    for (name, value) in step["headers"].as_object().into_iter().flatten() {
        match value {
            Value::Array(values) => {
                headers.extend(values.iter().map(|value| (name.clone(), value.as_str().unwrap().into())))
            }
            other => headers.push((name.clone(), other.as_str().unwrap().to_owned())),
        }
    }
    let body = match &step["body"] {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(object) if object.contains_key("base64") => base64(object["base64"].as_str().unwrap()),
        other => other.to_string().into_bytes(),
    };
    let text = |name: &str| config[name].as_str().unwrap_or_default();
    let root = match (text("openapi-mode"), text("db-root-spec")) {
        ("disabled", _) => RootPage::Disabled,
        (_, "") => RootPage::Document,
        (_, routine) => RootPage::Routine(routine.to_owned()),
    };
    let tx_override = if text("db-tx-end").ends_with("override") { TxOverride::Allowed } else { TxOverride::Denied };
    if !text("db-pre-config").is_empty() {
        return None;
    }
    let path = step["path"].as_str().unwrap();
    // The HTTP codec reduces an absolute form to path and query.
    let target = match path.strip_prefix("http://") {
        Some(rest) => &rest[rest.find('/').unwrap()..],
        None => path,
    };
    Some(Case {
        id: format!("{} {} {}", case["id"].as_str().unwrap(), step["method"], step["path"]),
        method: step["method"].as_str().unwrap_or("GET").to_owned(),
        target: target.to_owned(),
        headers,
        body,
        settings: RequestSettings {
            schemas: text("db-schemas").split(',').map(|schema| schema.trim().to_owned()).collect(),
            root,
            tx_override,
        },
        verbose: text("client-error-verbosity") != "minimal",
        status: step["expect"]["status"].as_u64().unwrap(),
        answer: step["expect"]["json"].clone(),
        answer_headers: step["expect"]["headers"].clone(),
    })
}

fn base64(text: &str) -> Vec<u8> {
    let digit =
        |byte: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == byte);
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(|digit| u32::try_from(digit).unwrap()).collect();
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        out.extend(bits.to_be_bytes()[1..].iter().take(group.len() - 1));
    }
    out
}

/// The error as the recorded body shows it.
fn error_body(error: &impl ApiError, verbose: bool) -> Value {
    let code = error.code();
    if !verbose {
        return serde_json::json!({ "code": code.name, "message": error.message() });
    }
    let details = match error.details() {
        None => Value::Null,
        Some(Details::Text(text)) => Value::String(text),
        Some(Details::Json(json)) => serde_json::from_str(&json).unwrap(),
    };
    serde_json::json!({ "code": code.name, "message": error.message(), "details": details, "hint": error.hint() })
}

/// Errors that this stage alone gives. PGRST103 and PGRST100 of later stages are told apart by their details.
const OURS: [&str; 10] = [
    "PGRST100", "PGRST101", "PGRST102", "PGRST103", "PGRST106", "PGRST114", "PGRST117", "PGRST122", "PGRST125",
    "PGRST126",
];

/// A count came first: the offset was past the rows.
fn is_out_of_bounds(case: &Case) -> bool {
    case.answer["details"].as_str().is_some_and(|details| details.starts_with("An offset of"))
        || (!case.verbose && case.answer["code"] == "PGRST103")
}

#[test]
fn refusals_are_the_recorded_ones() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for case in corpus() {
        let code = case.answer["code"].as_str().unwrap_or_default();
        if !OURS.contains(&code) || is_out_of_bounds(&case) {
            continue;
        }
        seen += 1;
        let found = case.run(|parsed| match parsed {
            Ok(request) => request.preferences.strictly_refused(),
            Err(error) => Some(error),
        });
        let (body, status) = match &found {
            Some(error) => (error_body(error, case.verbose), u64::from(error.code().status)),
            None => (Value::Null, 200),
        };
        if body != case.answer || status != case.status {
            wrong.push(format!("{}\n  recorded {} {}\n  ours     {status} {body}", case.id, case.status, case.answer));
        }
    }
    assert!(wrong.is_empty(), "{} of {seen} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 200, "only {seen} refusals found");
}

#[test]
fn answered_requests_parse() {
    let mut wrong = Vec::new();
    for case in corpus() {
        let code = case.answer["code"].as_str().unwrap_or_default().to_owned();
        let preflight =
            case.method == "OPTIONS" && case.headers.iter().any(|(name, _)| name.starts_with("Access-Control"));
        let later = (200..300).contains(&case.status) || (code.starts_with("PGRST2") || code.starts_with("PGRST12"));
        if !later || preflight || OURS.contains(&code.as_str()) {
            continue;
        }
        if let Some(error) = case.run(|parsed| parsed.err()) {
            wrong.push(format!("{}\n  {}", case.id, error_body(&error, true)));
        }
    }
    assert!(wrong.is_empty(), "{} refused:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn unacceptable_media_types_are_named_as_recorded() {
    let mut seen = 0;
    for case in corpus().iter().filter(|case| case.answer["code"] == "PGRST107") {
        seen += 1;
        let names =
            case.run(|parsed| parsed.unwrap().accept.iter().map(MediaType::to_string).collect::<Vec<_>>().join(", "));
        let message = format!("None of these media types are available: {names}");
        assert_eq!(case.answer["message"], message, "{}", case.id);
    }
    assert!(seen > 50);
}

#[test]
fn content_locations_are_canonical() {
    let mut seen = 0;
    for case in corpus() {
        let Some(location) = case.answer_headers["Content-Location"].as_str() else { continue };
        let recorded = location.split_once('?').map_or("", |(_, query)| query);
        assert_eq!(super::query::canonical(case.target.as_bytes()), recorded, "{}", case.id);
        seen += 1;
    }
    assert!(seen > 1000);
}

/// Details of a refused query string, without the message's repetition of the value.
fn check_refusal(query: &str, position: (u32, u32), details: &str) {
    let settings =
        RequestSettings { schemas: vec!["api".to_owned()], root: RootPage::Document, tx_override: TxOverride::Denied };
    let (target, headers) = (format!("/t?{query}"), Headers::default());
    let head = RequestHead { method: Method::Get, target: target.as_bytes(), headers: &headers };
    let Err(RequestError::Query(complaint)) = parse(head, b"", &settings) else { panic!("{query} parses") };
    let (line, column) = position;
    assert!(
        complaint.message.ends_with(&format!("\" (line {line}, column {column})")),
        "{query}: {}",
        complaint.message
    );
    assert_eq!(complaint.details, details, "{query}");
}

/// Refusals that the corpus lacks, as PostgREST's own documentation of its grammar gives them.
#[test]
fn documented_refusals() {
    const FIELD_NAME: &str = "field name (* or [a..z0..9_$])";
    let select_end = "expecting letter, digit, \"-\", \"->>\", \"->\", \"::\", \".\", \")\", \",\" or end of input";
    for (query, column, details) in [
        ("select=id,clients(name[])", 16, format!("unexpected '[' {select_end}")),
        ("select=name!hint", 5, format!("unexpected '!' {select_end}")),
        ("select=id,*!hint", 5, "unexpected '!' expecting \")\", \",\" or end of input".to_owned()),
        ("select=name::", 7, "unexpected end of input expecting letter or digit".to_owned()),
        (
            "select=data->>-78xy",
            11,
            "unexpected 'x' expecting digit, \"->\", \"::\", \".\", \",\" or end of input".to_owned(),
        ),
        ("select=data->>--34", 9, "unexpected \"-\" expecting digit".to_owned()),
        ("a=fts().value", 5, "unexpected \")\" expecting operator (eq, gt, ...)".to_owned()),
        ("a=eq().value", 4, "unexpected \")\" expecting operator (eq, gt, ...)".to_owned()),
        ("a=is().value", 3, "unexpected \"(\" expecting operator (eq, gt, ...)".to_owned()),
        ("%3A=eq.1", 1, format!("unexpected \":\" expecting {FIELD_NAME}")),
        (
            "order=clients(name,id)",
            8,
            "unexpected '(' expecting letter, digit, \"-\", \"->>\", \"->\", delimiter (.), \",\" or end of input"
                .to_owned(),
        ),
        ("order=id.ac", 4, "unexpected \"c\" expecting \"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"".to_owned()),
        ("order=id.descc", 8, "unexpected 'c' expecting delimiter (.), \",\" or end of input".to_owned()),
        ("order=id.nullslasttt", 13, "unexpected 't' expecting \",\" or end of input".to_owned()),
        ("order=id.asc.nlsfst", 8, "unexpected \"l\" expecting \"nullsfirst\" or \"nullslast\"".to_owned()),
        ("or=)(", 3, "unexpected \")\" expecting \"(\"".to_owned()),
        ("or=(id.in.1,2,id.eq.3)", 10, "unexpected \"1\" expecting \"(\"".to_owned()),
        ("and=(ord(id.eq.1,id.eq.1),id.eq.2)", 7, "unexpected \"d\" expecting \"(\"".to_owned()),
        ("or=(id.eq.1,not.xor(id.eq.2,id.eq.3))", 16, "unexpected \"x\" expecting logic operator (and, or)".to_owned()),
    ] {
        check_refusal(query, (1, column), &details);
    }
    check_refusal("order=%22a%0A%22,%E2%82%AC", (2, 3), &format!("unexpected \"\\8364\" expecting {FIELD_NAME}"));
}

/// How long one parse takes, printed by `cargo test -- --nocapture`; the bound only catches a change of complexity.
#[test]
fn parsing_is_cheap() {
    let settings =
        RequestSettings { schemas: vec!["api".to_owned()], root: RootPage::Document, tx_override: TxOverride::Denied };
    let headers = Headers::default();
    let target =
        b"/ports?select=id,name,vessels(id,name,operators(name))&id=in.(1,2,3)&name=like.*a*&order=id.desc&limit=10";
    let head = RequestHead { method: Method::Get, target, headers: &headers };
    let started = std::time::Instant::now();
    for _ in 0..1000 {
        assert!(parse(head, b"", &settings).is_ok());
    }
    let parse_took = started.elapsed() / 1000;
    let started = std::time::Instant::now();
    let (mut key, mut values) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let outcome = super::shape::scan_shape(Method::Get, target, &mut key, &mut values);
        assert_eq!(outcome, super::shape::ShapeScan::Simple);
    }
    println!("parse {parse_took:?}, scan_shape {:?}", started.elapsed() / 1000);
    assert!(parse_took < std::time::Duration::from_millis(20));
}
