//! Configuration kept in the database: `ALTER ROLE authenticator [IN DATABASE …] SET pgrst.… = …`, and what the
//! pre-configuration function sets. Which queries to ask and how their rows become key and value; the configuration
//! stage says what they mean.
//! Invariant: settings for the database beat settings for the role, which beat those of the pre-configuration function.

use super::load::{CatalogQuery, LoadError, QueryName, array_literal};
use super::load_row::{Row, RowReader};

/// Asks for the connecting role's settings. `keys` are without their prefix (`db_schemas`).
pub fn role_query(keys: &[&str]) -> CatalogQuery {
    CatalogQuery {
        name: QueryName::DatabaseSettings,
        text: include_str!("queries/database_settings.sql"),
        params: vec![prefixed(keys)],
    }
}

/// Asks for what the pre-configuration function has set. Run it after the call, in the same transaction.
pub fn session_query(keys: &[&str]) -> CatalogQuery {
    CatalogQuery {
        name: QueryName::SessionSettings,
        text: include_str!("queries/session_settings.sql"),
        params: vec![prefixed(keys)],
    }
}

/// Key (`db_schemas`) and value pairs, each key once, from the rows of `role_query` and, where there is a
/// pre-configuration function, of `session_query`.
pub fn read(role_rows: &[Row], session_rows: &[Row]) -> Result<Vec<(String, String)>, LoadError> {
    let by_role = role_rows.iter().map(|row| RowReader::new(QueryName::DatabaseSettings, row));
    let by_session = session_rows.iter().map(|row| RowReader::new(QueryName::SessionSettings, row));
    let mut settings: Vec<(String, String)> = Vec::new();
    for mut row in by_role.chain(by_session) {
        let name = row.text()?;
        let (key, value) = (name.strip_prefix(PREFIX).unwrap_or(name), row.text()?);
        if !settings.iter().any(|(held, _)| held == key) {
            settings.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(settings)
}

fn prefixed(keys: &[&str]) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("{PREFIX}{key}")).collect();
    array_literal(&names)
}

const PREFIX: &str = "pgrst.";

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<Row> {
        pairs.iter().map(|&(name, value)| vec![Some(name.to_owned()), Some(value.to_owned())]).collect()
    }

    #[test]
    fn the_first_of_a_key_wins_and_the_role_comes_first() {
        let check = |role: &[(&str, &str)], session: &[(&str, &str)], expect: &[(&str, &str)]| {
            let expect: Vec<(String, String)> =
                expect.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(read(&rows(role), &rows(session)), Ok(expect));
        };
        check(&[], &[], &[]);
        check(
            &[("pgrst.db_schemas", "here"), ("pgrst.db_schemas", "anywhere")],
            &[("pgrst.db_schemas", "function"), ("pgrst.db_max_rows", "")],
            &[("db_schemas", "here"), ("db_max_rows", "")],
        );
    }

    #[test]
    fn a_null_value_is_refused() {
        let refused = read(&[vec![Some("pgrst.db_schemas".to_owned()), None]], &[]);
        assert_eq!(refused, Err(LoadError::Field { query: QueryName::DatabaseSettings, column: 1 }));
    }

    #[test]
    fn keys_are_asked_with_their_prefix() {
        let query = role_query(&["db_schemas", "db_tx_end"]);
        assert!(query.params.iter().any(|param| param.contains(r#""pgrst.db_schemas","pgrst.db_tx_end""#)));
        assert_eq!(session_query(&["db_schemas", "db_tx_end"]).params, query.params);
    }
}
