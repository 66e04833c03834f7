//! The catalog of the conformance fixture, loaded from a real PostgreSQL: every query runs, and what planning relies
//! on comes out of it. Where a recorded answer shows a choice of relationships, the catalog offers the same ones.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]

#[path = "support/corpus.rs"]
#[allow(dead_code)] // Shared: this test needs a part of it.
mod corpus;

use std::collections::BTreeMap;

use corpus::Corpus;
use trunkline::catalog::load::{self, LoadError, LoadSettings, LoadedRows};
use trunkline::catalog::media_handler::HandlerKind;
use trunkline::catalog::pg_type::JsonKind;
use trunkline::catalog::relationship::Side;
use trunkline::catalog::routine::ReturnType;
use trunkline::catalog::{
    Cardinality, Catalog, HandlerKey, Relation, RelationKind, Relationship, ReturnShape, Routine, database_settings,
    dump,
};
use trunkline::config::source::IN_DATABASE;
use trunkline::media::MediaType;
use trunkline::name::{QualifiedName, QualifiedRoutine};

#[test]
fn the_fixture_loads() {
    let postgres = Corpus::load();

    let read = load(&postgres, &["freight", "freight_archive"], &["conf_ext"]);
    assert_eq!(read.server_version.to_string(), postgres.superuser("SHOW server_version_num"));
    relations_of_the_read_half(&read);
    keys_of_views(&read);
    relationships_of_tables(&read);
    relationships_of_views(&read);
    computed_relationships_and_fields(&read);
    representations_and_zones(&read);
    choices_are_those_recorded(&read);
    the_dump_is_complete(&read);

    kinds_of_types(&load(&postgres, &["freight_types"], &["conf_ext"]));
    handlers(&load(&postgres, &["freight_media"], &[]));

    let write = load(&postgres, &["depot", "depot_v2"], &["public", "depot_tools"]);
    defaults_and_lengths(&write);
    what_relations_take(&write);
    routines(&write);
    settings_of_routines_and_roles(&write);

    let missing = try_load(&postgres, &["depot", "no such schema"], &[]);
    assert_eq!(missing.err(), Some(LoadError::SchemaMissing { schema: "no such schema".to_owned() }));
    code_of_users(&postgres);
    settings_in_the_database(&postgres);
}

// ---------------------------------------------------------------- running the queries

fn load(postgres: &Corpus, schemas: &[&str], extra: &[&str]) -> Catalog {
    try_load(postgres, schemas, extra).expect("the fixture loads")
}

fn try_load(postgres: &Corpus, schemas: &[&str], extra: &[&str]) -> Result<Catalog, LoadError> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let settings = LoadSettings {
        schemas: owned(schemas),
        extra_search_path: owned(extra),
        hoisted_settings: owned(&["statement_timeout", "default_transaction_isolation"]),
        timezones: None,
        server_version: 150_000,
    };
    let queries = load::queries(&settings);
    let mut results = LoadedRows::default();
    for (query, rows) in queries.iter().zip(postgres.ask(&queries)) {
        results.add(query.name, rows);
    }
    load::build(&results, &settings)
}

// ---------------------------------------------------------------- relations and columns

fn freight(name: &str) -> QualifiedName {
    QualifiedName::new("freight", name)
}

fn depot(name: &str) -> QualifiedName {
    QualifiedName::new("depot", name)
}

fn relation<'c>(catalog: &'c Catalog, name: &QualifiedName) -> &'c Relation {
    catalog.relation(name).unwrap_or_else(|| panic!("{name} is loaded"))
}

fn key_of(catalog: &Catalog, name: &QualifiedName) -> String {
    let columns: Vec<&str> = relation(catalog, name).primary_key.iter().map(|column| column.as_str()).collect();
    columns.join(",")
}

