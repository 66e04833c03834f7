//! Loading: which queries to run, and how their rows become a `Catalog`. The running itself is the control plane's.
//! Owns: the list of catalog queries and what they take; the order in which a catalog is put together.
//! Must not know: connections. `queries` names what to ask, `build` is a pure function of the answers.
//! Invariant: the queries run in one transaction that begins with `TRANSACTION_START`, in text format and UTF-8.

use std::collections::{HashMap, HashSet};

use super::load_row::{Row, RowReader};
use super::{
    Catalog, Generation, infer, load_media, load_relations, load_roles, load_routines, load_user_code, load_views,
};
use crate::error::{ApiError, Code};
use crate::limits;

/// What of the configuration decides what is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadSettings {
    /// `db-schemas`, in order.
    pub schemas: Vec<String>,
    /// `db-extra-search-path`, in order.
    pub extra_search_path: Vec<String>,
    /// `db-hoisted-tx-settings`: patterns for the `SET` clauses of functions.
    pub hoisted_settings: Vec<String>,
    /// What the load before this one found: a server's time zones stay, and asking for them takes it 40 ms, which is
    /// more than all other queries of a small database together.
    pub timezones: Option<HashSet<String>>,
    /// `server_version_num` as far as the connection already knows it; 0 asks nothing that PostgreSQL 14 lacks.
    pub server_version: u32,
}

/// Behind a pooler the session may have served requests, whose SQL can leave another role on it.
pub const OWN_ROLE: &str = "RESET ROLE";

/// One snapshot for all queries, so that their rows fit together; no search path, so that PostgreSQL qualifies every name
/// outside `pg_catalog`; and one process: a load must not take all of a server's processors from the requests.
///
/// The joins that would read a whole table before the first row are off: the queries are written so that each row finds its
/// partners by index, which takes no longer, and can be asked for a few rows at a time.
pub const TRANSACTION_START: [&str; 8] = [
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    OWN_ROLE,
    "SET LOCAL search_path = ''",
    "SET LOCAL max_parallel_workers_per_gather = 0",
    "SET LOCAL jit = off",
    "SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_mergejoin = off",
    "SET LOCAL enable_bitmapscan = off",
];

/// One query of the catalog. Parameters are text and untyped: the query casts them.
#[derive(Clone, Debug)]
pub struct CatalogQuery {
    pub name: QueryName,
    pub text: &'static str,
    pub params: Vec<String>,
}

impl CatalogQuery {
    pub fn params(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.params.iter().map(|param| Some(param.as_bytes()))
    }
}

