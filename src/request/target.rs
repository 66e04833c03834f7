//! Method and path → `Action`. Paths are `/`, `/relation` and `/rpc/routine`; every other one is refused.

use std::borrow::Cow;

use super::refusal::RequestError;
use super::{Action, BodyWanted, Invocation, Mutation};
use crate::http::Method;

/// What a path names, before the method counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resource<'r> {
    Root,
    Relation(Cow<'r, str>),
    Routine(Cow<'r, str>),
}

/// What is served at `/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RootPage {
    /// The OpenAPI document.
    Document,
    /// `db-root-spec`: a routine of the request's schema.
    Routine(String),
    /// `openapi-mode=disabled`
    Disabled,
}

/// Splits the path at its slashes, then decodes; bytes that are no UTF-8 become U+FFFD.
pub fn resource<'r>(path: &'r [u8], root: &'r RootPage) -> Result<Resource<'r>, RequestError> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    if path.is_empty() {
        return match root {
            RootPage::Document => Ok(Resource::Root),
            RootPage::Routine(name) => Ok(Resource::Routine(Cow::Borrowed(name))),
            RootPage::Disabled => Err(RequestError::RootDisabled),
        };
    }
    let mut segments = path.split(|&byte| byte == b'/').map(decode_segment);
    match (segments.next(), segments.next(), segments.next()) {
        (Some(relation), None, None) => Ok(Resource::Relation(relation)),
        (Some(first), Some(routine), None) if first == "rpc" => Ok(Resource::Routine(routine)),
        _ => Err(RequestError::InvalidPath),
    }
}

/// What the method asks of the resource.
pub fn action<'r>(resource: Resource<'r>, method: Method<'_>) -> Result<Action<'r>, RequestError> {
    match resource {
        Resource::Root => match method {
            Method::Get => Ok(Action::SchemaRead { body: BodyWanted::Full }),
            Method::Head => Ok(Action::SchemaRead { body: BodyWanted::HeadOnly }),
            Method::Options => Ok(Action::SchemaInfo),
            Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Other(_) => Err(unsupported(method)),
        },
        Resource::Relation(relation) => match method {
            Method::Get => Ok(Action::Read { relation, body: BodyWanted::Full }),
            Method::Head => Ok(Action::Read { relation, body: BodyWanted::HeadOnly }),
            Method::Post => Ok(Action::Mutate { relation, mutation: Mutation::Insert }),
            Method::Put => Ok(Action::Mutate { relation, mutation: Mutation::SingleUpsert }),
            Method::Patch => Ok(Action::Mutate { relation, mutation: Mutation::Update }),
            Method::Delete => Ok(Action::Mutate { relation, mutation: Mutation::Delete }),
            Method::Options => Ok(Action::RelationInfo { relation }),
            Method::Other(_) => Err(unsupported(method)),
        },
        Resource::Routine(routine) => match method {
            Method::Get => Ok(Action::Call { routine, by: Invocation::Get(BodyWanted::Full) }),
            Method::Head => Ok(Action::Call { routine, by: Invocation::Get(BodyWanted::HeadOnly) }),
            Method::Post => Ok(Action::Call { routine, by: Invocation::Post }),
            Method::Options => Ok(Action::RoutineInfo { routine }),
            Method::Put | Method::Patch | Method::Delete | Method::Other(_) => {
                Err(RequestError::RoutineMethod { method: method.as_str().to_owned() })
            }
        },
    }
}

fn unsupported(method: Method<'_>) -> RequestError {
    RequestError::MethodUnsupported { method: method.as_str().to_owned() }
}

fn decode_segment(segment: &[u8]) -> Cow<'_, str> {
    percent_encoding::percent_decode(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        fn check(path: &[u8], expect: Result<Resource<'_>, RequestError>) {
            assert_eq!(resource(path, &RootPage::Document), expect, "{path:?}");
        }
        let invalid = || Err(RequestError::InvalidPath);
        check(b"/", Ok(Resource::Root));
        check(b"/ports", Ok(Resource::Relation("ports".into())));
        check(b"/rpc", Ok(Resource::Relation("rpc".into())));
        check(b"/rpc/ping", Ok(Resource::Routine("ping".into())));
        check(b"/Cargo%20Hatches+", Ok(Resource::Relation("Cargo Hatches+".into())));
        check(b"/a%2Fb", Ok(Resource::Relation("a/b".into())));
        check(b"/%FF%zz", Ok(Resource::Relation("\u{fffd}%zz".into())));
        for path in [b"//".as_slice(), b"/a/", b"/a/b", b"//a", b"/rpc/a/b", b"/rpc/a/", b"/RPC/a"] {
            check(path, invalid());
        }
        assert_eq!(resource(b"/", &RootPage::Disabled), Err(RequestError::RootDisabled));
        let root = RootPage::Routine("index".to_owned());
        assert_eq!(resource(b"/", &root), Ok(Resource::Routine("index".into())));
    }

    #[test]
    fn methods() {
        let relation = || Resource::Relation("t".into());
        let routine = || Resource::Routine("f".into());
        let unsupported = |method: &str| Err(RequestError::MethodUnsupported { method: method.to_owned() });
        for (resource, method, expect) in [
            (relation(), Method::Head, Ok(Action::Read { relation: "t".into(), body: BodyWanted::HeadOnly })),
            (relation(), Method::Put, Ok(Action::Mutate { relation: "t".into(), mutation: Mutation::SingleUpsert })),
            (relation(), Method::Other("get"), unsupported("get")),
            (routine(), Method::Post, Ok(Action::Call { routine: "f".into(), by: Invocation::Post })),
            (routine(), Method::Put, Err(RequestError::RoutineMethod { method: "PUT".to_owned() })),
            (routine(), Method::Other("BREW"), Err(RequestError::RoutineMethod { method: "BREW".to_owned() })),
            (Resource::Root, Method::Options, Ok(Action::SchemaInfo)),
            (Resource::Root, Method::Delete, unsupported("DELETE")),
        ] {
            assert_eq!(action(resource, method), expect);
        }
    }
}