fn relations_of_the_read_half(catalog: &Catalog) {
    let check = |name: &str, kind| assert_eq!(relation(catalog, &freight(name)).kind, kind, "{name}");
    check("ports", RelationKind::Table);
    check("tariffs", RelationKind::PartitionedTable);
    check("vessel_cards", RelationKind::View);
    check("port_traffic", RelationKind::MaterializedView);
    for hidden in [freight("tariffs_2024"), QualifiedName::new("freight_core", "salvage_claims")] {
        assert!(catalog.relation(&hidden).is_none(), "{hidden}");
    }

    let ports = relation(catalog, &freight("ports"));
    let names: Vec<&str> = ports.columns.iter().map(|column| column.name.as_str()).collect();
    let expect = [
        "id",
        "code",
        "name",
        "country",
        "depth",
        "tide_class",
        "opened",
        "free_zone",
        "rating",
        "tags",
        "info",
        "place",
    ];
    assert_eq!(names, expect);
    let column = |name: &str| ports.column(name).expect(name);
    assert_eq!(column("country").nominal_type, "character(2)");
    assert_eq!(column("country").base_type, "character");
    assert_eq!(column("country").max_length, Some(2));
    assert_eq!(column("depth").nominal_type, "numeric(5,2)");
    assert_eq!(column("depth").base_type, "numeric");
    assert_eq!(column("rating").enum_values, ["poor", "fair", "good", "superb"]);
    assert_eq!(column("rating").base_type, "freight.berth_rating");
    assert!(!column("name").nullable && column("opened").nullable);
    assert_eq!(column("tags").json, JsonKind::Array);
    assert_eq!(column("place").json, JsonKind::ViaToJson);
    assert_eq!(column("info").json, JsonKind::Json);

    let bollard = relation(catalog, &freight("moorings")).column("bollard").expect("bollard");
    assert_eq!((bollard.nominal_type.as_str(), bollard.base_type.as_str()), ("freight.bollard_no", "integer"));
    assert_eq!((bollard.base_oid, bollard.json), (23, JsonKind::Number));
    assert!(bollard.type_oid > 16_384);
}

fn kinds_of_types(catalog: &Catalog) {
    let check = |table: &str, column: &str, kind| {
        let relation = relation(catalog, &QualifiedName::new("freight_types", table));
        let found = relation.column(column).expect(column);
        assert_eq!(found.json, kind, "{table}.{column}");
    };
    check("numbers", "n2", JsonKind::Number);
    check("numbers", "ok", JsonKind::Bool);
    check("numbers", "cash", JsonKind::Text);
    check("times", "d", JsonKind::Date);
    check("times", "ts", JsonKind::Timestamp);
    check("times", "tstz", JsonKind::TimestampTz);
    check("times", "iv", JsonKind::Text);
    check("docs", "h", JsonKind::ViaToJson);
    check("docs", "lt", JsonKind::Text);
    check("structs", "m", JsonKind::Text);
    check("structs", "ss", JsonKind::ViaToJson);
    check("spans", "mi", JsonKind::Text);
    check("shapes", "o", JsonKind::Text);
    check("shapes", "p", JsonKind::Text);
    check("domains", "big", JsonKind::Number);
    check("domains", "t2", JsonKind::Text);
    check("domains", "ints", JsonKind::Array);
    check("domains", "s", JsonKind::ViaToJson);
    check("domains", "hs", JsonKind::ViaToJson);
    check("domains", "j", JsonKind::Json);
    let mood = relation(catalog, &QualifiedName::new("freight_types", "domains")).column("m").expect("m");
    assert_eq!(mood.enum_values, ["calm", "rough sea", "f\"og", "ñ"]);
    assert_eq!(mood.base_type, "freight_types.d_mood");
}

fn keys_of_views(catalog: &Catalog) {
    let check = |name: &str, expect: &str| assert_eq!(key_of(catalog, &freight(name)), expect, "{name}");
    check("ports", "id");
    check("routes", "destination_id,origin_id");
    check("tariffs", "port_id,valid_on");
    check("vessel_cards", "id");
    check("port_ledger", "port_no");
    check("voyage_board", "voyage_id,ship_id");
    check("large_vessel_cards", "id");
    check("vessel_names", "");
    check("parties", "");
    check("crew_roster", "vessel_id,crew_id");
    check("vessel_twins", "id");
    check("latest_trips", "id");
    check("heavy_trips", "id");
    check("customer_digest", "id");
    check("salvage_claims", "id");
}

