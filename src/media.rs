//! Media types: what `Accept` asks for and `Content-Type` says. Known names compare without case, parameters are kept.

use std::fmt;

/// A media type as the server distinguishes them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MediaType {
    Json,
    GeoJson,
    Csv,
    OpenApi,
    UrlEncoded,
    OctetStream,
    TextPlain,
    TextXml,
    Any,
    /// `application/vnd.pgrst.object+json`
    SingularJson {
        nulls: Nulls,
    },
    /// `application/vnd.pgrst.array+json`: only `Stripped` is ever read, the plain one is `Json`.
    ArrayJson {
        nulls: Nulls,
    },
    Plan(Box<PlanMedia>),
    /// Anything else, as written: PostgREST compares these with case.
    Other(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Nulls {
    Kept,
    /// `;nulls=stripped`
    Stripped,
}

/// `application/vnd.pgrst.plan+json; for="application/json"; options=analyze|buffers`
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PlanMedia {
    pub target: MediaType,
    pub format: PlanFormat,
    pub analyze: bool,
    pub verbose: bool,
    pub settings: bool,
    pub buffers: bool,
    pub wal: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PlanFormat {
    Json,
    Text,
}

/// One entry of `Accept`, already in order of preference.
pub type Accepted = MediaType;

/// Reads an `Accept` header: by falling quality, then the more specific first, then as written. Without the header
/// anything goes. As in PostgREST, blanks don't count and what follows `;q=` is dropped.
pub fn parse_accept(header: Option<&[u8]>) -> Vec<Accepted> {
    let Some(header) = header else { return vec![MediaType::Any] };
    if header.is_empty() {
        return Vec::new();
    }
    let mut entries: Vec<(f64, isize, MediaType)> = header.split(|&byte| byte == b',').map(entry).collect();
    entries.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    entries.into_iter().map(|(_, _, media)| media).collect()
}

/// Quality, specificity (parameters count up, stars down) and type of one entry.
fn entry(text: &[u8]) -> (f64, isize, MediaType) {
    let text: String = text.iter().filter(|&&byte| byte != b' ').map(|&byte| char::from(byte)).collect();
    let (media, quality) = match text.split_once(";q=") {
        Some((media, rest)) => (media, quality(rest.split(';').next().unwrap_or_default())),
        None => (text.as_str(), 1.0),
    };
    let count = |wanted| isize::try_from(media.matches(wanted).count()).unwrap_or(isize::MAX);
    (quality, count(';') - count('*'), MediaType::parse_text(media))
}

/// The longest number at the start of the text; 1 if there is none.
fn quality(text: &str) -> f64 {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let fraction = match text.get(whole..).and_then(|rest| rest.strip_prefix('.')) {
        Some(rest) if digits(rest) > 0 => digits(rest) + 1,
        _ => 0,
    };
    if whole == 0 { 1.0 } else { text.get(..whole + fraction).and_then(|text| text.parse().ok()).unwrap_or(1.0) }
}

impl MediaType {
    /// Reads a `Content-Type`, or a type out of `Accept`. Bytes past ASCII are taken for Latin-1.
    pub fn parse(text: &[u8]) -> Self {
        let text: String = text.iter().map(|&byte| char::from(byte)).collect();
        Self::parse_text(&text)
    }

    fn parse_text(text: &str) -> Self {
        let Some(parts) = Parts::read(text) else { return Self::Other(text.to_owned()) };
        let nulls = if parts.parameter("nulls") == Some("stripped") { Nulls::Stripped } else { Nulls::Kept };
        match (parts.main.to_lowercase().as_str(), parts.sub.to_lowercase().as_str()) {
            ("application", "json") => Self::Json,
            ("application", "geo+json") => Self::GeoJson,
            ("text", "csv") => Self::Csv,
            ("text", "plain") => Self::TextPlain,
            ("text", "xml") => Self::TextXml,
            ("application", "openapi+json") => Self::OpenApi,
            ("application", "x-www-form-urlencoded") => Self::UrlEncoded,
            ("application", "octet-stream") => Self::OctetStream,
            ("application", "vnd.pgrst.plan" | "vnd.pgrst.plan+text") => parts.plan(PlanFormat::Text),
            ("application", "vnd.pgrst.plan+json") => parts.plan(PlanFormat::Json),
            ("application", "vnd.pgrst.object" | "vnd.pgrst.object+json") => Self::SingularJson { nulls },
            ("application", "vnd.pgrst.array" | "vnd.pgrst.array+json") => match nulls {
                Nulls::Stripped => Self::ArrayJson { nulls },
                Nulls::Kept => Self::Json,
            },
            ("*", "*") => Self::Any,
            _ => Self::Other(text.to_owned()),
        }
    }

    /// The value of a Content-Type header: with the charset where the type is one of our own texts.
    pub fn content_type(&self) -> String {
        match self {
            Self::OctetStream | Self::Other(_) => self.to_string(),
            Self::Json
            | Self::GeoJson
            | Self::Csv
            | Self::OpenApi
            | Self::UrlEncoded
            | Self::TextPlain
            | Self::TextXml
            | Self::Any
            | Self::SingularJson { .. }
            | Self::ArrayJson { .. }
            | Self::Plan(_) => format!("{self}; charset=utf-8"),
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = |nulls: &Nulls| match nulls {
            Nulls::Kept => "",
            Nulls::Stripped => ";nulls=stripped",
        };
        match self {
            Self::Json => out.write_str("application/json"),
            Self::GeoJson => out.write_str("application/geo+json"),
            Self::Csv => out.write_str("text/csv"),
            Self::OpenApi => out.write_str("application/openapi+json"),
            Self::UrlEncoded => out.write_str("application/x-www-form-urlencoded"),
            Self::OctetStream => out.write_str("application/octet-stream"),
            Self::TextPlain => out.write_str("text/plain"),
            Self::TextXml => out.write_str("text/xml"),
            Self::Any => out.write_str("*/*"),
            Self::SingularJson { nulls } => write!(out, "application/vnd.pgrst.object+json{}", suffix(nulls)),
            Self::ArrayJson { nulls } => write!(out, "application/vnd.pgrst.array+json{}", suffix(nulls)),
            Self::Plan(plan) => plan.fmt(out),
            Self::Other(text) => out.write_str(text),
        }
    }
}

impl fmt::Display for PlanMedia {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.format {
            PlanFormat::Json => "json",
            PlanFormat::Text => "text",
        };
        write!(out, "application/vnd.pgrst.plan+{format}; for=\"{}\"", self.target)?;
        let options = [
            (self.analyze, "analyze"),
            (self.verbose, "verbose"),
            (self.settings, "settings"),
            (self.buffers, "buffers"),
            (self.wal, "wal"),
        ];
        let mut separator = "; options=";
        for (_, option) in options.iter().filter(|(wanted, _)| *wanted) {
            write!(out, "{separator}{option}")?;
            separator = "|";
        }
        Ok(())
    }
}

/// `main/sub;key=value;…`, as far as it parses.
struct Parts<'t> {
    main: &'t str,
    sub: &'t str,
    parameters: Vec<(&'t str, &'t str)>,
}

impl<'t> Parts<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let (main, rest) = run(text, ".*")?;
        let (sub, mut rest) = run(rest.strip_prefix('/')?, ".*+-")?;
        let mut parameters = Vec::new();
        while let Some((parameter, after)) = parameter(rest) {
            parameters.push(parameter);
            rest = after;
        }
        Some(Self { main, sub, parameters })
    }

    /// Of a parameter given twice the last counts.
    fn parameter(&self, name: &str) -> Option<&'t str> {
        self.parameters.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }

    fn plan(&self, format: PlanFormat) -> MediaType {
        let options = self.parameter("options").unwrap_or_default();
        let wanted = |option| options.split('|').any(|given| given == option);
        MediaType::Plan(Box::new(PlanMedia {
            target: self.parameter("for").map_or(MediaType::Json, MediaType::parse_text),
            format,
            analyze: wanted("analyze"),
            verbose: wanted("verbose"),
            settings: wanted("settings"),
            buffers: wanted("buffers"),
            wal: wanted("wal"),
        }))
    }
}