macro_rules! query_names {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// Which query a result belongs to.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum QueryName { $($name),+ }

        impl QueryName {
            /// The name in logs and errors, and of its file in `queries/`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

query_names! {
    Server = "server",
    Schemas = "schemas",
    Types = "types",
    Enums = "enums",
    Relations = "relations",
    Columns = "columns",
    CodedColumns = "coded_columns",
    CodedRules = "coded_rules",
    CodedEverywhere = "coded_everywhere",
    PrimaryKeys = "primary_keys",
    ForeignKeys = "foreign_keys",
    Views = "views",
    ComputedRelationships = "computed_relationships",
    ComputedFields = "computed_fields",
    Routines = "routines",
    Parameters = "parameters",
    RowTypes = "row_types",
    RoutineSettings = "routine_settings",
    Representations = "representations",
    MediaHandlers = "media_handlers",
    Timezones = "timezones",
    RoleSettings = "role_settings",
    DatabaseSettings = "database_settings",
    SessionSettings = "session_settings",
    Login = "login",
}

/// The queries of one load, to be run in this order.
pub fn queries(settings: &LoadSettings) -> Vec<CatalogQuery> {
    let schemas = || array_literal(&settings.schemas);
    let extra = || array_literal(&settings.extra_search_path);
    let hoisted = || array_literal(&settings.hoisted_settings);
    let query = |name, text, params| CatalogQuery { name, text, params };
    let role_settings = if settings.server_version >= FIRST_WITH_GRANT_SET {
        include_str!("queries/role_settings.sql")
    } else {
        include_str!("queries/role_settings_14.sql")
    };
    let mut queries = vec![
        query(QueryName::Server, include_str!("queries/server.sql"), vec![]),
        query(QueryName::Schemas, include_str!("queries/schemas.sql"), vec![schemas()]),
        query(QueryName::Types, include_str!("queries/types.sql"), vec![]),
        query(QueryName::Enums, include_str!("queries/enums.sql"), vec![]),
        query(QueryName::Relations, include_str!("queries/relations.sql"), vec![schemas()]),
        query(QueryName::Columns, include_str!("queries/columns.sql"), vec![schemas()]),
        query(QueryName::CodedColumns, include_str!("queries/coded_columns.sql"), vec![]),
        query(QueryName::CodedRules, include_str!("queries/coded_rules.sql"), vec![]),
        query(QueryName::CodedEverywhere, include_str!("queries/coded_everywhere.sql"), vec![]),
        query(QueryName::PrimaryKeys, include_str!("queries/primary_keys.sql"), vec![]),
        query(QueryName::ForeignKeys, include_str!("queries/foreign_keys.sql"), vec![]),
        query(QueryName::Views, include_str!("queries/views.sql"), vec![schemas(), extra()]),
        query(QueryName::ComputedRelationships, include_str!("queries/computed_relationships.sql"), vec![schemas()]),
        query(QueryName::ComputedFields, include_str!("queries/computed_fields.sql"), vec![schemas(), extra()]),
        query(QueryName::Routines, include_str!("queries/routines.sql"), vec![schemas()]),
        query(QueryName::Parameters, include_str!("queries/parameters.sql"), vec![schemas()]),
        query(QueryName::RowTypes, include_str!("queries/row_types.sql"), vec![schemas()]),
        query(QueryName::RoutineSettings, include_str!("queries/routine_settings.sql"), vec![schemas(), hoisted()]),
        query(QueryName::Representations, include_str!("queries/representations.sql"), vec![]),
        query(QueryName::MediaHandlers, include_str!("queries/media_handlers.sql"), vec![schemas()]),
        query(QueryName::RoleSettings, role_settings, vec![]),
        query(QueryName::Login, include_str!("queries/login.sql"), vec![]),
    ];
    if settings.timezones.is_none() {
        queries.push(query(QueryName::Timezones, include_str!("queries/timezones.sql"), vec![]));
    }
    queries
}

/// The rows of every query of one load.
#[derive(Debug, Default)]
pub struct LoadedRows {
    results: HashMap<QueryName, Vec<Row>>,
}

impl LoadedRows {
    pub fn add(&mut self, name: QueryName, rows: Vec<Row>) {
        self.results.insert(name, rows);
    }

    /// Readers over the rows of one query, in the order in which they came.
    pub(super) fn rows(&self, name: QueryName) -> Result<impl Iterator<Item = RowReader<'_>>, LoadError> {
        let rows = self.results.get(&name).ok_or(LoadError::ResultMissing { query: name })?;
        Ok(rows.iter().map(move |row| RowReader::new(name, row)))
    }
}

/// Puts a catalog together. The caller numbers it before it publishes it.
pub fn build(results: &LoadedRows, settings: &LoadSettings) -> Result<Catalog, LoadError> {
    let server_version = server_version(results)?;
    let schema_descriptions = load_relations::schemas(results)?;
    let types = load_relations::types(results)?;
    let keys = load_relations::primary_keys(results)?;
    let mut relations = load_relations::relations(results, &types, &keys)?;
    load_user_code::mark(results, &mut relations)?;
    let views = load_views::views(results, &relations)?;
    load_relations::inherit_primary_keys(&mut relations, &views, &keys);
    let foreign_keys = load_relations::foreign_keys(results)?;
    let computed = load_routines::computed_relationships(results)?;
    let inferred = infer::infer(&infer::Facts {
        schemas: &settings.schemas,
        foreign_keys: &foreign_keys,
        views: &views,
        primary_keys: &load_relations::primary_keys_by_name(&relations),
        computed,
    })?;
    let roles = load_roles::role_settings(results)?;
    let (routines, routine_places) = load_routines::routines(results, &types)?;
    Ok(Catalog {
        generation: Generation::default(),
        routines,
        routine_places,
        computed_fields: load_routines::computed_fields(results, &types, &settings.extra_search_path)?,
        relations: load_relations::publish(relations),
        relationships: inferred.relationships,
        representations: load_media::representations(results)?,
        media_handlers: load_media::media_handlers(results)?,
        timezones: match &settings.timezones {
            Some(known) => known.clone(),
            None => load_roles::timezones(results)?,
        },
        role_settings: roles.settings,
        role_isolation_levels: roles.isolation_levels,
        login: load_roles::login(results)?,
        schema_descriptions,
        server_version,
    })
}

fn server_version(results: &LoadedRows) -> Result<u32, LoadError> {
    let mut rows = results.rows(QueryName::Server)?;
    let mut row = rows.next().ok_or(LoadError::ResultMissing { query: QueryName::Server })?;
    row.oid()
}

/// `{"a","b"}`: how PostgreSQL reads an array of texts.
pub fn array_literal(items: &[String]) -> String {
    let mut literal = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            literal.push(',');
        }
        literal.push('"');
        for character in item.chars() {
            if matches!(character, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(character);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

/// Why no catalog could be made of the rows. Clients read one message for all of it, the log reads `Display`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// An exposed schema does not exist.
    SchemaMissing { schema: String },
    /// A query of the load was not run.
    ResultMissing { query: QueryName },
    /// A field is null, absent or not what its query promises.
    Field { query: QueryName, column: usize },
    /// The keys and views of the database multiply to more than `limits::RELATIONSHIPS_MAX` relationships.
    TooManyRelationships,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SchemaMissing { schema } => write!(out, "schema \"{schema}\" does not exist"),
            Self::ResultMissing { query } => write!(out, "catalog query {} has no result", query.as_str()),
            Self::Field { query, column } => {
                write!(out, "catalog query {}: column {column} holds no value of its type", query.as_str())
            }
            Self::TooManyRelationships => {
                write!(out, "foreign keys and views make more than {} relationships", limits::RELATIONSHIPS_MAX)
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl ApiError for LoadError {
    fn code(&self) -> Code {
        Code::new("PGRST002", 503)
    }

    fn message(&self) -> String {
        "Could not query the database for the schema cache. Retrying.".to_owned()
    }
}

/// PostgreSQL 15 brought `GRANT SET ON PARAMETER` and `has_parameter_privilege`.
const FIRST_WITH_GRANT_SET: u32 = 150_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_quote_what_postgresql_would_misread() {
        let check = |items: &[&str], expect: &str| {
            let items: Vec<String> = items.iter().map(|&item| item.to_owned()).collect();
            assert_eq!(array_literal(&items), expect);
        };
        check(&[], "{}");
        check(&["api"], r#"{"api"}"#);
        check(&["a,b", "NULL", ""], r#"{"a,b","NULL",""}"#);
        check(&[r#"quo"te"#, r"back\slash", "{brace}"], r#"{"quo\"te","back\\slash","{brace}"}"#);
    }

    #[test]
    fn every_parameter_of_a_query_is_given() {
        for query in queries(&LoadSettings::default()) {
            for number in 1..=3 {
                let used = query.text.contains(&format!("${number}"));
                assert_eq!(used, number <= query.params.len(), "{} ${number}", query.name.as_str());
            }
        }
    }

    #[test]
    fn known_time_zones_are_not_asked_for_again() {
        let check = |timezones, expect| {
            let settings = LoadSettings { timezones, ..LoadSettings::default() };
            let asked = queries(&settings).iter().any(|query| query.name == QueryName::Timezones);
            assert_eq!(asked, expect);
        };
        check(None, true);
        check(Some(HashSet::from(["UTC".to_owned()])), false);
    }

    #[test]
    fn grant_set_is_asked_only_where_it_exists() {
        let text = |server_version| {
            let settings = LoadSettings { server_version, ..LoadSettings::default() };
            let all = queries(&settings);
            all.iter().find(|query| query.name == QueryName::RoleSettings).map(|query| query.text)
        };
        assert!(text(150_000).is_some_and(|text| text.contains("has_parameter_privilege")));
        assert!(text(140_022).is_some_and(|text| !text.contains("has_parameter_privilege")));
        assert!(text(0).is_some_and(|text| !text.contains("has_parameter_privilege")));
    }

    proptest::proptest! {
        #[test]
        fn no_rows_make_it_panic(fields in proptest::collection::vec(field(), 0..14), count in 0..4_usize) {
            let settings = LoadSettings::default();
            let mut results = LoadedRows::default();
            for query in queries(&settings) {
                results.add(query.name, vec![fields.clone(); count]);
            }
            let _ = build(&results, &settings);
        }
    }

    fn field() -> impl proptest::strategy::Strategy<Value = Option<String>> {
        proptest::option::of(
            proptest::string::string_regex("[tfvrp]|[0-9]{1,5}|api|a=b|array|aggregate|.{0,8}").expect("a pattern"),
        )
    }

    #[test]
    fn a_query_without_result_is_named() {
        let refused = build(&LoadedRows::default(), &LoadSettings::default());
        assert_eq!(refused.err(), Some(LoadError::ResultMissing { query: QueryName::Server }));
    }
}