fn defaults_and_lengths(catalog: &Catalog) {
    let check = |table: &str, column: &str, expect: Option<&str>| {
        let found = relation(catalog, &depot(table)).column(column).expect(column);
        assert_eq!(found.default.as_deref(), expect, "{table}.{column}");
    };
    check("parcels", "id", Some("nextval('depot.parcels_id_seq')"));
    check("parcels", "label", None);
    check("parcels", "status", Some("'received'::depot.parcel_status"));
    check("manifests", "id", None);
    check("scanners", "id", Some("nextval('depot.scanners_id_seq'::regclass)"));
    check("scanner_list", "model", Some("'from the view'::text"));
    check("presets", "doubled", None);
    check("presets", "mode", Some("'STD'::text"));
    check("zones", "note", None);
    let length = |column: &str| relation(catalog, &depot("kinds")).column(column).expect(column).max_length;
    assert_eq!((length("c_varchar"), length("c_bits"), length("c_code")), (Some(5), Some(4), None));
    assert!(!relation(catalog, &depot("strict_cards")).column("title").expect("title").nullable);
    assert_eq!(catalog.schema_descriptions.get("depot").map(String::as_str), Some("Parcel depot"));
    assert_eq!(catalog.schema_descriptions.get("depot_v2"), None);
}

fn what_relations_take(catalog: &Catalog) {
    let check = |name: &str, insert: bool, update: bool, delete: bool| {
        let found = relation(catalog, &depot(name));
        assert_eq!((found.insertable, found.updatable, found.deletable), (insert, update, delete), "{name}");
    };
    check("zones", true, true, true);
    check("rates", true, true, true);
    check("movements", true, true, true);
    check("zone_names", true, true, true);
    check("zone_load", false, false, false);
    check("zone_snapshot", false, false, false);
    check("zone_desk", true, true, true);
    check("zone_edit", false, true, false);
    check("zone_bin", false, false, true);
    assert!(catalog.relation(&depot("movements_2024")).is_none());
}

// ---------------------------------------------------------------- relationships

fn to<'c>(catalog: &'c Catalog, origin: &str, target: &str) -> Vec<&'c Relationship> {
    let all = catalog.relationships_from(&freight(origin)).iter().map(AsRef::as_ref);
    all.filter(|one| one.schema().as_str() == "freight" && *one.target() == freight(target)).collect()
}

fn check_between(catalog: &Catalog, origin: &str, target: &str, expect: &[&str]) {
    let found: Vec<String> = to(catalog, origin, target).into_iter().map(shown).collect();
    assert_eq!(found, expect, "{origin} → {target}");
}

/// As PGRST201 shows a candidate, and before it which kind it is.
fn shown(relationship: &Relationship) -> String {
    let names = |columns: Vec<&str>| columns.join(", ");
    match relationship {
        Relationship::Computed(computed) => {
            format!("computed {} {}", if computed.to_one { "to-one" } else { "to-many" }, computed.function.name)
        }
        Relationship::Key(key) => match &key.cardinality {
            Cardinality::ManyToOne { constraint, columns }
            | Cardinality::OneToMany { constraint, columns }
            | Cardinality::OneToOne { constraint, columns, .. } => {
                let kind = match &key.cardinality {
                    Cardinality::ManyToOne { .. } => "many-to-one",
                    Cardinality::OneToOne { side: Side::Child, .. } => "one-to-one child",
                    Cardinality::OneToOne { side: Side::Parent, .. } => "one-to-one parent",
                    Cardinality::OneToMany { .. } | Cardinality::ManyToMany(_) => "one-to-many",
                };
                format!(
                    "{kind} {constraint} using {}({}) and {}({})",
                    key.origin.name,
                    names(columns.iter().map(|(origin, _)| origin.as_str()).collect()),
                    key.target.name,
                    names(columns.iter().map(|(_, target)| target.as_str()).collect()),
                )
            }
            Cardinality::ManyToMany(junction) => {
                let inner = |columns: &[trunkline::catalog::ColumnPair]| {
                    names(columns.iter().map(|(_, junction)| junction.as_str()).collect())
                };
                format!(
                    "many-to-many {} using {}({}) and {}({})",
                    junction.relation.name,
                    junction.origin_constraint,
                    inner(&junction.origin_columns),
                    junction.target_constraint,
                    inner(&junction.target_columns),
                )
            }
        },
    }
}

