//! Every recorded answer to a token: the same configuration, the same header, the same refusal or the same role.

use serde_json::Value;

use super::{AuthError, TokenCache, authenticate};
use crate::config::Config;
use crate::config::source::tests::Given;
use crate::error::{ApiError, Details};

const NOW: i64 = 1_790_000_000;
pub(super) const CASES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/write/cases/jwt.jsonl"));
pub(super) const CONFIGS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/write/configs.json"));

/// ring has no P-521, and this server therefore no ES512.
const DIFFERENT: [&str; 2] = ["write/jwt/set-es512-kid", "write/jwt/set-es512-no-kid"];

#[test]
fn every_recorded_token_is_answered_alike() {
    let configs: Value = serde_json::from_str(CONFIGS).unwrap();
    let mut answered = 0;
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let config = load(&configs[case["config"].as_str().unwrap()]);
        let steps = case["steps"].as_array().cloned().unwrap_or_else(|| vec![case.clone()]);
        let mut cache = TokenCache::new();
        for step in &steps {
            let id = case["id"].as_str().unwrap();
            for _ in 0..2 {
                let difference = check(&config, step, &mut cache);
                assert_eq!(difference.is_some(), DIFFERENT.contains(&id), "{id}: {difference:?}");
            }
            answered += 1;
        }
    }
    assert_eq!(answered, CASES.lines().count() + 7, "two cases have steps");
}

fn load(options: &Value) -> Config {
    let line = |(key, value): (&String, &Value)| format!("{key} = {value}\n");
    let text: String = options.as_object().unwrap().iter().map(line).collect();
    Config::load(&Given::default().file("c", text), Some("c"), &[], None).unwrap_or_else(|error| panic!("{error}"))
}

/// What differs from the recorded answer.
fn check(config: &Config, step: &Value, cache: &mut TokenCache) -> Option<String> {
    let headers: Vec<&[u8]> = match &step["headers"]["Authorization"] {
        Value::String(value) => vec![value.as_bytes()],
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap().as_bytes()).collect(),
        _ => Vec::new(),
    };
    let got = authenticate(headers.into_iter(), &config.auth, NOW, Some(cache));
    let expect = &step["expect"];
    let (body, status) = (&expect["json"], expect["status"].as_u64().unwrap());
    let code = body["code"].as_str().unwrap_or("");
    let refused = code.starts_with("PGRST30") || (step["method"] == "HEAD" && status == 401);
    match got {
        Err(error) if refused => refusal_difference(error, expect),
        Ok(identity) if !refused => {
            let role = recorded_role(step).filter(|role| *role != identity.role.as_str());
            let claims = (step["path"] == "/rpc/req_claims"
                && serde_json::from_str::<Value>(&identity.claims_json).unwrap() != *body)
                || (step["path"] == "/rpc/req_claims_text" && *body != identity.claims_json);
            (role.is_some() || claims).then(|| format!("{identity:?} for {expect}"))
        }
        other => Some(format!("{other:?} for {expect}")),
    }
}

fn refusal_difference(error: AuthError, expect: &Value) -> Option<String> {
    let challenge = error.headers().first().map(|(_, value)| value.clone());
    let mut same = challenge.as_deref() == expect["headers"]["WWW-Authenticate"].as_str();
    same &= u64::from(error.code().status) == expect["status"];
    let body = &expect["json"];
    if body.is_object() {
        let details = match error.details() {
            Some(Details::Text(text)) => Some(text),
            Some(Details::Json(_)) | None => None,
        };
        same &= body["code"] == *error.code().name && body["message"] == error.message();
        same &= body["details"].as_str() == details.as_deref() && body["hint"].as_str() == error.hint().as_deref();
    }
    (!same).then(|| format!("{error:?} for {expect}"))
}

/// The role an answer shows: `/rpc/who` is `current_user`, and the database names roles that don't exist.
fn recorded_role(step: &Value) -> Option<String> {
    let body = &step["expect"]["json"];
    let message = body["message"].as_str().unwrap_or("");
    let quoted = message.strip_prefix("role \"").and_then(|rest| rest.strip_suffix("\" does not exist"));
    let whose = (step["path"] == "/rpc/who").then(|| body.as_str()).flatten();
    quoted.or(whose).map(str::to_owned)
}
