//! The types of options that are neither text, number nor boolean: each is parsed from and printed as its option's text.

use std::fmt;

use crate::error::body::Verbosity;
use crate::name::{RoutineName, SchemaName};

/// An option that is one of a few words.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// By its exact word.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    )+};
}

words! {
    /// Which members an error's body has.
    ErrorVerbosity {
        Verbose = "verbose",
        /// Code and message alone.
        Minimal = "minimal",
    }

    /// Each level logs what those before it do.
    LogLevel {
        Crit = "crit",
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
    }

    /// What the root document shows.
    OpenApiMode {
        FollowPrivileges = "follow-privileges",
        IgnorePrivileges = "ignore-privileges",
        Disabled = "disabled",
    }

    /// How transactions end, and whether `Prefer: tx=` may say otherwise.
    TxEnd {
        Commit = "commit",
        CommitAllowOverride = "commit-allow-override",
        Rollback = "rollback",
        RollbackAllowOverride = "rollback-allow-override",
    }
}

impl From<ErrorVerbosity> for Verbosity {
    fn from(verbosity: ErrorVerbosity) -> Self {
        match verbosity {
            ErrorVerbosity::Verbose => Self::Verbose,
            ErrorVerbosity::Minimal => Self::Minimal,
        }
    }
}

/// Where to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BindHost {
    /// `*`: any address of either family.
    Any,
    /// `*4`: either family, IPv4 preferred.
    AnyPreferIpv4,
    /// `!4`: any IPv4 address.
    AnyIpv4,
    /// `*6`: either family, IPv6 preferred.
    AnyPreferIpv6,
    /// `!6`: any IPv6 address.
    AnyIpv6,
    /// A name or an address.
    Named(String),
}

impl BindHost {
    pub fn parse(text: &str) -> Self {
        match text {
            "*" => Self::Any,
            "*4" => Self::AnyPreferIpv4,
            "!4" => Self::AnyIpv4,
            "*6" => Self::AnyPreferIpv6,
            "!6" => Self::AnyIpv6,
            name => Self::Named(name.to_owned()),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::AnyPreferIpv4 => "*4",
            Self::AnyIpv4 => "!4",
            Self::AnyPreferIpv6 => "*6",
            Self::AnyIpv6 => "!6",
            Self::Named(name) => name,
        }
    }
}

/// The permission bits of a unix socket, 600 to 777 in octal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketMode(u32);

impl SocketMode {
    /// 660
    pub const DEFAULT: Self = Self(0o660);

    /// Reads octal digits. The error is PostgREST's, to be put after the option's name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match u32::from_str_radix(text, 8) {
            Ok(mode @ 0o600..=0o777) => Ok(Self(mode)),
            Ok(_) => Err("needs to be between 600 and 777"),
            Err(_) => Err("not an octal"),
        }
    }

    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:o}", self.0)
    }
}

/// A routine an option names, `schema.name` or `name`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutineSetting {
    /// Without it the search path decides.
    pub schema: Option<SchemaName>,
    pub name: RoutineName,
}

impl RoutineSetting {
    pub fn parse(text: &str) -> Self {
        match text.split_once('.') {
            Some((schema, name)) => Self { schema: (!schema.is_empty()).then(|| schema.into()), name: name.into() },
            None => Self { schema: None, name: text.into() },
        }
    }
}

impl fmt::Display for RoutineSetting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(out, "{schema}.{}", self.name),
            None => self.name.fmt(out),
        }
    }
}

/// The address under which clients reach the server, for the OpenAPI document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyUri {
    /// As given.
    pub text: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    pub host: String,
    /// The scheme's own where none was given.
    pub port: u16,
    /// Empty or beginning with `/`.
    pub path: String,
}