fn relationships_of_tables(catalog: &Catalog) {
    let check = |origin: &str, target: &str, expect: &[&str]| check_between(catalog, origin, target, expect);
    check("vessels", "ports", &["many-to-one vessels_home_port_id_fkey using vessels(home_port_id) and ports(id)"]);
    check("ports", "vessels", &["one-to-many vessels_home_port_id_fkey using ports(id) and vessels(home_port_id)"]);
    check(
        "vessels",
        "crew",
        &[
            "many-to-many crew_assignments using crew_assignments_vessel_id_fkey(vessel_id) and \
             crew_assignments_crew_id_fkey(crew_id)",
            "many-to-many crew_roster using crew_assignments_vessel_id_fkey(vessel_id) and \
             crew_assignments_crew_id_fkey(crew_id)",
            "many-to-many drills using drills_vessel_id_fkey(vessel_id) and drills_crew_id_fkey(crew_id)",
        ],
    );
    check(
        "certificates",
        "vessels",
        &["one-to-one child certificates_vessel_id_fkey using certificates(vessel_id) and vessels(id)"],
    );
    check(
        "vessels",
        "black_boxes",
        &["one-to-one parent black_boxes_vessel_id_fkey using vessels(id) and black_boxes(vessel_id)"],
    );
    check(
        "voyages",
        "routes",
        &["many-to-one voyages_route using voyages(origin_id, destination_id) and routes(origin_id, destination_id)"],
    );
    check("ports", "tariffs", &["one-to-many tariffs_port_id_fkey using ports(id) and tariffs(port_id)"]);
    check("ports", "tariffs_2024", &[]);
    let crew: Vec<bool> = to(catalog, "crew", "crew")
        .into_iter()
        .filter_map(|one| match one {
            Relationship::Key(key) => Some(key.self_reference),
            Relationship::Computed(_) => None,
        })
        .collect();
    assert_eq!(crew[..2], [true, true], "a key to itself leads both ways");
    let archive = QualifiedName::new("freight_archive", "vessels");
    let across = catalog.relationships_from(&archive).iter().find(|one| *one.target() == freight("ports"));
    assert_eq!(across.map(|one| one.schema().as_str()), Some("freight"), "both schemas are exposed");
}

fn relationships_of_views(catalog: &Catalog) {
    let check = |origin: &str, target: &str, expect: &[&str]| check_between(catalog, origin, target, expect);
    check(
        "vessel_cards",
        "operators",
        &["many-to-one vessels_operator_id_fkey using vessel_cards(operator_id) and operators(id)"],
    );
    check(
        "large_vessel_cards",
        "operators",
        &["many-to-one vessels_operator_id_fkey using large_vessel_cards(operator_id) and operators(id)"],
    );
    check(
        "vessel_cards",
        "port_ledger",
        &["many-to-one vessels_home_port_id_fkey using vessel_cards(home_port_id) and port_ledger(port_no)"],
    );
    check(
        "vessel_twins",
        "operators",
        &[
            "many-to-one vessels_operator_id_fkey using vessel_twins(operator_id) and operators(id)",
            "many-to-one vessels_operator_id_fkey using vessel_twins(owner_id) and operators(id)",
        ],
    );
    check(
        "shipment_sheets",
        "containers",
        &["many-to-one shipments_container using shipment_sheets(pre, ser) and containers(prefix, serial)"],
    );
    check(
        "latest_trips",
        "vessels",
        &["many-to-one voyages_vessel_id_fkey using latest_trips(vessel_id) and vessels(id)"],
    );
    check(
        "trading_ports",
        "ports",
        &["many-to-one customers_home_port_id_fkey using trading_ports(home_port_id) and ports(id)"],
    );
    check(
        "salvage_claims",
        "vessels",
        &["many-to-one salvage_claims_vessel_id_fkey using salvage_claims(vessel_id) and vessels(id)"],
    );
    check(
        "port_traffic",
        "tariffs",
        &["one-to-many tariffs_port_id_fkey using port_traffic(port_id) and tariffs(port_id)"],
    );
    check("vessel_names", "operators", &[]);
    check("parties", "ports", &[]);
}

