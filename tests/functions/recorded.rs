//! The recorded calls, asked again and again with other values: of two servers, each on a copy of one database, one keeps
//! the shapes of its requests and the other plans each of them anew, because its pre-request function makes it. Both must
//! answer alike.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;
use trunkline::server::cluster::{Cluster, ClusterOptions};

use crate::process::{Options, Process, Reply, read_reply};
use crate::send_raw;

const SESSION: [&str; 6] =
    ["-c", "client_min_messages=warning", "-c", "timezone=UTC", "-c", "check_function_bodies=off"];
const COPIES: [&str; 2] = ["keeps", "plans"];
/// Headers whose value nobody can know before.
const VOLATILE: [&str; 3] = ["date", "content-length", "connection"];
const FEWEST_CALLS: usize = 400;

struct Case {
    id: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Calls of one request and answer that can be compared.
fn cases() -> Vec<Case> {
    let mut files: Vec<_> =
        fs::read_dir(corpus().join("write/cases")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().filter_map(case).collect::<Vec<_>>())
        .collect()
}

fn case(line: &str) -> Option<Case> {
    let case: Value = serde_json::from_str(line).unwrap();
    let text = |field: &str| case.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let plain = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic());
    let (method, target) = (text("method"), text("path"));
    let method = if method.is_empty() { "GET".to_owned() } else { method };
    let comparable = text("config") == "write"
        && target.starts_with("/rpc/")
        && plain(&target)
        && ["GET", "POST"].contains(&method.as_str())
        && case.get("steps").is_none()
        && case.get("ignore").is_none();
    let mut headers = Vec::new();
    for (name, value) in case.get("headers").and_then(Value::as_object).into_iter().flatten() {
        headers.push((name.clone(), value.as_str()?.to_owned()));
    }
    let body = match case.get("body") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(bytes) if bytes.get("base64").is_some() => return None,
        Some(json) => Some(json.to_string()),
    };
    let framed = |name: &str| {
        name.eq_ignore_ascii_case("content-length")
            || name.eq_ignore_ascii_case("host")
            || name.eq_ignore_ascii_case("expect")
    };
    let comparable = comparable && !headers.iter().any(|(name, _)| framed(name));
    comparable.then(|| Case { id: text("id"), method, target, headers, body })
}

fn with_other_digits(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_digit() { char::from(b'0' + (letter as u8 - b'0' + 1) % 10) } else { letter })
        .collect()
}

/// The same call with other values in URL and body; names and escapes stay.
fn with_other_values(case: &Case) -> (String, Option<String>) {
    let part = |part: &str| match part.split_once('=') {
        Some((name, value)) if !["select", "order"].contains(&name) && !value.contains('%') => {
            format!("{name}={}", with_other_digits(value))
        }
        Some(_) | None => part.to_owned(),
    };
    let target = match case.target.split_once('?') {
        Some((path, query)) => format!("{path}?{}", query.split('&').map(part).collect::<Vec<_>>().join("&")),
        None => case.target.clone(),
    };
    (target, case.body.as_deref().map(with_other_digits))
}

fn ask(process: &Process, case: &Case, (target, body): (&str, Option<&str>)) -> Reply {
    let headers: String = case.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let stream = send_raw(process, &case.method, target, &headers, body);
    read_reply(&mut BufReader::new(stream)).unwrap()
}

fn told(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let lasting = |(name, _): &&(String, String)| !VOLATILE.contains(&name.to_ascii_lowercase().as_str());
    (reply.status, reply.headers.iter().filter(lasting).cloned().collect(), reply.text())
}

#[test]
fn recorded_calls_of_a_known_shape_are_answered_as_new_ones() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let original = "original";
    cluster.psql(&format!("CREATE DATABASE {original} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")).unwrap();
    for file in ["roles.sql", "write/schema.sql"] {
        cluster.psql_file(original, &corpus().join(file), &SESSION).unwrap();
    }
    cluster.psql_in(original, "CREATE FUNCTION public.nothing() RETURNS void LANGUAGE sql AS ''").unwrap();
    let configs = fs::read_to_string(corpus().join("write/configs.json")).unwrap();
    let configs: Value = serde_json::from_str(&configs).unwrap();
    let settings: String =
        configs["write"].as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    // What a call writes stays, because only such calls keep their shapes.
    let settings = settings.replace("rollback-allow-override", "commit-allow-override");
    let servers = COPIES.map(|copy| {
        cluster.psql(&format!("CREATE DATABASE {copy} TEMPLATE {original}")).unwrap();
        let more = if copy == "plans" { "db-pre-request = \"public.nothing\"\n" } else { "" };
        let config = format!("db-uri = \"{}\"\n{settings}{more}", cluster.uri("conf_authenticator", copy));
        Process::start(&Options { config, ..Options::default() })
    });
    let (mut asked, mut failures) = (0, Vec::new());
    for case in cases() {
        let other = with_other_values(&case);
        let (one, other) = ((case.target.as_str(), case.body.as_deref()), (other.0.as_str(), other.1.as_deref()));
        for values in [one, other, one, other] {
            asked += 1;
            let [keeping, planning] = servers.each_ref().map(|server| told(&ask(server, &case, values)));
            if keeping != planning {
                failures.push(format!("{} {} {values:?}\n  {keeping:?}\n  {planning:?}", case.id, case.method));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {asked}, the first:\n{}",
        failures.len(),
        failures[..failures.len().min(8)].join("\n")
    );
    assert!(asked > 4 * FEWEST_CALLS, "only {asked} calls");
}