/// One `; key=value` or `; key="value"`, and what follows it.
fn parameter(text: &str) -> Option<((&str, &str), &str)> {
    let rest = text.trim_start().strip_prefix(';')?.trim_start();
    let (key, rest) = run(rest, "-")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let (value, rest) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
        Some(found) => found,
        None => run(rest, "|-")?,
    };
    Some(((key, value), rest))
}

/// One or more letters, digits or characters of `more`, and what follows.
fn run<'t>(text: &'t str, more: &str) -> Option<(&'t str, &'t str)> {
    let len = text.find(|next: char| !next.is_alphanumeric() && !more.contains(next)).unwrap_or(text.len());
    (len > 0).then(|| text.split_at(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expect: &str) {
        let found: Vec<String> = parse_accept(Some(accept.as_bytes())).iter().map(MediaType::to_string).collect();
        assert_eq!(found.join(", "), expect, "{accept}");
    }

    #[test]
    fn accept_is_sorted_by_preference() {
        check("text/csv;q=0.5, application/json", "application/json, text/csv");
        check("*/*, text/csv", "text/csv, */*");
        check("text/html; charset=utf-8", "text/html;charset=utf-8");
        check("a/b, c/d;q=0.1", "a/b, c/d");
        check("a/b;q=x, c/d;q=1.0", "a/b, c/d");
        check("a/b;q=0.5;v=1, c/d;q=.9", "c/d, a/b");
        check(",", ", ");
        check("", "");
        check("TEXT/HTML", "TEXT/HTML");
        assert_eq!(parse_accept(None), [MediaType::Any]);
    }

    #[test]
    fn vendored_types() {
        check("ApplicatIon/vnd.PgRsT.object+json", "application/vnd.pgrst.object+json");
        check("application/vnd.pgrst.object;NULLS=stripped", "application/vnd.pgrst.object+json;nulls=stripped");
        check("application/vnd.pgrst.array", "application/json");
        check("application/vnd.pgrst.array+json;nulls=stripped", "application/vnd.pgrst.array+json;nulls=stripped");
        check("application/vnd.pgrst.plan", "application/vnd.pgrst.plan+text; for=\"application/json\"");
        check(
            "application/vnd.pgrst.plan+json; for=\"text/csv\"; options=wal|analyze|x",
            "application/vnd.pgrst.plan+json; for=\"text/csv\"; options=analyze|wal",
        );
    }

    #[test]
    fn content_types() {
        for (text, expect, sent) in [
            ("application/json; charset=utf-8", MediaType::Json, "application/json; charset=utf-8"),
            ("text/CSV", MediaType::Csv, "text/csv; charset=utf-8"),
            ("application/octet-stream", MediaType::OctetStream, "application/octet-stream"),
            ("garbage", MediaType::Other("garbage".to_owned()), "garbage"),
            ("a/b; x", MediaType::Other("a/b; x".to_owned()), "a/b; x"),
        ] {
            let found = MediaType::parse(text.as_bytes());
            assert_eq!((found.content_type().as_str(), found), (sent, expect));
        }
    }
}
