//! The row writer against PostgreSQL itself: for values of every builtin type, what it makes of the text that
//! PostgreSQL sends is byte for byte what PostgreSQL's own JSON functions print.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/json_pg.rs"]
mod json_pg;

use json_pg::{Server, Session};
use trunkline::json::{
    ARRAY_CLOSE, ARRAY_OPEN, FieldForm, FormMismatch, JsonForm, OutputColumn, RowShape, RowWriter, form_of_type,
};
use trunkline::wire::row::DataRow;

/// Values by type, as literals. Every builtin type that has an input function must stand here.
#[rustfmt::skip]
const VALUES: &[(&str, &[&str])] = &[
    ("bool", &["t", "f"]),
    ("int2", &["0", "-32768", "32767"]),
    ("int4", &["0", "-2147483648", "2147483647"]),
    ("int8", &["0", "-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    ("float4", &["0", "-0", "1", "0.1", "1e20", "3.4028235e38", "1e-45", "NaN", "Infinity", "-Infinity", "166667", "1.5e-7"]),
    ("float8", &["0", "-0", "1", "-1.5", "0.1", "1e15", "1e16", "1e20", "123456789012345678", "1.7976931348623157e308", "5e-324",
        "2.2250738585072014e-308", "NaN", "Infinity", "-Infinity", "166667", "1e-5", "0.0001", "-1e-300"]),
    ("numeric", &["0", "-0.0", "1.50", "00012.3400", "0.000000000000000000001", "1e100", "-1e-30", "NaN", "Infinity", "-Infinity",
        "123456789012345678901234567890.123456789", ".5"]),
    ("numeric(10,3)", &["1", "-1.5", "NaN"]),
    ("money", &["0", "12.34", "-12345678.90", "92233720368547758.07"]),
    ("oid", &["0", "4294967295"]),
    ("xid", &["7"]), ("cid", &["7"]), ("xid8", &["18446744073709551615"]), ("tid", &["(1,2)"]), ("pg_lsn", &["16/B374D848", "0/0"]),
    ("regproc", &["now", "-", "pg_catalog.json_in"]), ("regprocedure", &["abs(int4)"]), ("regoper", &["pg_catalog.||/", "0"]),
    ("regoperator", &["+(int4,int4)"]), ("regclass", &["pg_class", "-"]), ("regtype", &["int4", "double precision", "\"char\""]),
    ("regconfig", &["english"]), ("regdictionary", &["simple"]), ("regnamespace", &["pg_catalog"]), ("regrole", &["tester"]),
    ("regcollation", &["\"C\""]),
    ("\"char\"", &["a", "\"", "\\", "\u{1}", ""]),
    ("name", &["a", "quote\"d", ""]),
    ("text", &["", " ", "plain", "it's", "\"quoted\"", "back\\slash", "/slash/", "tab\tnl\ncr\r\u{8}\u{c}\u{b}\u{1}\u{1f}\u{7f}",
        "é", "水", "🐘", "\u{80}\u{9f}\u{a0}", "\u{2028}\u{2029}\u{feff}\u{fffd}\u{ffff}\u{10ffff}", "null", "{\"a\": 1}", "\\u0041", "%s%n",
        "sixteen bytes...", "sixteen bytes..\"", "exactly thirty-two bytes long...", "thirty-three bytes and a quote..\"",
        "<script>&amp;</script>", "a\u{301}", "--;/**/$$"]),
    ("varchar(20)", &["", "twenty characters lo", "tab\t"]),
    ("char(5)", &["", "ab", "abcde", "\""]),
    ("bytea", &["", "\\x", "\\x00ff10", "abc", "\\\\"]),
    ("date", &["2024-02-29", "0001-01-01", "0044-03-15 BC", "4713-01-01 BC", "9999-12-31", "10000-01-01", "5874897-12-31", "infinity",
        "-infinity", "epoch"]),
    ("time", &["00:00", "24:00", "12:34:56.789", "23:59:59.999999"]),
    ("time(3)", &["12:34:56.7894"]),
    ("timetz", &["00:00+00", "12:34:56.789-08", "12:00+05:45", "12:00+05:41:16", "24:00-15:59"]),
    ("timestamp", &["2024-02-29 12:30", "2024-02-29 12:30:00.1", "2024-02-29 23:59:59.999999", "0001-01-01 00:00", "0044-03-15 12:00 BC",
        "4713-01-01 00:00 BC", "10000-01-01 00:00", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "1969-12-31 23:59:59.5"]),
    ("timestamp(0)", &["2024-02-29 12:30:00.6"]),
    ("timestamptz", &["2024-02-29 12:30+00", "2024-07-01 12:30:00.1-08", "2024-02-29 23:59:59.999999+05:45", "1850-01-01 00:00+00",
        "0001-01-02 00:00+00", "0044-03-15 12:00+00 BC", "4713-01-02 00:00+00 BC", "9999-12-31 23:00+00", "10000-01-01 00:00+00",
        "294276-12-30 00:00+00", "infinity", "-infinity", "1883-11-18 17:00+00"]),
    ("interval", &["0", "1 year 2 mons -3 days", "04:05:06.789", "-00:00:01", "178000000 years", "1 week", "1 mon ago"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
    ("inet", &["192.168.0.1", "10.1.2.3/8", "::1", "2001:db8::ff/64"]), ("cidr", &["10/8", "::/0"]),
    ("macaddr", &["08:00:2b:01:02:03"]), ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(4)", &["0101"]), ("bit", &["1"]), ("varbit", &["", "10101"]),
    ("xml", &["<a b=\"c\">text &amp; more</a>", "plain\ttext", ""]),
    ("json", &["null", "true", "1.50", "\"s\"", "[ 1 , 2 ]", " {\"a\" : null, \"a\": 1}", "{\"a\":{\"b\":[null,{\"c\":null}]}}", "{ }",
        "[\"\\u00e9\\/\\ud83d\\udc18\"]", "{\"x\"\n:\t\"null\"}", "[[],{},[null],{\"n\":null,\"m\":[{\"n\": null}]}]", "1E400", "-0"]),
    ("jsonb", &["null", "true", "1.50", "\"s\"", "[1, 2]", "{\"b\": null, \"a\": [null, {\"c\": null}]}", "{\"\": \"\\\"\\\\\\u0001\"}"]),
    ("jsonpath", &["$.a[*] ? (@.b > 1)", "strict $.\"x y\""]),
    ("point", &["(1,2)", "(-0.5,1e20)"]), ("lseg", &["[(0,0),(1,1)]"]), ("path", &["((0,0),(1,1))", "[(0,0),(5,5)]"]),
    ("box", &["(2,2),(0,0)"]), ("polygon", &["((0,0),(1,1),(2,0))"]), ("line", &["{1,-1,0}"]), ("circle", &["<(1,1),5>"]),
    ("tsvector", &["a fat cat", "'it''s':1A 'back\\\\slash':2", ""]), ("tsquery", &["fat & (rat | !cat)", "'x y':*A"]),
    ("int4range", &["[1,5)", "empty", "(,)"]), ("int8range", &["[1,5]"]), ("numrange", &["(1.5,2.5]"]),
    ("daterange", &["[2024-01-01,2024-02-01)", "[,infinity)"]), ("tsrange", &["[2024-01-01 00:00,2024-01-01 12:00)"]),
    ("tstzrange", &["[2024-01-01 00:00+00,)"]), ("int4multirange", &["{[1,3),[5,8)}", "{}"]), ("int8multirange", &["{[1,3)}"]),
    ("nummultirange", &["{[1.1,2.2)}"]), ("datemultirange", &["{[2024-01-01,2024-02-01)}"]), ("tsmultirange", &["{[2024-01-01 00:00,)}"]),
    ("tstzmultirange", &["{[2024-01-01 00:00+00,)}"]),
    ("refcursor", &["a \"cursor\""]), ("aclitem", &["tester=arwdDxt/tester"]), ("pg_snapshot", &["10:20:10,14,15"]),
    ("txid_snapshot", &["10:20:10,14,15"]),
    // Domains are reported as their base type; enums and ranges of users' types are text.
    ("mood", &["calm", "it's \"bad\""]), ("mood_domain", &["calm"]), ("textrange", &["[a,b)"]), ("textmultirange", &["{[a,b)}"]),
    ("positive", &["5"]), ("positive_domain", &["6"]), ("stamp", &["2024-02-29 12:30+00"]), ("document", &["{\"a\" : null}"]),
    ("bool[]", &["{}", "{t,NULL,f}", "{{t},{f}}"]),
    ("int2[]", &["{1,-32768,NULL}", "[-2:-1]={3,4}"]),
    ("int4[]", &["{}", "{2147483647}", "[1:1][-2:-1][3:5]={{{1,2,3},{4,5,NULL}}}"]),
    ("int8[]", &["{9223372036854775807}"]),
    ("float4[]", &["{1.5,NaN,-Infinity,1e-20,NULL}"]),
    ("float8[]", &["{1e300,0.1,Infinity,-0}"]),
    ("numeric[]", &["{1.50,NaN,100000000000000000000000000000000000000000,Infinity}"]),
    ("name[]", &["{a,\"b c\"}"]),
    ("text[]", TEXT_ARRAYS),
    ("bpchar[]", TEXT_ARRAYS),
    ("char(3)[]", &["{a,\"\",NULL}"]),
    ("varchar[]", TEXT_ARRAYS),
    ("uuid[]", &["{00000000-0000-0000-0000-000000000000,NULL}"]),
    ("words", TEXT_ARRAYS),
];

const TEXT_ARRAYS: &[&str] = &[
    "{}",
    "{a,NULL,\"NULL\",null,\"\"}",
    r#"{"a b","x\"y","back\\slash","{,}",ä,"水 🐘"}"#,
    "{\"line\nfeed\",\"tab\t\",\u{1},\u{7f},\"\u{b}\"}",
    "{{a,b},{c,NULL}}",
    "[2:3][-1:-1]={{\"]={\"},{z}}",
];

/// Types without text input, whose values nobody stores in a table of their own.
const WITHOUT_INPUT: &[&str] = &[
    "pg_node_tree",
    "gtsvector",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
];

const TYPES_OF_USERS: &str = r#"
    create type mood as enum ('calm', 'it''s "bad"');
    create domain mood_domain as mood;
    create type textrange as range (subtype = text, multirange_type_name = textmultirange);
    create domain positive as int4 check (value > 0);
    create domain positive_domain as positive;
    create domain stamp as timestamptz;
    create domain document as json;
    create domain words as text[];
    create type pair as (a int, b text);
"#;

const SETTINGS: &[&str] = &[
    "set timezone = 'UTC'",
    "set timezone = 'Asia/Kathmandu'; set intervalstyle = 'iso_8601'; set bytea_output = 'escape'",
    "set timezone = 'America/St_Johns'; set intervalstyle = 'postgres_verbose'; set extra_float_digits = 0",
    "set timezone = 'America/Los_Angeles'; set intervalstyle = 'sql_standard'; set datestyle = 'ISO, DMY'",
    "set timezone = 'Europe/Amsterdam'; set extra_float_digits = 3",
    "set timezone = '<+13:37>-13:37'",
];

#[test]
fn as_postgresql_prints_it() {
    let server = Server::start();
    let mut session = server.session();
    session.query(TYPES_OF_USERS);
    for settings in SETTINGS {
        session.query(&format!("reset all; {settings}"));
        for (name, values) in VALUES {
            let rows: Vec<_> = values.iter().map(|value| format!("({}::{name})", literal(value))).collect();
            check(&mut session, &format!("(values {}, (null)) as t (v)", rows.join(", ")), &[("v", FieldForm::Text)]);
        }
    }
    session.query("reset all; set datestyle = 'SQL, DMY'");
    check(
        &mut session,
        "(values ('[2024-03-01,)'::daterange, '1 day'::interval)) as t (r, i)",
        &[("r", FieldForm::ByType), ("i", FieldForm::ByType)],
    );
    session.query("reset all");
    every_type_is_known(&mut session);
    strings(&mut session);
    nested(&mut session);
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Both answers for every row of `source`: ours from the plain columns, PostgreSQL's from the row; then the array.
#[track_caller]
fn check(session: &mut Session, source: &str, columns: &[(&str, FieldForm)]) {
    let field = |&(name, form): &(&str, FieldForm)| OutputColumn::Field { name: name.into(), form };
    let shape = RowShape { columns: columns.iter().map(field).collect(), ..RowShape::default() };
    let plain = format!("select * from {source}");
    compare(session, &plain, &shape, &format!("select row_to_json(t) from {source}"), |writer| writer);
    let stripped = format!("select json_strip_nulls(row_to_json(t)) from {source}");
    compare(session, &plain, &shape, &stripped, RowWriter::stripping_nulls);
    compare_array(session, &plain, &shape, &format!("select json_agg(t) from {source}"), |writer| writer);
    let stripped = format!("select json_strip_nulls(json_agg(t)) from {source}");
    compare_array(session, &plain, &shape, &stripped, RowWriter::stripping_nulls);
}

fn written(session: &mut Session, sql: &str, shape: &RowShape, adjust: fn(RowWriter) -> RowWriter) -> Vec<Vec<u8>> {
    let answer = session.query(sql);
    let writer = adjust(RowWriter::compile(shape, &answer.columns).unwrap_or_else(|error| panic!("{error} in {sql}")));
    let write = |row: &Vec<u8>| {
        let mut out = Vec::new();
        assert!(writer.write_row(&mut out, DataRow::parse(row).unwrap()).unwrap().present);
        out
    };
    answer.rows.iter().map(write).collect()
}

#[track_caller]
fn compare(session: &mut Session, plain: &str, shape: &RowShape, json: &str, adjust: fn(RowWriter) -> RowWriter) {
    let ours = written(session, plain, shape, adjust);
    let theirs = session.texts(json);
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        assert_eq!(String::from_utf8(ours).unwrap(), theirs.unwrap(), "{plain}");
    }
}

#[track_caller]
fn compare_array(session: &mut Session, plain: &str, shape: &RowShape, json: &str, adjust: fn(RowWriter) -> RowWriter) {
    let rows = written(session, plain, shape, adjust);
    let writer = adjust(RowWriter::compile(shape, &session.query(plain).columns).unwrap());
    let ours = [ARRAY_OPEN, &rows.join(writer.separator()), ARRAY_CLOSE].concat();
    assert_eq!(Some(String::from_utf8(ours).unwrap()), session.texts(json).remove(0), "{plain}");
}

/// No builtin type is forgotten: its form is the one that PostgreSQL's categories ask for, and values were compared.
fn every_type_is_known(session: &mut Session) {
    let nulls: Vec<_> = VALUES.iter().map(|(name, _)| format!("null::{name}")).collect();
    let tried = session.query(&format!("select {}", nulls.join(", "))).columns.fields;
    let types = session.texts(
        "select oid || ' ' || (typcategory = 'A' and oid not in (1000, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1231, 2951)
            or typtype in ('c', 'p')) || ' ' || typname
           from pg_type where oid < 16384 and typtype <> 'd' and typname not in ('unknown', 'cstring') order by oid",
    );
    assert!(types.len() > 150);
    for line in types.into_iter().flatten() {
        let mut words = line.split(' ');
        let (oid, no_scalar, name) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        assert_eq!(form_of_type(oid.parse().unwrap()).is_none(), no_scalar == "true", "{line}");
        let compared = tried.iter().any(|field| field.type_oid.to_string() == oid);
        assert!(compared || no_scalar == "true" || WITHOUT_INPUT.contains(&name), "no values of {line}");
    }
    let shape =
        |form| RowShape { columns: vec![OutputColumn::Field { name: "v".into(), form }], ..RowShape::default() };
    for (sql, form) in [
        ("select array['1'::json]", FieldForm::Text),
        ("select '1 2'::oidvector", FieldForm::Text),
        ("select row(1)", FieldForm::Text),
        ("select 'calm'::mood", FieldForm::ByType),
        ("select 'x'::text", FieldForm::Json),
    ] {
        let mismatch = RowWriter::compile(&shape(form), &session.query(sql).columns).map(drop);
        assert!(matches!(mismatch, Err(FormMismatch::Type { .. })), "{sql}: {mismatch:?}");
    }
    assert_eq!(form_of_type(705), Some(JsonForm::Text), "a literal that kept its unknown type is text");
}

/// Every character of the lower planes in its place among others, and as a column's name.
fn strings(session: &mut Session) {
    let source = "(select repeat('x', n % 40) || chr(n) || repeat('y', n % 7) as v
                     from generate_series(1, 12000) as n where n not between 55296 and 57343) as t";
    check(session, source, &[("v", FieldForm::ByType)]);
    for name in ["", "a b", "it's", "q\"q", "back\\slash", "tab\tnl\n", "水🐘", "\u{1}\u{7f}"] {
        let name = if name.is_empty() { "e" } else { name };
        let source = format!("(select 1 as \"{}\") as t", name.replace('"', "\"\""));
        check(session, &source, &[(name, FieldForm::ByType)]);
    }
}

/// A to-one embed from plain columns beside what a lateral with row_to_json gives, with and without a parent.
fn nested(session: &mut Session) {
    session.query(
        "create table artist (id int primary key, name text);
         create table album (id int primary key, title text, artist_id int);
         create table track (id int primary key, name text, album_id int, tags text[], pair pair);
         insert into artist values (1, 'A'), (2, null);
         insert into album values (1, 'one', 1), (2, 'two \"2\"', 2), (3, null, null);
         insert into track values (1, 'a', 1, '{a,null}', '(1,x)'), (2, null, 2, null, '(,)'), (3, 'c', 3, '{}', null), (4, 'd', null, null, null);",
    );
    let field = |name: &str| OutputColumn::Field { name: name.into(), form: FieldForm::ByType };
    let json = |name: &str| OutputColumn::Field { name: name.into(), form: FieldForm::Json };
    let artist = OutputColumn::Object { name: "artist".into(), columns: vec![field("id"), field("name")] };
    let album = OutputColumn::Object { name: "album".into(), columns: vec![field("title"), artist, field("id")] };
    let shape = RowShape {
        columns: vec![field("id"), album, field("tags"), json("pair"), field("name")],
        ..RowShape::default()
    };
    let plain = "select t.id, al.id, al.title, ar.id, ar.id, ar.name, al.id, t.tags, to_json(t.pair), t.name
                   from track t left join album al on al.id = t.album_id left join artist ar on ar.id = al.artist_id
                  order by t.id";
    let rows = "(select t.id, row_to_json(al.*) as album, t.tags, t.pair, t.name from track t left join lateral
                   (select title, row_to_json(ar.*) as artist, album.id from album left join lateral
                      (select id, name from artist where artist.id = album.artist_id) ar on true
                     where album.id = t.album_id) al on true order by t.id) as r";
    compare(session, plain, &shape, &format!("select row_to_json(r) from {rows}"), |writer| writer);
    let stripped = format!("select json_strip_nulls(row_to_json(r)) from {rows}");
    compare(session, plain, &shape, &stripped, RowWriter::stripping_nulls);
}