fn computed_relationships_and_fields(catalog: &Catalog) {
    let check = |origin: &str, target: &str, expect: &[&str]| check_between(catalog, origin, target, expect);
    check("customers", "ports", &["computed to-one ports"]);
    check("vessel_names", "vessels", &["computed to-one vessel"]);
    let computed = |origin: &str, target: &str| -> BTreeMap<String, bool> {
        let all = to(catalog, origin, target).into_iter().filter_map(|one| match one {
            Relationship::Computed(computed) => Some((computed.function.name.to_string(), computed.to_one)),
            Relationship::Key(_) => None,
        });
        all.collect()
    };
    let expect = |pairs: &[(&str, bool)]| pairs.iter().map(|&(name, one)| (name.to_owned(), one)).collect();
    assert_eq!(computed("vessels", "voyages"), expect(&[("first_voyage", true), ("last_voyage", true)]));
    assert_eq!(computed("operators", "operators"), expect(&[("parent", true), ("subsidiaries", false)]));

    let check = |origin: &str, name: &str, expect: Option<(&str, &str, JsonKind)>| {
        let found = catalog.computed_field(&freight(origin), name);
        let found = found.map(|field| (field.function.schema.as_str(), field.type_name.as_str(), field.json));
        assert_eq!(found, expect, "{origin}.{name}");
    };
    check("vessels", "label", Some(("freight", "text", JsonKind::Text)));
    check("vessels", "is_heavy", Some(("freight", "boolean", JsonKind::Bool)));
    check("vessels", "hold_sizes", Some(("freight", "integer[]", JsonKind::Array)));
    check("vessels", "brief", Some(("freight", "jsonb", JsonKind::Json)));
    check("ports", "slug", Some(("conf_ext", "text", JsonKind::Text)));
    check("vessel_cards", "card_label", Some(("freight", "text", JsonKind::Text)));
    check("vessel_cards", "label", None);
    check("vessels", "sister_ships", None);
    let label = QualifiedRoutine { schema: "freight".into(), name: "label".into() };
    assert!(catalog.routines(&label).is_empty(), "a row cannot be given in a request");
}

/// Every candidate that a recorded PGRST201 lists is one of ours, and they come in our order.
fn choices_are_those_recorded(catalog: &Catalog) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/read/cases");
    let mut compared = 0;
    for file in ["disambiguation.jsonl", "views.jsonl", "errors.jsonl"] {
        let cases = std::fs::read_to_string(folder.join(file)).expect("the corpus is there");
        for line in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(line).expect("a case");
            let answer = &case["expect"]["json"];
            let (Some("PGRST201"), Some(details)) = (answer["code"].as_str(), answer["details"].as_array()) else {
                continue;
            };
            let embedding = details[0]["embedding"].as_str().expect("embedding");
            let (origin, target) = embedding.split_once(" with ").expect("two relations");
            let ours: Vec<String> = to(catalog, origin, target).into_iter().map(shown).collect();
            let mut rest = ours.iter();
            for listed in details {
                let text = |name: &str| listed[name].as_str().expect("a text");
                let wanted = format!("{} {}", text("cardinality"), text("relationship"));
                assert!(rest.any(|one| *one == wanted), "{}: {wanted} in {ours:#?}", case["id"]);
            }
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared} recorded choices");
}

// ---------------------------------------------------------------- routines, handlers, settings

