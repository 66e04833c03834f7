//! Rows → time zones and the settings of roles.

use std::collections::{HashMap, HashSet};

use super::load::{LoadError, LoadedRows, QueryName};
use super::load_routines::{ISOLATION_SETTING, isolation_level};
use super::load_row::Row;
use crate::name::RoleName;

pub fn timezones(results: &LoadedRows) -> Result<HashSet<String>, LoadError> {
    results.rows(QueryName::Timezones)?.map(|mut row| row.text().map(str::to_owned)).collect()
}

/// What `Catalog::login` holds.
pub fn login(results: &LoadedRows) -> Result<Vec<Row>, LoadError> {
    Ok(results.rows(QueryName::Login)?.map(|row| row.whole().clone()).collect())
}

#[derive(Debug, Default)]
pub struct RoleSettings {
    pub settings: HashMap<RoleName, Vec<(String, String)>>,
    pub isolation_levels: HashMap<RoleName, String>,
}

/// The isolation level belongs to the start of a transaction, every other setting into it.
pub fn role_settings(results: &LoadedRows) -> Result<RoleSettings, LoadError> {
    let mut roles = RoleSettings::default();
    for mut row in results.rows(QueryName::RoleSettings)? {
        let role: RoleName = row.text()?.into();
        let (name, value) = (row.text()?, row.text()?);
        if name == ISOLATION_SETTING {
            roles.isolation_levels.insert(role, isolation_level(value));
        } else {
            roles.settings.entry(role).or_default().push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(roles)
}
