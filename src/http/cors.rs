//! Cross-origin requests: which origins may read answers, and what a preflight is told. Pure.
//! Source: WHATWG Fetch, "CORS protocol"; recorded answers of PostgREST 16.2, whose defaults these are: any origin
//! without credentials, unless origins are configured; those get credentials, others get no CORS headers at all.

use super::{Headers, Method, ResponseHead};

/// What cross-origin rules add to an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cors<'c> {
    /// Nothing: not cross-origin, from an origin that isn't listed, or an OPTIONS that asks about the resource.
    Silent,
    /// An ordinary answer, success or error, that the origin may read.
    Readable(AllowedOrigin<'c>),
    /// The request is a preflight: 200, these headers, no body, and nobody else sees it.
    /// `requested` is `Access-Control-Request-Headers`.
    Preflight { origin: AllowedOrigin<'c>, requested: Option<&'c [u8]> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllowedOrigin<'c> {
    Any,
    Listed(&'c [u8]),
}

const EXPOSED: &[u8] = b"Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, \
    Transfer-Encoding, Range-Unit";
const METHODS: &[u8] = b"GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD";
/// What a preflight may ask for; asking for another method makes it an ordinary OPTIONS.
const PREFLIGHT_METHODS: [&[u8]; 7] = [b"GET", b"POST", b"PATCH", b"PUT", b"DELETE", b"OPTIONS", b"HEAD"];
/// Always allowed, and named behind what was asked for.
const SIMPLE_HEADERS: [&str; 3] = ["Accept", "Accept-Language", "Content-Language"];
const MAX_AGE_SECONDS: &[u8] = b"86400";

impl<'c> Cors<'c> {
    /// `configured` is `server-cors-allowed-origins`; an empty list counts as none. Origins compare byte for byte.
    pub fn decide(configured: Option<&[String]>, method: Method<'_>, headers: &Headers<'c>) -> Self {
        let Some(origin) = headers.first("origin") else { return Self::Silent };
        let origin = match configured {
            None | Some([]) => AllowedOrigin::Any,
            Some(listed) if listed.iter().any(|allowed| allowed.as_bytes() == origin) => AllowedOrigin::Listed(origin),
            Some(_) => return Self::Silent,
        };
        if method != Method::Options {
            return Self::Readable(origin);
        }
        match headers.first("access-control-request-method") {
            Some(asked) if PREFLIGHT_METHODS.contains(&asked) => {
                Self::Preflight { origin, requested: headers.first("access-control-request-headers") }
            }
            _ => Self::Silent,
        }
    }

    /// Adds the decision's headers.
    pub fn write(&self, head: &mut ResponseHead) {
        match self {
            Self::Silent => {}
            Self::Readable(origin) => {
                write_origin(*origin, head);
                head.add("Access-Control-Expose-Headers", EXPOSED);
            }
            Self::Preflight { origin, requested } => {
                write_origin(*origin, head);
                head.add("Access-Control-Allow-Methods", METHODS);
                head.add("Access-Control-Max-Age", MAX_AGE_SECONDS);
                if let Some(requested) = requested {
                    head.add("Access-Control-Allow-Headers", &allowed_headers(requested));
                }
            }
        }
    }
}

fn write_origin(origin: AllowedOrigin<'_>, head: &mut ResponseHead) {
    match origin {
        AllowedOrigin::Any => {
            head.add("Access-Control-Allow-Origin", b"*");
        }
        AllowedOrigin::Listed(origin) => {
            head.add("Access-Control-Allow-Origin", origin);
            head.add("Access-Control-Allow-Credentials", b"true");
        }
    }
}

/// `Authorization`, the names asked for as they were written, then the simple ones that are not among them.
fn allowed_headers(requested: &[u8]) -> Vec<u8> {
    let mut allowed = b"Authorization".to_vec();
    let names = || requested.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let simple = SIMPLE_HEADERS.iter().map(|name| name.as_bytes());
    let missing = simple.filter(|simple| !names().any(|name| name.eq_ignore_ascii_case(simple)));
    for name in names().filter(|name| !name.is_empty()).chain(missing) {
        allowed.extend_from_slice(b", ");
        allowed.extend_from_slice(name);
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "https://shop.test, http://localhost:3000";

    fn check(configured: Option<&str>, method: Method<'_>, fields: &[(&str, &str)], expect: &[(&str, &str)]) {
        let origins: Option<Vec<String>> = configured
            .map(|list| list.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect());
        let headers = Headers { fields: fields.iter().map(|&(name, value)| (name, value.as_bytes())).collect() };
        let mut head = ResponseHead::default();
        Cors::decide(origins.as_deref(), method, &headers).write(&mut head);
        let found: Vec<_> = head.fields().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(found, expect, "{configured:?} {method:?} {fields:?}");
    }

    const SHOP: (&str, &str) = ("Origin", "https://shop.test");
    const ANY: (&str, &str) = ("Access-Control-Allow-Origin", "*");
    const ECHO: (&str, &str) = ("Access-Control-Allow-Origin", "https://shop.test");
    const CREDENTIALS: (&str, &str) = ("Access-Control-Allow-Credentials", "true");
    const EXPOSE: (&str, &str) = (
        "Access-Control-Expose-Headers",
        "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit",
    );
    const ALLOW: (&str, &str) = ("Access-Control-Allow-Methods", "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD");
    const AGE: (&str, &str) = ("Access-Control-Max-Age", "86400");

    fn asks(method: &str) -> (&str, &str) {
        ("Access-Control-Request-Method", method)
    }

    fn names(list: &str) -> (&str, &str) {
        ("access-control-request-headers", list)
    }

    fn allows(list: &str) -> (&str, &str) {
        ("Access-Control-Allow-Headers", list)
    }

    #[test]
    fn ordinary_answers() {
        check(None, Method::Get, &[], &[]);
        check(None, Method::Get, &[SHOP], &[ANY, EXPOSE]);
        check(None, Method::Head, &[("origin", "")], &[ANY, EXPOSE]);
        check(None, Method::Post, &[("Origin", "null")], &[ANY, EXPOSE]);
        check(Some(""), Method::Get, &[SHOP], &[ANY, EXPOSE]);
        check(Some(LISTED), Method::Get, &[SHOP], &[ECHO, CREDENTIALS, EXPOSE]);
        check(Some(LISTED), Method::Get, &[("Origin", "https://evil.test")], &[]);
        check(Some(LISTED), Method::Get, &[("Origin", "null")], &[]);
        check(Some(LISTED), Method::Get, &[], &[]);
        check(None, Method::Options, &[], &[]);
        check(None, Method::Options, &[SHOP], &[]);
    }

    #[test]
    fn preflights() {
        check(None, Method::Options, &[SHOP, asks("POST")], &[ANY, ALLOW, AGE]);
        check(None, Method::Options, &[("Origin", "null"), asks("HEAD")], &[ANY, ALLOW, AGE]);
        check(
            None,
            Method::Options,
            &[SHOP, asks("PATCH"), names("authorization, x-custom, prefer")],
            &[
                ANY,
                ALLOW,
                AGE,
                allows("Authorization, authorization, x-custom, prefer, Accept, Accept-Language, Content-Language"),
            ],
        );
        check(
            None,
            Method::Options,
            &[SHOP, asks("GET"), names("Accept")],
            &[ANY, ALLOW, AGE, allows("Authorization, Accept, Accept-Language, Content-Language")],
        );
        check(
            None,
            Method::Options,
            &[SHOP, asks("GET"), names(" accept ,,")],
            &[ANY, ALLOW, AGE, allows("Authorization, accept, Accept-Language, Content-Language")],
        );
        check(None, Method::Options, &[SHOP, asks("BREW"), names("Accept")], &[]);
        check(None, Method::Options, &[SHOP, asks("post")], &[]);
        check(None, Method::Options, &[asks("POST")], &[]);
        check(None, Method::Get, &[SHOP, asks("POST")], &[ANY, EXPOSE]);
        check(
            Some(LISTED),
            Method::Options,
            &[SHOP, asks("POST"), names("Content-Type")],
            &[
                ECHO,
                CREDENTIALS,
                ALLOW,
                AGE,
                allows("Authorization, Content-Type, Accept, Accept-Language, Content-Language"),
            ],
        );
        for origin in ["https://evil.test", "http://localhost:3001", "https://SHOP.test", "https://shop.test/", ""] {
            check(Some(LISTED), Method::Options, &[("Origin", origin), asks("POST")], &[]);
        }
    }
}
