//! `hostname:port:database:username:password` lines; `*` matches everything, a backslash keeps `:` and `\` as they are.
//! A file that others may read is not used, as in libpq.

use std::path::PathBuf;

use super::environment::Environment;
use super::options::Options;
use super::{Endpoint, Host, Password};

/// Gives each host the password of the first line that matches it.
pub(super) fn complete(
    hosts: &mut [Host],
    user: &str,
    database: &str,
    options: &Options,
    environment: &dyn Environment,
    warnings: &mut Vec<String>,
) {
    let named = options.get("passfile").map(PathBuf::from);
    let Some(path) = named.or_else(|| environment.home().map(|home| home.join(".pgpass"))) else { return };
    let Ok(contents) = environment.read(&path) else { return };
    if contents.open_to_others {
        let path = path.display();
        warnings.push(format!(
            "password file \"{path}\" has group or world access; permissions should be u=rw (0600) or less"
        ));
        return;
    }
    for host in hosts {
        let wanted = [&host_name(&host.endpoint), &host.port.to_string(), database, user];
        let mut passwords = contents.text.lines().filter_map(|line| password_for(line, &wanted));
        host.password = passwords.next().map(Password::new);
    }
}

fn host_name(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::DefaultSocket => "localhost".to_owned(),
        Endpoint::Unix { directory } => {
            let directory = directory.to_string_lossy();
            let default = Endpoint::DEFAULT_DIRECTORIES.contains(&directory.as_ref());
            if default { "localhost".to_owned() } else { directory.into_owned() }
        }
        Endpoint::Tcp { host: Some(host), .. } => host.clone(),
        Endpoint::Tcp { host: None, address } => address.map(|address| address.to_string()).unwrap_or_default(),
    }
}

fn password_for(line: &str, wanted: &[&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line.trim_end_matches('\r');
    for wanted in wanted {
        let (field, any, after) = take_field(rest);
        rest = after?;
        if !any && field != *wanted {
            return None;
        }
    }
    let (password, _, _) = take_field(rest);
    (!password.is_empty()).then_some(password)
}

/// The field, whether it is a bare `*`, and what follows its colon.
fn take_field(text: &str) -> (String, bool, Option<&str>) {
    let mut field = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => field.extend(characters.next().map(|(_, escaped)| escaped)),
            ':' => return (field, text.get(..index) == Some("*"), text.get(index + 1..)),
            _ => field.push(character),
        }
    }
    let any = text == "*";
    (field, any, None)
}