fn overloads<'c>(catalog: &'c Catalog, name: &str) -> Vec<&'c Routine> {
    let name = QualifiedRoutine { schema: "depot".into(), name: name.into() };
    catalog.routines(&name).iter().map(AsRef::as_ref).collect()
}

fn only<'c>(catalog: &'c Catalog, name: &str) -> &'c Routine {
    let all = overloads(catalog, name);
    assert_eq!(all.len(), 1, "{name}");
    all[0]
}

fn routines(catalog: &Catalog) {
    let counts: Vec<usize> = overloads(catalog, "quote_price").iter().map(|one| one.parameters.len()).collect();
    assert_eq!(counts, [0, 1, 2, 3]);
    let types: Vec<&str> =
        overloads(catalog, "locate").iter().map(|one| one.parameters[0].type_name.as_str()).collect();
    assert_eq!(types, ["integer", "text"]);
    for hidden in ["raw_int", "raw_pair", "no_procedure", "kilos"] {
        assert!(overloads(catalog, hidden).is_empty(), "{hidden}");
    }
    assert_eq!(only(catalog, "raw_bytes").parameters[0].name, "");
    assert_eq!(only(catalog, "add_weights").description.as_deref(), Some("Add two weights"));

    let mix: Vec<(&str, bool)> =
        only(catalog, "mix").parameters.iter().map(|one| (one.name.as_str(), one.required)).collect();
    assert_eq!(mix, [("first", true), ("second", false), ("third", false)]);
    let glue = only(catalog, "glue");
    assert!(glue.has_variadic && glue.parameters[1].variadic && !glue.parameters[0].variadic);
    let typed = only(catalog, "typed");
    let cut = typed.parameters.iter().find(|one| one.name == "ch").expect("ch");
    assert_eq!((cut.type_name.as_str(), cut.type_without_length.as_str()), ("character", "character varying"));

    let scalar = |schema: &str, name: &str| ReturnType::Scalar(QualifiedName::new(schema, name));
    let row = |name: QualifiedName| ReturnType::Composite { name, is_alias: false };
    let record = || QualifiedName::new("pg_catalog", "record");
    let check = |name: &str, returns: ReturnShape, result: &[(&str, JsonKind)]| {
        let routine = only(catalog, name);
        assert_eq!(routine.returns, returns, "{name}");
        let found: Vec<(&str, JsonKind)> =
            routine.result.iter().map(|column| (column.name.as_str(), column.json)).collect();
        assert_eq!(found, result, "{name}");
    };
    check("ping", ReturnShape::Single(scalar("pg_catalog", "text")), &[("ping", JsonKind::Text)]);
    check("arrays", ReturnShape::SetOf(scalar("pg_catalog", "_int4")), &[("arrays", JsonKind::Array)]);
    check("give_pennies", ReturnShape::Single(scalar("pg_catalog", "int4")), &[("give_pennies", JsonKind::Number)]);
    check("do_nothing", ReturnShape::Void, &[]);
    let pair = [("parcel_id", JsonKind::Number), ("sticker_id", JsonKind::Number)];
    check("clear_stickers", ReturnShape::SetOf(row(depot("parcel_stickers"))), &pair);
    let sizes = [("width", JsonKind::Number), ("height", JsonKind::Number), ("label", JsonKind::Text)];
    check("boxes", ReturnShape::SetOf(row(depot("box_size"))), &sizes);
    check("a_box", ReturnShape::Single(row(depot("box_size"))), &sizes);
    check("loose_rows", ReturnShape::SetOf(ReturnType::Scalar(record())), &[]);
    check(
        "stock_report",
        ReturnShape::SetOf(row(record())),
        &[("zone", JsonKind::Text), ("parcels", JsonKind::Number), ("heaviest", JsonKind::Number)],
    );
    check(
        "one_out",
        ReturnShape::Single(row(QualifiedName::new("pg_catalog", "int4"))),
        &[("answer", JsonKind::Number)],
    );
    check("swap", ReturnShape::Single(row(record())), &[("p", JsonKind::Number), ("q", JsonKind::Text)]);
    assert_eq!(only(catalog, "swap").parameters.len(), 2);
}

