//! Claims → `Identity`: the role the path leads to, else the anonymous one, and the claims with that role in them.

use std::borrow::Cow;

use super::json_path::RolePath;
use super::{AuthError, Identity};
use crate::json::value::Value;
use crate::name::RoleName;

/// `claims` are an object's members, in key order. A role that is not text is its JSON text: no such role exists, and
/// the database says so.
pub fn identity<'t>(
    claims: Vec<(Cow<'t, str>, Value<'t>)>,
    path: &RolePath,
    anonymous: Option<&RoleName>,
) -> Result<Identity, AuthError> {
    let claims = Value::Object(claims);
    let role = match path.first(&claims) {
        Some(Value::String(text)) => RoleName::new(text.as_ref()),
        Some(value) => {
            let mut text = String::new();
            value.write(&mut text);
            RoleName::new(text)
        }
        None => anonymous.cloned().ok_or(AuthError::NoRole)?,
    };
    let claims_json = with_role(claims, &role);
    Ok(Identity { role, claims_json })
}

fn with_role(claims: Value<'_>, role: &RoleName) -> String {
    let mut out = String::new();
    if let Value::Object(mut members) = claims {
        let value = Value::String(Cow::Borrowed(role.as_str()));
        let place = members.binary_search_by(|(key, _)| key.as_ref().cmp("role"));
        if let Ok(at) = place {
            members.remove(at);
        }
        members.insert(place.unwrap_or_else(|at| at), (Cow::Borrowed("role"), value));
        Value::Object(members).write(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::value;

    #[test]
    fn the_role_is_found_and_put_into_the_claims() {
        let anonymous = RoleName::new("anon");
        for (path, claims, role, claims_json) in [
            ("$.role", r#"{"role":"a"}"#, "a", r#"{"role":"a"}"#),
            ("$.role", "{}", "anon", r#"{"role":"anon"}"#),
            ("$.x.y", r#"{"x":{"y":"b"},"role":"a","z":1}"#, "b", r#"{"role":"b","x":{"y":"b"},"z":1}"#),
            ("$.role", r#"{"role":["a", 1.0]}"#, "[\"a\",1.0]", r#"{"role":"[\"a\",1.0]"}"#),
            ("$.role", r#"{"role":null}"#, "null", r#"{"role":"null"}"#),
            ("$.role", r#"{"role":"a\u0000b"}"#, "a\0b", r#"{"role":"a\u0000b"}"#),
            ("$.role", r#"{"role":""}"#, "", r#"{"role":""}"#),
        ] {
            let Value::Object(members) = value::parse(claims.as_bytes()).unwrap() else { panic!() };
            let path = RolePath::parse(path).unwrap();
            let got = identity(members.clone(), &path, Some(&anonymous)).unwrap();
            assert_eq!((got.role.as_str(), got.claims_json.as_str()), (role, claims_json), "{claims}");
            assert_eq!(identity(members, &path, None).is_err(), claims == "{}", "{claims}");
        }
    }
}
