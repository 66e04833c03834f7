//! `postgresql://user:password@host:port,host2:port2/dbname?key=value`, percent-encoded.

use percent_encoding::percent_decode_str;

use super::TargetError;
use super::options::Options;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

pub(super) fn is_uri(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

pub(super) fn parse(text: &str, options: &mut Options) -> Result<(), TargetError> {
    let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    // As libpq: credentials end at the first `@` before any `/`.
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let (credentials, hosts) = match authority.split_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    if let Some(credentials) = credentials {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        set(options, "user", decode(user, Shown::No("user name"))?)?;
        set(options, "password", decode(password, Shown::No("password"))?)?;
    }
    parse_hosts(hosts, options)?;
    if let Some(database) = path.strip_prefix('/') {
        set(options, "dbname", decode(database, Shown::Yes)?)?;
    }
    query.map_or(Ok(()), |query| parse_query(query, options))
}

/// Values are kept as lists with commas, as the key/value form has them.
fn parse_hosts(text: &str, options: &mut Options) -> Result<(), TargetError> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, after) = match part.strip_prefix('[') {
            Some(bracketed) => {
                let Some((host, after)) = bracketed.split_once(']') else {
                    return Err(TargetError::new(
                        "end of string reached when looking for matching \"]\" in IPv6 host address in URI",
                    ));
                };
                if host.is_empty() {
                    return Err(TargetError::new("IPv6 host address may not be empty in URI"));
                }
                (host, after)
            }
            None => part.split_at(part.find(':').unwrap_or(part.len())),
        };
        let port = match after.strip_prefix(':') {
            Some(port) => port,
            None if after.is_empty() => "",
            None => {
                return Err(TargetError::new(
                    "unexpected character after an IPv6 host address in URI (expected \":\" or \"/\")",
                ));
            }
        };
        hosts.push(decode(host, Shown::No("host"))?);
        ports.push(decode(port, Shown::No("port"))?);
    }
    // Ports that are not ports are often the tail of a password with an unescaped `@` or `/`: not shown either.
    if ports.iter().any(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
        return Err(TargetError::new("invalid port number in URI"));
    }
    set(options, "host", hosts.join(","))?;
    set(options, "port", ports.join(","))
}

fn parse_query(query: &str, options: &mut Options) -> Result<(), TargetError> {
    if query.is_empty() {
        return Ok(());
    }
    for pair in query.split('&') {
        let Some((key, value)) = pair.split_once('=') else {
            let message = format!("missing key/value separator \"=\" in URI query parameter: \"{pair}\"");
            return Err(TargetError::new(message));
        };
        let key = decode(key, Shown::Yes)?;
        if value.contains('=') {
            let message = format!("extra key/value separator \"=\" in URI query parameter: \"{key}\"");
            return Err(TargetError::new(message));
        }
        let secret = matches!(key.as_str(), "password" | "sslpassword" | "oauth_client_secret");
        let value = decode(value, if secret { Shown::No("password") } else { Shown::Yes })?;
        // JDBC's way to ask for TLS, which libpq takes too.
        let (key, value) = match (key.as_str(), value.as_str()) {
            ("ssl", "true") => ("sslmode".to_owned(), "require".to_owned()),
            _ => (key, value),
        };
        set(options, &key, value)?;
    }
    Ok(())
}

/// Whether a message may show the text.
#[derive(Clone, Copy)]
enum Shown {
    Yes,
    No(&'static str),
}

fn decode(text: &str, shown: Shown) -> Result<String, TargetError> {
    let fail = |what: &str| {
        TargetError::new(match shown {
            Shown::Yes => format!("{what}: \"{text}\""),
            Shown::No(part) => format!("{what} in the {part} of the URI"),
        })
    };
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits {
            None => return Err(fail("invalid percent-encoded token")),
            Some("00") => return Err(fail("forbidden value %00 in percent-encoded value")),
            Some(_) => rest = after.get(2..).unwrap_or_default(),
        }
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| fail("text that is not UTF-8"))?;
    Ok(decoded.into_owned())
}

fn set(options: &mut Options, key: &str, value: String) -> Result<(), TargetError> {
    options.set(key, value).map_err(|_| TargetError::new(format!("invalid URI query parameter: \"{key}\"")))
}