fn settings_of_routines_and_roles(catalog: &Catalog) {
    let isolation = |name: &str| only(catalog, name).isolation_level.as_deref();
    assert_eq!(isolation("isolation_here"), Some("serializable"));
    assert_eq!(isolation("isolation_rr"), Some("repeatable read"));
    assert_eq!(isolation("ping"), None);
    let settings = |name: &str| only(catalog, name).settings.clone();
    assert_eq!(settings("timeout_here"), [("statement_timeout".to_owned(), "4321ms".to_owned())]);
    assert_eq!(settings("style_here"), [], "not hoisted");

    let inspector = catalog.role_settings.get("conf_inspector").expect("settings");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(*inspector, [pair("statement_timeout", "2345ms"), pair("extra_float_digits", "0")]);
    assert_eq!(catalog.role_isolation_levels.get("conf_inspector").map(String::as_str), Some("repeatable read"));
    assert!(!catalog.role_settings.contains_key("conf_authenticator"));
}

fn representations_and_zones(catalog: &Catalog) {
    let function = |source: &str, target: &str| {
        let key = (source.to_owned(), target.to_owned());
        catalog.representations.get(&key).map(|one| one.function.to_string())
    };
    assert_eq!(function("freight.bollard_no", "json").as_deref(), Some("freight.json"));
    assert_eq!(function("text", "freight.grade").as_deref(), Some("freight.grade"));
    assert_eq!(function("json", "depot.pennies").as_deref(), Some("depot_tools.pennies_in"));
    assert_eq!(function("text", "freight.paint"), None);
    assert!(catalog.timezones.contains("Europe/Oslo"));
}

fn handlers(catalog: &Catalog) {
    let check = |relation: Option<&str>, media: MediaType, routine: &str, sent: MediaType, kind| {
        let relation = relation.map(|name| QualifiedName::new("freight_media", name));
        let found = catalog.media_handlers.get(&HandlerKey { relation, media }).expect(routine);
        assert_eq!((found.routine.name.as_str(), &found.media, found.kind), (routine, &sent, kind));
    };
    let html = || MediaType::Other("text/html".to_owned());
    let aggregate = HandlerKind::Aggregate;
    check(Some("beacons"), html(), "beacon_html", html(), aggregate);
    check(Some("tide_tables"), MediaType::Csv, "tide_csv", MediaType::Csv, aggregate);
    check(Some("stowage"), MediaType::OctetStream, "stow_raw", MediaType::OctetStream, aggregate);
    check(Some("raw_signals"), MediaType::Any, "signal_any", MediaType::OctetStream, aggregate);
    check(None, MediaType::TextPlain, "any_lines", MediaType::TextPlain, aggregate);
    check(Some("beacon_page"), html(), "beacon_page", html(), HandlerKind::Function);
}

fn the_dump_is_complete(catalog: &Catalog) {
    let value: serde_json::Value = serde_json::from_str(&dump::dump(catalog)).expect("valid JSON");
    let count = |member: &str| value[member].as_array().map_or(0, Vec::len);
    assert_eq!(count("dbTables"), catalog.relations.len());
    assert_eq!(count("dbRoutines"), catalog.routines.len());
    assert_eq!(count("dbRepresentations"), catalog.representations.len());
    assert_eq!(count("dbMediaHandlers"), catalog.media_handlers.len() + 4);
    assert!(count("dbRelationships") >= catalog.relationships.len());
    let ports = value["dbTables"].as_array().into_iter().flatten().find(|pair| pair[0]["qiName"] == "ports");
    let country = &ports.expect("ports")[1]["tableColumns"]["country"];
    assert_eq!((&country["colMaxLen"], &country["colType"]), (&2.into(), &"character".into()));
}

