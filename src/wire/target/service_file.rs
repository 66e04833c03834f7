//! `service=name` takes further options from a file of `[name]` sections: below the connection string, above the
//! environment in rank.

use std::path::PathBuf;

use super::TargetError;
use super::environment::Environment;
use super::options::Options;

pub(super) fn complete(options: &mut Options, environment: &dyn Environment) -> Result<(), TargetError> {
    let Some(service) = options.get("service").map(str::to_owned).or_else(|| environment.variable("PGSERVICE")) else {
        return Ok(());
    };
    for path in files(options, environment) {
        let Ok(contents) = environment.read(&path) else { continue };
        let mut found = false;
        let mut inside = false;
        for (number, line) in contents.text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                inside = name == service;
                found |= inside;
                continue;
            }
            if !inside {
                continue;
            }
            let fail = || {
                TargetError::new(format!("syntax error in service file \"{}\", line {}", path.display(), number + 1))
            };
            let (key, value) = line.split_once('=').ok_or_else(fail)?;
            options.set_if_absent(key.trim(), value.trim().to_owned()).map_err(|_| fail())?;
        }
        if found {
            return Ok(());
        }
    }
    Err(TargetError::new(format!("definition of service \"{service}\" not found")))
}

/// The user's file, then the system's.
fn files(options: &Options, environment: &dyn Environment) -> Vec<PathBuf> {
    let named = options.get("servicefile").map(str::to_owned).or_else(|| environment.variable("PGSERVICEFILE"));
    let own = match named {
        Some(path) => Some(PathBuf::from(path)),
        None => environment.home().map(|home| home.join(".pg_service.conf")),
    };
    let system = environment.variable("PGSYSCONFDIR").map(|folder| PathBuf::from(folder).join("pg_service.conf"));
    own.into_iter().chain(system).collect()
}
