//! What a connection string says about TLS beside `sslmode`: files, channel binding, versions. Names only; the files are
//! read by each attempt, so that renewed certificates need no restart.

use std::path::PathBuf;

use super::environment::Environment;
use super::options::Options;
use super::{SslMode, TargetError, parsed};

/// Where certificates come from and what the session must be bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSettings {
    pub roots: Roots,
    /// The client's certificate; a default one is used only if it exists.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub channel_binding: Binding,
    /// `ssl_min_protocol_version=TLSv1.3`.
    pub without_1_2: bool,
    /// `ssl_max_protocol_version=TLSv1.2`.
    pub without_1_3: bool,
}

/// Whom a server's certificate must come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Roots {
    /// The authorities that the operating system trusts.
    System,
    /// Checked in every mode if the file exists, needed by `verify-ca` and `verify-full`.
    File(PathBuf),
    /// No file was named and there is no home directory to look in.
    Nowhere,
}

/// How much SCRAM has to be bound to the TLS session (`channel_binding`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Binding {
    Disable,
    #[default]
    Prefer,
    Require,
}

impl Binding {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            _ => return None,
        })
    }
}

pub(super) fn resolve(
    options: &Options,
    environment: &dyn Environment,
    warnings: &mut Vec<String>,
) -> Result<(SslMode, TlsSettings), TargetError> {
    for key in ["sslcrl", "sslcrldir"] {
        if options.get(key).is_some() {
            warnings.push(format!("{key} is ignored: revocation lists are not checked"));
        }
    }
    let in_home = |name: &str| Some(environment.home()?.join(".postgresql").join(name));
    let file = |key: &str, default: &str| options.get(key).map(PathBuf::from).or_else(|| in_home(default));
    let roots = match options.get("sslrootcert") {
        Some("system") => Roots::System,
        _ => file("sslrootcert", "root.crt").map_or(Roots::Nowhere, Roots::File),
    };
    let mode = parsed(options, "sslmode", SslMode::parse)?;
    let mode = match (mode, &roots) {
        (None, Roots::System) => SslMode::VerifyFull,
        (Some(mode), Roots::System) if mode != SslMode::VerifyFull => {
            let mode = mode.name();
            return Err(TargetError::new(format!(
                "weak sslmode \"{mode}\" may not be used with sslrootcert=system (use \"verify-full\")"
            )));
        }
        (mode, _) => mode.unwrap_or_default(),
    };
    let uses_certificate = options.get("sslcertmode") != Some("disable");
    let settings = TlsSettings {
        roots,
        certificate: file("sslcert", "postgresql.crt").filter(|_| uses_certificate),
        key: file("sslkey", "postgresql.key"),
        channel_binding: parsed(options, "channel_binding", Binding::parse)?.unwrap_or_default(),
        without_1_2: options.get("ssl_min_protocol_version") == Some("TLSv1.3"),
        without_1_3: options.get("ssl_max_protocol_version") == Some("TLSv1.2"),
    };
    Ok((mode, settings))
}