fn settings_in_the_database(postgres: &Corpus) {
    postgres.superuser(
        "ALTER ROLE conf_authenticator SET pgrst.db_schemas = 'everywhere';
         ALTER ROLE conf_authenticator SET pgrst.db_max_rows = '10';
         ALTER ROLE conf_authenticator SET pgrst.server_port = '1';
         ALTER ROLE conf_authenticator IN DATABASE conformance SET pgrst.db_schemas = 'a, \"B\"=c';
         ALTER DATABASE conformance SET pgrst.db_tx_end = 'rollback';",
    );
    let queries = [database_settings::role_query(IN_DATABASE), database_settings::session_query(IN_DATABASE)];
    let mut answers = postgres.ask(&queries).into_iter();
    let (by_role, by_session) = (answers.next().expect("rows"), answers.next().expect("rows"));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let of_role = [pair("db_schemas", "a, \"B\"=c"), pair("db_max_rows", "10")];
    assert_eq!(database_settings::read(&by_role, &[]), Ok(of_role.to_vec()));
    // Only a pre-configuration function makes the session's settings count.
    let session = database_settings::read(&[], &by_session).expect("pairs");
    assert!(session.contains(&pair("db_tx_end", "rollback")));
}

// ---------------------------------------------------------------- whose code a relation runs

const CODED: &str = "
    create schema coded;
    create function coded.f() returns int language sql as 'select 1';
    create type coded.mood as enum ('calm');
    create type coded.shown as enum ('x');
    create type coded.pair as (a int, b int);
    create domain coded.small as int check (value < 10);
    create domain coded.checked as int check (value <> coded.f());
    create domain coded.pair_domain as coded.pair;
    create function coded.same(coded.mood, coded.mood) returns bool language sql as 'select true';
    create operator coded.=== (leftarg = coded.mood, rightarg = coded.mood, function = coded.same);
    create function coded.json(coded.shown) returns json language sql as 'select null::json';
    create cast (coded.shown as json) with function coded.json;
    create table coded.plain (id int, mood coded.mood, moods coded.mood[], small coded.small, name varchar, info jsonb);
    create view coded.plain_view as select id, mood, upper(name) as name from coded.plain where mood = 'calm';
    create table coded.pairs (pair coded.pair);
    create table coded.pair_lists (pairs coded.pair[]);
    create table coded.pair_domains (pair coded.pair_domain);
    create table coded.shown_values (shown coded.shown);
    create view coded.by_function as select coded.f() as f;
    create view coded.over_function as select f from coded.by_function;
    create view coded.by_operator as select id from coded.plain where mood operator(coded.===) mood;
    create view coded.by_domain as select id::coded.checked as id from coded.plain;
    create view coded.by_setting as select set_config('a.b', 'c', true) as a;
    create view coded.by_text as select query_to_xml('select 1', true, true, '')::text as a;
    create table coded.guarded (mood coded.mood);
    create policy p on coded.guarded using (mood operator(coded.===) mood);
    create table coded.owned (owner name);
    create policy p on coded.owned using (owner = current_user);
";

fn code_of_users(postgres: &Corpus) {
    postgres.superuser(CODED);
    let told = |catalog: &Catalog, name: &str| {
        catalog.relation(&QualifiedName::new("coded", name)).unwrap_or_else(|| panic!("{name}")).user_code
    };
    let catalog = load(postgres, &["coded"], &[]);
    let quiet = ["plain", "plain_view", "owned"];
    for name in quiet {
        assert!(!told(&catalog, name), "{name}");
    }
    for name in [
        "pairs",
        "pair_lists",
        "pair_domains",
        "shown_values",
        "by_function",
        "over_function",
        "by_operator",
        "by_domain",
        "by_setting",
        "by_text",
        "guarded",
    ] {
        assert!(told(&catalog, name), "{name}");
    }
    // `varchar` has no equality of its own: whoever compares one would find this.
    let operator = "create function coded.equal(varchar, varchar) returns bool language sql as 'select true'; \
         create operator public.= (leftarg = varchar, rightarg = varchar, function = coded.equal)";
    postgres.superuser(operator);
    let catalog = load(postgres, &["coded"], &[]);
    for name in quiet {
        assert!(told(&catalog, name), "{name} once varchar is compared by code");
    }
}