impl ProxyUri {
    /// Takes absolute http and https addresses without user, query or fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, default_port) = if scheme.eq_ignore_ascii_case("https") {
            ("https", 443)
        } else if scheme.eq_ignore_ascii_case("http") {
            ("http", 80)
        } else {
            return None;
        };
        if !is_uri(text) || rest.contains(['?', '#']) {
            return None;
        }
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let host_end = if authority.starts_with('[') {
            authority.find(']')? + 1
        } else {
            authority.find(':').unwrap_or(authority.len())
        };
        let (host, port) = authority.split_at_checked(host_end)?;
        if host.is_empty() || authority.contains('@') {
            return None;
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => default_port,
            Some(digits) => digits.parse().ok().filter(|&port| port > 0)?,
            None => return None,
        };
        Some(Self { text: text.to_owned(), scheme, host: host.to_owned(), port, path: path.to_owned() })
    }
}

/// Whether `text` is a URI with a scheme (RFC 3986), as far as its characters go.
pub fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    let (before_fragment, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let escapes_fit = rest
        .split('%')
        .skip(1)
        .all(|after| after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    let fits = |character: char, others: &str| character.is_ascii_alphanumeric() || others.contains(character);
    let in_authority =
        before_fragment.strip_prefix("//").map_or(0, |rest| rest.find(['/', '?']).unwrap_or(rest.len()) + 2);
    let (authority, path) = before_fragment.split_at_checked(in_authority).unwrap_or(("", before_fragment));
    scheme_fits
        && escapes_fit
        && authority.chars().all(|character| fits(character, "-._~%!$&'()*+,;=:@/[]"))
        && path.chars().chain(fragment.chars()).all(|character| fits(character, "-._~%!$&'()*+,;=:@/?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_told_from_other_text() {
        for (text, expect) in [
            ("https://depot.test/api", true),
            ("urn:isbn:1", true),
            ("a:", true),
            ("http://[::1]:80/x?y=%20#z", true),
            ("mailto:a@b", true),
            (":x", false),
            ("1a:x", false),
            ("http://a b", false),
            ("http://a/%2", false),
            ("http://a/%zz", false),
            ("x", false),
            ("http://a/[", false),
            ("http://ü", false),
            ("a:b#c#d", false),
            ("a:<>", false),
        ] {
            assert_eq!(is_uri(text), expect, "{text}");
        }
    }

    #[test]
    fn proxy_addresses_are_taken_apart() {
        for (text, expect) in [
            ("https://depot.test", Some(("https", "depot.test", 443, ""))),
            ("HTTP://depot.test/", Some(("http", "depot.test", 80, "/"))),
            ("https://depot.test:8443/deep/path/", Some(("https", "depot.test", 8443, "/deep/path/"))),
            ("http://[::1]:80", Some(("http", "[::1]", 80, ""))),
            ("ftp://depot.test", None),
            ("depot.test", None),
            ("https://", None),
            ("https:///x", None),
            ("https://u@h", None),
            ("https://h?q", None),
            ("https://h#f", None),
            ("https://h:0", None),
            ("https://h:65536", None),
            ("https://h:", None),
            ("https://h:x", None),
            ("https://[::1]x", None),
            ("https://[::1", None),
            ("https:/h", None),
        ] {
            let got = ProxyUri::parse(text);
            let got = got.as_ref().map(|uri| (uri.scheme, uri.host.as_str(), uri.port, uri.path.as_str()));
            assert_eq!(got, expect, "{text}");
        }
    }

    #[test]
    fn modes_are_octal_and_bounded() {
        for (text, expect) in [
            ("660", Ok("660")),
            ("600", Ok("600")),
            ("777", Ok("777")),
            ("577", Err("needs to be between 600 and 777")),
            ("1000", Err("needs to be between 600 and 777")),
            ("888", Err("not an octal")),
            ("", Err("not an octal")),
            ("rw", Err("not an octal")),
        ] {
            assert_eq!(SocketMode::parse(text).map(|mode| mode.to_string()), expect.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn hosts_and_routines_print_as_they_came() {
        for text in ["*", "*4", "!4", "*6", "!6", "localhost", "::1"] {
            assert_eq!(BindHost::parse(text).as_str(), text);
        }
        for text in ["f", "s.f", "s.f.g"] {
            assert_eq!(RoutineSetting::parse(text).to_string(), text);
        }
        assert_eq!(RoutineSetting::parse("s.f").schema, Some("s".into()));
    }
}
