//! The settings statement that tells PostgreSQL who asks and what: the text cached by its shape, the values in one buffer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::Scene;
use crate::auth::Identity;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::http::{Headers, Request};
use crate::request::query;
use crate::sql::setup::{
    Access, Presence, ResponseSettings, SetupShape, Values, setup_text, write_json_object, write_search_path,
};

/// Texts of the settings statement. There are as many as kinds of requests: few.
#[derive(Debug, Default)]
pub struct SetupCache(RefCell<HashMap<SetupShape, Rc<str>, ahash::RandomState>>);

impl SetupCache {
    pub fn text(&self, shape: SetupShape) -> Rc<str> {
        self.0.borrow_mut().entry(shape).or_insert_with(|| setup_text(shape).into()).clone()
    }
}

/// What the settings of a transaction follow from.
#[derive(Clone, Copy)]
pub struct Setting<'r> {
    pub config: &'r Config,
    pub catalog: &'r Catalog,
    pub http: &'r Request<'r>,
    pub identity: &'r Identity,
    pub schema: &'r str,
    pub timezone: Option<&'r str>,
    /// Those of the called routine that are hoisted to the transaction.
    pub routine_settings: &'r [(String, String)],
    pub response: ResponseSettings,
}

impl<'r> Setting<'r> {
    /// Of a request that went through every stage.
    pub fn of(scene: &Scene<'r>, routine_settings: &'r [(String, String)], response: ResponseSettings) -> Self {
        Self {
            config: scene.config,
            catalog: scene.catalog,
            http: scene.http,
            identity: scene.identity,
            schema: &scene.request.schema,
            timezone: scene.request.preferences.timezone.as_deref(),
            routine_settings,
            response,
        }
    }
}

/// `ALTER ROLE … SET` of the caller's role; part of `db-config`, as in PostgREST.
pub fn role_settings<'r>(config: &Config, catalog: &'r Catalog, identity: &Identity) -> &'r [(String, String)] {
    let known = catalog.role_settings.get(&identity.role).filter(|_| config.db_config);
    known.map_or(&[], Vec::as_slice)
}

/// The isolation level among them.
pub fn role_isolation_level<'r>(config: &Config, catalog: &'r Catalog, identity: &Identity) -> Option<&'r str> {
    let known = catalog.role_isolation_levels.get(&identity.role).filter(|_| config.db_config);
    known.map(String::as_str)
}

/// Fills `values` for the request; the returned shape names the statement that takes them.
pub fn fill(setting: &Setting<'_>, access: Access, values: &mut Values) -> SetupShape {
    let Setting { config, catalog, http, identity, routine_settings, .. } = *setting;
    values.clear();
    let extra = config.db_extra_search_path.iter().map(|schema| schema.as_str());
    values.push_with(|out| write_search_path(out, std::iter::once(setting.schema).chain(extra)));
    let role_settings = role_settings(config, catalog, identity);
    for (name, value) in role_settings {
        values.push(name.as_bytes());
        values.push(value.as_bytes());
    }
    values.push(identity.role.as_str().as_bytes());
    values.push(identity.claims_json.as_bytes());
    let method = http.method.known();
    if method.is_none() {
        values.push(http.method.as_str().as_bytes());
    }
    values.push_with(|out| out.extend_from_slice(query::halves(http.target).0));
    let headers = http.headers.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("cookie"));
    values.push_with(|out| write_json_object(out, headers.map(|&(name, value)| (name, value))));
    let cookies = push_cookies(http.headers, values);
    let timezone = match setting.timezone {
        Some(zone) => {
            values.push(zone.as_bytes());
            Presence::Present
        }
        None => Presence::Absent,
    };
    let other_settings = routine_settings.iter().chain(&config.app_settings);
    for (name, value) in other_settings {
        values.push(name.as_bytes());
        values.push(value.as_bytes());
    }
    let count = |settings: usize| u16::try_from(settings).unwrap_or(u16::MAX);
    SetupShape {
        access,
        method,
        cookies,
        role_settings: count(role_settings.len()),
        timezone,
        other_settings: count(routine_settings.len() + config.app_settings.len()),
        response: setting.response,
    }
}

/// Cookies of the first `Cookie` header as one JSON object, as PostgREST reads them: quotes around a value don't count.
/// Without such a header nothing is added.
fn push_cookies(headers: &Headers<'_>, values: &mut Values) -> Presence {
    let Some(value) = headers.first("cookie") else { return Presence::Absent };
    let text = std::str::from_utf8(value).unwrap_or_default();
    let pairs = text.split(';').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        (name.trim(), bare.trim().as_bytes())
    });
    values.push_with(|out| write_json_object(out, pairs.filter(|(name, value)| !name.is_empty() || !value.is_empty())));
    Presence::Present
}
