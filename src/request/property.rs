//! Properties of the grammars: a printed tree parses to itself, no bytes panic or take long, the fast path agrees with the
//! slow one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

use super::cursor::{Cursor, Parse, Shortcuts};
use super::filter::{OperandEnd, expression};
use super::prefer::TxOverride;
use super::shape::{ShapeScan, ValueKind, ValueSpan, scan_shape};
use super::target::RootPage;
use super::{
    Aggregate, Arrow, Comparison, Condition, Direction, Field, Filter, FullText, IsValue, Join, JsonKey, JsonStep,
    LogicOperator, Nulls, Operand, OperandList, OrderTerm, Quantifier, Query, RequestError, RequestHead,
    RequestSettings, RowRange, SelectField, SelectItem, Test, filter, logic, order, parse, select,
};
use crate::http::{Headers, Method};

type Text = Cow<'static, str>;

// --- printing: every name and operand in quotes, so that any text may stand in them

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn print_field(field: &Field<'_>) -> String {
    let mut out = quote(&field.name);
    for step in &field.path {
        out += match step.arrow {
            Arrow::Json => "->",
            Arrow::Text => "->>",
        };
        match &step.key {
            JsonKey::Name(name) => out += &quote(name),
            JsonKey::Index(digits) => out += digits,
        }
    }
    out
}

fn print_select(items: &[SelectItem<'_>]) -> String {
    items.iter().map(print_item).collect::<Vec<_>>().join(",")
}

fn print_item(item: &SelectItem<'_>) -> String {
    let head = |target: &str, hint: &Option<Cow<'_, str>>, join: &Option<Join>, select: &[SelectItem<'_>]| {
        let hint = hint.as_ref().map_or(String::new(), |hint| format!("!{}", quote(hint)));
        let join = match join {
            None => "",
            Some(Join::Inner) => "!inner",
            Some(Join::Left) => "!left",
        };
        format!("{}{join}{hint}({})", quote(target), print_select(select))
    };
    match item {
        SelectItem::Field(field) => print_select_field(field),
        SelectItem::Spread { target, hint, join, select } => {
            format!("...{}", head(target, hint, join, select))
        }
        SelectItem::Embed { target, alias, hint, join, select } => {
            print_alias(alias) + &head(target, hint, join, select)
        }
    }
}

fn print_select_field(field: &SelectField<'_>) -> String {
    let cast = |cast: &Option<Cow<'_, str>>| cast.as_ref().map_or(String::new(), |cast| format!("::{cast}"));
    let aggregate = match field.aggregate {
        None => "",
        Some(Aggregate::Avg) => "avg()",
        Some(Aggregate::Count) => "count()",
        Some(Aggregate::Max) => "max()",
        Some(Aggregate::Min) => "min()",
        Some(Aggregate::Sum) => "sum()",
    };
    let (alias, last) = (print_alias(&field.alias), cast(&field.aggregate_cast));
    match (field.field.name == "*", aggregate) {
        (true, "") => "*".to_owned(),
        (true, _) => format!("{alias}{aggregate}{last}"),
        (false, "") => format!("{alias}{}{}{last}", print_field(&field.field), cast(&field.cast)),
        (false, _) => format!("{alias}{}{}.{aggregate}{last}", print_field(&field.field), cast(&field.cast)),
    }
}

fn print_alias(alias: &Option<Cow<'_, str>>) -> String {
    alias.as_ref().map_or(String::new(), |alias| quote(alias) + ":")
}

/// `operand` prints a single value as its surroundings need it.
fn print_test(negated: bool, test: &Test<'_>, operand: fn(&str) -> String) -> String {
    let not = if negated { "not." } else { "" };
    let printed = match test {
        Test::Compare { operator, quantifier, operand: value } => {
            let quantifier = match quantifier {
                None => "",
                Some(Quantifier::Any) => "(any)",
                Some(Quantifier::All) => "(all)",
            };
            format!("{}{quantifier}.{}", operator_word(*operator), operand(&value.text))
        }
        Test::In(list) => format!("in.({})", list.items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(",")),
        Test::Is(value) => format!("is.{value:?}").to_lowercase().replace("notnull", "not_null"),
        Test::IsDistinct(value) => format!("isdistinct.{}", operand(&value.text)),
        Test::FullText { operator, language, operand: value } => {
            let language = language.as_ref().map_or(String::new(), |language| format!("({})", language.text));
            format!("{operator:?}{language}.").to_lowercase() + &operand(&value.text)
        }
    };
    format!("{not}{printed}")
}

fn operator_word(operator: Comparison) -> &'static str {
    let mut known = filter::SIMPLE.iter().chain(&filter::QUANTIFIED);
    known.find(|(_, known)| *known == operator).unwrap().0.text
}

fn print_condition(condition: &Condition<'_>) -> String {
    match condition {
        Condition::Filter(filter) => {
            format!("{}.{}", print_field(&filter.field), print_test(filter.negated, &filter.test, quote))
        }
        Condition::Logic { negated, operator, operands } => {
            let not = if *negated { "not." } else { "" };
            let operator = match operator {
                LogicOperator::And => "and",
                LogicOperator::Or => "or",
            };
            format!("{not}{operator}({})", operands.iter().map(print_condition).collect::<Vec<_>>().join(", "))
        }
    }
}

fn print_order(terms: &[OrderTerm<'_>]) -> String {
    let print = |term: &OrderTerm<'_>| {
        let (mut out, direction, nulls) = match term {
            OrderTerm::Field { field, direction, nulls } => (print_field(field), direction, nulls),
            OrderTerm::Related { relation, field, direction, nulls } => {
                (format!("{}({})", quote(relation), print_field(field)), direction, nulls)
            }
        };
        if let Some(direction) = direction {
            write!(out, ".{direction:?}").unwrap();
        }
        if let Some(nulls) = nulls {
            write!(out, ".nulls{nulls:?}").unwrap();
        }
        let quotes_end = out.rfind(['"', ')']).unwrap();
        let modifiers = out.split_off(quotes_end);
        out + &modifiers.to_lowercase()
    };
    terms.iter().map(print).collect::<Vec<_>>().join(",")
}

// --- trees

fn name() -> impl Strategy<Value = Text> {
    "[a-z0-9 .,:()\"\\\\é>!*-]{1,8}".prop_filter("a star means all columns", |name| name != "*").prop_map(Cow::Owned)
}

fn word() -> impl Strategy<Value = Text> {
    "[a-z][a-z0-9_]{0,5}".prop_map(Cow::Owned)
}

fn field() -> impl Strategy<Value = Field<'static>> {
    let arrow = || prop_oneof![Just(Arrow::Json), Just(Arrow::Text)];
    let key =
        || prop_oneof![name().prop_map(JsonKey::Name), "-?[0-9]{1,3}".prop_map(|d| JsonKey::Index(Cow::Owned(d)))];
    let step = (arrow(), key()).prop_map(|(arrow, key)| JsonStep { arrow, key });
    // An index before `)` reads as a name, as in PostgREST, so paths end in one.
    let last = (arrow(), name()).prop_map(|(arrow, name)| JsonStep { arrow, key: JsonKey::Name(name) });
    (name(), option::of((vec(step, 0..3), last))).prop_map(|(name, path)| {
        let path = path.map(|(mut steps, last)| {
            steps.push(last);
            steps
        });
        Field { name, path: path.unwrap_or_default() }
    })
}

fn select_field() -> impl Strategy<Value = SelectField<'static>> {
    let aggregate = prop_oneof![
        Just(Aggregate::Avg),
        Just(Aggregate::Count),
        Just(Aggregate::Max),
        Just(Aggregate::Min),
        Just(Aggregate::Sum)
    ];
    let star = || Field { name: Cow::Borrowed("*"), path: Vec::new() };
    prop_oneof![
        1 => Just(SelectField { field: star(), alias: None, cast: None, aggregate: None, aggregate_cast: None }),
        1 => (option::of(name()), option::of(word())).prop_map(move |(alias, aggregate_cast)| SelectField {
            field: star(), alias, cast: None, aggregate: Some(Aggregate::Count), aggregate_cast
        }),
        4 => (field(), option::of(name()), option::of(word()), option::of((aggregate, option::of(word())))).prop_map(
            |(field, alias, cast, aggregate)| {
                let (aggregate, aggregate_cast) = aggregate.map_or((None, None), |(one, cast)| (Some(one), cast));
                SelectField { field, alias, cast, aggregate, aggregate_cast }
            }
        ),
    ]
}

fn select_items() -> impl Strategy<Value = Vec<SelectItem<'static>>> {
    let leaf = select_field().prop_map(SelectItem::Field).boxed();
    let join = || option::of(prop_oneof![Just(Join::Inner), Just(Join::Left)]);
    let target = || name().prop_filter("the old aggregate", |name| name != "count");
    let item =
        leaf.prop_recursive(3, 16, 4, move |inner| {
            let select = vec(inner, 0..4);
            prop_oneof![
                (target(), option::of(name()), option::of(name()), join(), select.clone()).prop_map(
                    |(target, alias, hint, join, select)| SelectItem::Embed { target, alias, hint, join, select }
                ),
                (name(), option::of(name()), join(), select)
                    .prop_map(|(target, hint, join, select)| SelectItem::Spread { target, hint, join, select }),
            ]
        });
    vec(item, 0..4)
}

fn operand() -> impl Strategy<Value = Operand<'static>> {
    "[a-z0-9{},.()\"\\\\é ]{0,8}".prop_map(|text| Operand { slot: 0, text: Cow::Owned(text) })
}

fn test() -> impl Strategy<Value = Test<'static>> {
    let simple = prop::sample::select(filter::SIMPLE.map(|(_, operator)| operator).to_vec());
    let quantified = prop::sample::select(filter::QUANTIFIED.map(|(_, operator)| operator).to_vec());
    let full_text =
        prop_oneof![Just(FullText::Fts), Just(FullText::Plfts), Just(FullText::Phfts), Just(FullText::Wfts)];
    let quantifier = option::of(prop_oneof![Just(Quantifier::Any), Just(Quantifier::All)]);
    let is = prop_oneof![
        Just(IsValue::Null),
        Just(IsValue::NotNull),
        Just(IsValue::True),
        Just(IsValue::False),
        Just(IsValue::Unknown)
    ];
    let language = option::of(word().prop_map(|text| Operand { slot: 0, text }));
    prop_oneof![
        (simple, operand()).prop_map(|(operator, operand)| Test::Compare { operator, quantifier: None, operand }),
        (quantified, quantifier, operand()).prop_map(|(operator, quantifier, operand)| Test::Compare {
            operator,
            quantifier,
            operand
        }),
        vec(name(), 1..4).prop_map(|items| Test::In(OperandList { slot: 0, items })),
        is.prop_map(Test::Is),
        operand().prop_map(Test::IsDistinct),
        (full_text, language, operand()).prop_map(|(operator, language, operand)| Test::FullText {
            operator,
            language,
            operand
        }),
    ]
}

fn condition() -> impl Strategy<Value = Condition<'static>> {
    let leaf = (field(), any::<bool>(), test())
        .prop_map(|(field, negated, test)| Condition::Filter(Filter { field, negated, test }));
    leaf.prop_recursive(4, 24, 4, |inner| {
        let operator = prop_oneof![Just(LogicOperator::And), Just(LogicOperator::Or)];
        (any::<bool>(), operator, vec(inner, 1..4)).prop_map(|(negated, operator, operands)| Condition::Logic {
            negated,
            operator,
            operands,
        })
    })
}

fn order_terms() -> impl Strategy<Value = Vec<OrderTerm<'static>>> {
    let modifiers = || {
        let direction = option::of(prop_oneof![Just(Direction::Asc), Just(Direction::Desc)]);
        (direction, option::of(prop_oneof![Just(Nulls::First), Just(Nulls::Last)]))
    };
    let own =
        (field(), modifiers()).prop_map(|(field, (direction, nulls))| OrderTerm::Field { field, direction, nulls });
    let related = (name(), field(), modifiers()).prop_map(|(relation, field, (direction, nulls))| OrderTerm::Related {
        relation,
        field,
        direction,
        nulls,
    });
    vec(prop_oneof![own, related], 1..5)
}

proptest! {
    #[test]
    fn printed_selects_parse_to_themselves(tree in select_items()) {
        let text = Cow::Owned(print_select(&tree));
        assert_eq!(select::items(&mut Cursor::new(&text)).as_ref(), Ok(&tree), "{text}");
    }

    #[test]
    fn printed_filters_parse_to_themselves(negated: bool, tree in test()) {
        let text = Cow::Owned(print_test(negated, &tree, str::to_owned));
        assert_eq!(expression(&mut Cursor::new(&text), OperandEnd::Input), Ok((negated, tree)), "{text}");
    }

    #[test]
    fn printed_logic_parses_to_itself(tree in condition()) {
        let text = Cow::Owned(print_condition(&tree));
        assert_eq!(logic::condition(&mut Cursor::new(&text)).as_ref(), Ok(&tree), "{text}");
    }

    #[test]
    fn printed_orders_parse_to_themselves(tree in order_terms()) {
        let text = Cow::Owned(print_order(&tree));
        assert_eq!(order::terms(&mut Cursor::new(&text)).as_ref(), Ok(&tree), "{text}");
    }
}

/// Runs a grammar with and without shortcuts: trees, complaints and what was taken are the same.
fn both_ways<T: PartialEq + std::fmt::Debug>(text: &str, grammar: impl Fn(&mut Cursor<'_, '_>) -> Parse<T>) {
    let input = Cow::Borrowed(text);
    let run = |shortcuts| {
        let mut cursor = Cursor::with(&input, shortcuts);
        let tree = grammar(&mut cursor);
        let complaint = tree.is_err().then(|| cursor.complaint("refused", text));
        (tree, complaint, cursor.pos())
    };
    assert_eq!(run(Shortcuts::Taken), run(Shortcuts::Avoided), "{text}");
}

fn grammar_pieces() -> impl Strategy<Value = String> {
    let pieces = [
        "id",
        "count",
        "count()",
        "a_1",
        "b",
        "not",
        "and",
        "or",
        "in",
        "is",
        "eq",
        "gte",
        "fts",
        "neq",
        "isdistinct",
        "null",
        "asc",
        "desc",
        "nullslast",
        "inner",
        ".",
        ".",
        ".",
        ",",
        ",",
        "(",
        "(",
        ")",
        ")",
        ":",
        "::",
        "!",
        "->",
        "-",
        "*",
        "...",
        "\"",
        " ",
        "{",
        "}",
        "(any)",
        "1",
        "é",
        ".asc",
        ".desc",
        "not.",
        "eq.",
        "sum()",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]

    #[test]
    fn shortcuts_change_nothing(text in grammar_pieces()) {
        both_ways(&text, |cursor| select::items(cursor).map(|items| format!("{items:?}")));
        both_ways(&text, |cursor| expression(cursor, OperandEnd::Input).map(|test| format!("{test:?}")));
        both_ways(&text, |cursor| logic::condition(cursor).map(|tree| format!("{tree:?}")));
        both_ways(&format!("or({text})"), |cursor| logic::condition(cursor).map(|tree| format!("{tree:?}")));
        both_ways(&format!("id,a({text}"), |cursor| select::items(cursor).map(|items| format!("{items:?}")));
        both_ways(&text, |cursor| order::terms(cursor).map(|terms| format!("{terms:?}")));
    }
}

/// What unquoted texts mean, in the printed form.
#[test]
fn plain_texts_mean_these_trees() {
    fn check<T>(text: &str, expect: &str, tree: Parse<T>, print: impl Fn(&T) -> String) {
        assert_eq!(tree.map_or("refused".to_owned(), |tree| print(&tree)), expect, "{text}");
    }
    for (text, expect) in [
        ("", ""),
        ("*", "*"),
        ("id, name ,b", r#""id","name","b""#),
        ("n:a->b->>0::text", r#""n":"a"->"b"->>0::text"#),
        ("total:count(),count()::int,count", r#""total":count(),count()::int,"count""#),
        ("t:amount::numeric.sum()::text", r#""t":"amount"::numeric.sum()::text"#),
        ("a.avg(),a.min(),a.max(),a.count()", r#""a".avg(),"a".min(),"a".max(),"a".count()"#),
        ("x:rel!fk!inner(id,other())", r#""x":"rel"!inner!"fk"("id","other"())"#),
        ("rel!left!a b(*),...sp!x(a:b)", r#""rel"!left!"a b"(*),..."sp"!"x"("a":"b")"#),
        // A join's word is taken off the front of a hint, as in PostgREST, and then no parenthesis follows.
        ("rel!inner_fk(id)", "refused"),
        ("a::varchar 10", r#""a"::varchar 10"#),
        ("id)ignored", r#""id""#),
    ] {
        let input = Cow::Borrowed(text);
        check(text, expect, select::items(&mut Cursor::new(&input)), |tree| print_select(tree));
    }
    for (text, expect) in [
        ("eq.a,b.c", "eq.a,b.c"),
        ("not.in.( a,\"b,c\",d )", r#"not.in.("a","b,c","d ")"#),
        ("in.()", r#"in.("")"#),
        ("in.(\"a\"b,c)", r#"in.("\"a\"b","c")"#),
        ("is.NULL", "is.null"),
        ("is.Not_Null", "is.not_null"),
        ("like(any).{a*,b}", "like(any).{a*,b}"),
        ("phfts(english).the cat", "phfts(english).the cat"),
        ("isdistinct.", "isdistinct."),
        ("neq(any).x", "refused"),
        ("in.(a", "refused"),
        ("eq", "refused"),
    ] {
        let input = Cow::Borrowed(text);
        let tree = expression(&mut Cursor::new(&input), OperandEnd::Input);
        check(text, expect, tree, |(negated, test)| print_test(*negated, test, str::to_owned));
    }
    for (text, expect) in [
        ("or(a.eq.1,b.not.lt.2)", r#"or("a".eq."1", "b".not.lt."2")"#),
        (
            "not.and( a.is.null , or(b.in.(1,2),c.ov.{1,2}) )",
            r#"not.and("a".is.null, or("b".in.("1","2"), "c".ov."{1,2}"))"#,
        ),
        ("or(a->>b.eq.\"x,)\",not.eq.1)", r#"or("a"->>"b".eq."x,)", "not".eq."1")"#),
        ("or(a.eq.{1,{2}})", "refused"),
        ("or()", "refused"),
        ("xor(a.eq.1)", "refused"),
    ] {
        let input = Cow::Borrowed(text);
        check(text, expect, logic::condition(&mut Cursor::new(&input)), print_condition);
    }
    for (text, expect) in [
        ("a , b.desc, c.nullsfirst", r#""a","b".desc,"c".nullsfirst"#),
        ("rel(a->b).asc.nullslast", r#""rel"("a"->"b").asc.nullslast"#),
        ("b.desc ,c", "refused"),
        ("a.nullslast.desc", "refused"),
    ] {
        let input = Cow::Borrowed(text);
        check(text, expect, order::terms(&mut Cursor::new(&input)), |terms| print_order(terms));
    }
}

/// Where the parts of a query string end up.
#[test]
fn query_strings_are_taken_apart() {
    let query = |text: &'static str, bare| {
        let parameters = super::query::split(text.as_bytes()).unwrap();
        super::query::parse(&parameters, bare).unwrap()
    };
    let found = query(
        "b.c.x->y=eq.1&or=(p.fts(en).q,z.in.(1,2))&a.not.and=(k.is.true)&order=a&a.order=b&order=c&columns=z,y,z&empty&k=not.lt.5",
        super::query::Bare::Refused,
    );
    let conditions: Vec<_> = found
        .conditions
        .iter()
        .map(|found| format!("{}: {}", found.path.join("/"), print_condition(&found.item)))
        .collect();
    let expect = [
        r#"b/c: "x"->"y".eq."1""#,
        r#": or("p".fts(en)."q", "z".in.("1","2"))"#,
        r#"a: not.and("k".is.true)"#,
        r#": "k".not.lt."5""#,
    ];
    assert_eq!(conditions, expect);
    assert_eq!(operands(&found).len(), 5);
    let orders: Vec<_> = found.order.iter().map(|order| (order.path.join("/"), print_order(&order.item))).collect();
    assert_eq!(orders, [(String::new(), "\"a\"".to_owned()), ("a".to_owned(), "\"b\"".to_owned())]);
    assert_eq!(found.columns, Some(vec!["y".into(), "z".into()]));
    assert_eq!((found.select, found.on_conflict), (None, None));

    let call = query("a=1&b=eq.2&a=x+y&rel.c=3&select=", super::query::Bare::Argument);
    let expect: Vec<(Text, Text)> =
        vec![("a".into(), "1".into()), ("a".into(), "x y".into()), ("c".into(), "3".into())];
    assert_eq!((call.arguments, call.conditions.len(), call.select), (expect, 1, Some(Vec::new())));
}

// --- any bytes

fn settings() -> RequestSettings {
    RequestSettings { schemas: vec!["api".to_owned()], root: RootPage::Document, tx_override: TxOverride::Allowed }
}

/// Parses, and describes what came out.
fn run(method: Method<'_>, target: &[u8], headers: &[(&str, &[u8])], body: &[u8]) -> Result<String, RequestError> {
    let settings = settings();
    let mut fields = Headers::default();
    fields.fields.extend(headers.iter().copied());
    parse(RequestHead { method, target, headers: &fields }, body, &settings).map(|request| format!("{request:?}"))
}

proptest! {
    #[test]
    fn any_bytes_are_answered(
        path in "(/rpc)?/[a-z%]{0,3}",
        query in vec(prop_oneof![
            Just("select=".to_owned()), Just("order=".to_owned()), Just("&".to_owned()), Just("or=(".to_owned()),
            Just("a.and=(".to_owned()), Just("columns=".to_owned()), Just("limit=".to_owned()), Just("a=".to_owned()),
            Just("in.(".to_owned()), Just("not.".to_owned()), Just("eq.".to_owned()), Just("->>".to_owned()),
            Just("%00".to_owned()), Just("%ff".to_owned()), Just("%22".to_owned()), Just("\\".to_owned()),
            Just("...".to_owned()), Just("count()".to_owned()), Just("::".to_owned()), ".{0,3}",
        ], 0..16),
        noise in vec(any::<u8>(), 0..24),
        media in prop::sample::select(vec!["application/json", "text/csv", "application/x-www-form-urlencoded", "a/b;c=\"", ""]),
        body in vec(any::<u8>(), 0..64),
    ) {
        let mut target = format!("{path}?{}", query.concat()).into_bytes();
        target.extend(&noise);
        let headers: [(&str, &[u8]); 5] = [
            ("content-type", media.as_bytes()), ("accept", &noise), ("prefer", &noise), ("range", &noise), ("accept", b"*/*"),
        ];
        for method in [Method::Get, Method::Post, Method::Put, Method::Other("X")] {
            let _ = run(method, &target, &headers, &body);
        }
        let _ = run(Method::Get, &noise, &[("accept-profile", &body)], &body);
        let _ = super::query::canonical(&target);
    }
}

#[test]
fn hostile_requests_take_linear_time() {
    let long = |piece: &str, count: usize| piece.repeat(count);
    let deep = 10_000;
    let targets = [
        format!("select={}", long("a(", deep)),
        format!("select={}{}", long("a(", 190), long(")", 190)),
        format!("or={}", long("(and", deep)),
        format!("or=(id.eq.1,{}", long("not.and(", deep)),
        format!("select={}", long("(", deep)),
        format!("select={}", long("a:", deep)),
        format!("select={}", long("\"", deep)),
        format!("select={}", "x".repeat(1 << 20)),
        format!("id=eq.{}", "x".repeat(1 << 20)),
        format!("id=in.({}", long("\"a,", deep)),
        format!("or=({}", long("a.eq.{,", deep)),
        format!("or=({}", long("a.eq.\"x,", deep)),
        format!("a{}=eq.1", long("-b", deep)),
        format!("a{}=eq.1", long("->>0", deep)),
        format!("order={}", long("a(b),", deep)),
        long("id=eq.1&", deep),
        long("a.order=b&", deep),
        (0..deep).map(|index| format!("a{index}.order=b&")).collect(),
        (0..deep).map(|index| format!("a{index}.limit=1&")).collect(),
        format!("id=eq.{}", long("%00", deep)),
        format!("id=eq.{}", long("%ff", deep)),
    ];
    for target in &targets {
        let started = Instant::now();
        let _ = run(Method::Get, format!("/t?{target}").as_bytes(), &[], b"");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?} for {}", target.get(..40).unwrap_or(target));
    }
}

#[test]
fn nesting_is_bounded_and_said_so() {
    let error = run(Method::Get, format!("/t?select={}", "a(".repeat(300)).as_bytes(), &[], b"").unwrap_err();
    let RequestError::Query(complaint) = error else { panic!("{error:?}") };
    assert!(complaint.message.ends_with("(line 1, column 402)"), "{}", complaint.message);
    assert_eq!(complaint.details, "nested deeper than 200 levels");
}

// --- the fast path

fn scan(target: &str) -> (ShapeScan, Vec<u8>, Vec<ValueSpan>) {
    let (mut key, mut values) = (Vec::new(), Vec::new());
    (scan_shape(Method::Get, target.as_bytes(), &mut key, &mut values), key, values)
}

/// The operands in slot order, lists as lists; the slots themselves are checked.
fn operands(query: &Query<'_>) -> Vec<Vec<String>> {
    fn visit(condition: &Condition<'_>, out: &mut Vec<Vec<String>>) {
        let mut one = |slot: u32, items: Vec<String>| {
            assert_eq!(slot as usize, out.len());
            out.push(items);
        };
        match condition {
            Condition::Logic { operands, .. } => operands.iter().for_each(|operand| visit(operand, out)),
            Condition::Filter(filter) => match &filter.test {
                Test::Compare { operand, .. } | Test::IsDistinct(operand) => {
                    one(operand.slot, vec![operand.text.to_string()])
                }
                Test::In(list) => one(list.slot, list.items.iter().map(|item| format!("element {item}")).collect()),
                Test::Is(_) => {}
                Test::FullText { language, operand, .. } => {
                    if let Some(language) = language {
                        one(language.slot, vec![language.text.to_string()]);
                    }
                    one(operand.slot, vec![operand.text.to_string()]);
                }
            },
        }
    }
    let mut out = Vec::new();
    query.conditions.iter().for_each(|condition| visit(&condition.item, &mut out));
    assert_eq!(out.len(), query.slots as usize);
    out
}

/// The tree without operands and numbers.
fn skeleton(query: &Query<'_>) -> String {
    fn blank(condition: &mut Condition<'_>) {
        match condition {
            Condition::Logic { operands, .. } => operands.iter_mut().for_each(blank),
            Condition::Filter(filter) => match &mut filter.test {
                Test::Compare { operand, .. } | Test::IsDistinct(operand) => operand.text = Cow::Borrowed(""),
                Test::In(list) => list.items.clear(),
                Test::Is(_) => {}
                Test::FullText { operand, .. } => operand.text = Cow::Borrowed(""),
            },
        }
    }
    let mut query = query.clone();
    query.arguments.iter_mut().for_each(|(_, value)| *value = Cow::Borrowed(""));
    query.conditions.iter_mut().for_each(|condition| blank(&mut condition.item));
    query.ranges.iter_mut().for_each(|range| range.item = RowRange { offset: 0, limit: range.item.limit.map(|_| 1) });
    format!("{query:?}")
}

/// No value is refused for not being UTF-8.
fn all_text(target: &str, values: &[ValueSpan]) -> bool {
    values.iter().all(|value| value.text(target.as_bytes()).is_some())
}

/// Parses a simple request the slow way and compares the spans; its skeleton, or `None` if the slow way refuses it.
fn agree(target: &str, values: &[ValueSpan]) -> Option<String> {
    let settings = settings();
    let headers = Headers::default();
    let head = RequestHead { method: Method::Get, target: target.as_bytes(), headers: &headers };
    let request = parse(head, b"", &settings).ok()?;
    assert!(all_text(target, values), "{target}");
    let (mut decoded, mut arguments) = (Vec::new(), Vec::new());
    for value in values {
        match value.kind {
            ValueKind::Argument => arguments.push(value.text(target.as_bytes()).unwrap().to_string()),
            ValueKind::Operand => decoded.push(vec![value.text(target.as_bytes()).unwrap().to_string()]),
            ValueKind::List => {
                let items = value.list(target.as_bytes()).unwrap();
                decoded.push(items.iter().map(|item| format!("element {item}")).collect());
            }
            ValueKind::Limit => {
                assert_eq!(Some(value.number(target.as_bytes()).into()), request.range.limit, "{target}")
            }
            ValueKind::Offset => assert_eq!(value.number(target.as_bytes()), request.range.offset, "{target}"),
        }
    }
    assert_eq!(decoded, operands(&request.query), "{target}");
    let given: Vec<_> = request.query.arguments.iter().map(|(_, value)| value.to_string()).collect();
    assert_eq!(arguments, given, "{target}");
    Some(skeleton(&request.query))
}

/// A parameter with a hole for its value, and what may fill the hole.
fn simple_parameter() -> impl Strategy<Value = (String, &'static str)> {
    let structures = vec![
        ("select=id,name,rel(*)", ""),
        ("select=id%2Cname", ""),
        ("order=id.desc,name", ""),
        ("order=rel(x)", ""),
        ("limit=", "[0-9]{1,4}"),
        ("offset=", "[0-9]{1,4}"),
        ("x=is.null", ""),
        ("x=not.is.true", ""),
        ("x=in.", "\\([a-c,\"+]{0,5}(%2C|%22|%29|%5C|\\()?[ab\"]{0,2}\\)"),
        ("x=not.in.", "\\([a-c,]{0,5}\\)"),
        ("x=like(any).", "[a-z{},.%]{0,6}"),
        ("x=", "[0-9A-Z_{,+-][a-z0-9.,+*()%{}é=-]{0,6}"),
        ("y=", "[a-z]{0,3}(%20|[0-9A-Z_{,+-])?[a-z.(]{0,4}"),
    ];
    let operators = "(not\\.)?(eq|gte|lt|neq|cs|adj|imatch|isdistinct|fts|wfts|eq\\(all\\))\\.";
    prop_oneof![
        1 => prop::sample::select(structures).prop_map(|(structure, hole)| (structure.to_owned(), hole)),
        1 => ("[a-z_]{1,3}", operators).prop_map(|(name, operator)| (format!("{name}={operator}"), "[a-z0-9.,+*()%\"é=-]{0,6}")),
    ]
}

fn two_of_a_shape() -> impl Strategy<Value = (String, String)> {
    (prop::sample::select(vec!["/t", "/rpc/t"]), vec(simple_parameter(), 0..5)).prop_flat_map(|(path, parameters)| {
        let filled = || {
            parameters.clone().into_iter().map(|(structure, hole)| {
                let structure = structure.clone();
                let hole: &'static str = hole;
                hole.prop_map(move |value| structure.clone() + &value).boxed()
            })
        };
        let target = move |parameters: Vec<String>| {
            if parameters.is_empty() { path.to_owned() } else { format!("{path}?{}", parameters.join("&")) }
        };
        let (one, other): (Vec<_>, Vec<_>) = (filled().collect(), filled().collect());
        (one.prop_map(target), other.prop_map(target))
    })
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

    #[test]
    fn one_shape_means_one_tree((one, other) in two_of_a_shape()) {
        let ((scan_one, key_one, values_one), (scan_other, key_other, values_other)) = (scan(&one), scan(&other));
        if scan_one == ShapeScan::Simple && scan_other == ShapeScan::Simple {
            // What a routine is given may be a filter in one of them.
            assert!(key_one == key_other || one.starts_with("/rpc/"), "{one} {other}");
            let (tree_one, tree_other) = (agree(&one, &values_one), agree(&other, &values_other));
            if key_one == key_other && all_text(&one, &values_one) && all_text(&other, &values_other) {
                assert_eq!(tree_one, tree_other, "{one} {other}");
            }
        }
    }

    #[test]
    fn what_scans_as_simple_parses_as_scanned(text in "/(rpc/)?[a-z]{1,2}(\\?([a-z]{1,2}=(not\\.)?(eq|in|is|fts|limit|%65q|x|)(\\(any\\)|%2e|%28)?\\.?[(),.%a2;&=]{0,5}|&|limit=[0-9]{0,2}|offset=[0-9]|;){1,4})?") {
        if let (ShapeScan::Simple, _, values) = scan(&text) {
            agree(&text, &values);
        }
    }
}

#[test]
fn shapes() {
    fn check(target: &str, expect: Option<(&str, &[&str])>) {
        let (outcome, key, values) = scan(target);
        let found = (outcome == ShapeScan::Simple).then(|| {
            let texts: Vec<_> = values.iter().map(|value| value.text(target.as_bytes()).unwrap()).collect();
            (String::from_utf8(key).unwrap(), texts.iter().map(|text| text.to_string()).collect::<Vec<_>>())
        });
        let expect = expect.map(|(key, texts)| (key.to_owned(), texts.iter().map(|text| text.to_string()).collect()));
        assert_eq!(found, expect, "{target}");
    }
    check("/ports", Some(("/ports", &[])));
    check("/ports?id=eq.3", Some(("/ports&id=eq.", &["3"])));
    check(
        "/t?select=id,b(*)&a=not.in.(1,2)&limit=5&c=is.null&d=like(any).%7Ba%7D",
        Some(("/t&select=id,b(*)&a=not.in.&limit=&c=is.null&d=like(any).", &["(1,2)", "5", "{a}"])),
    );
    check("/rpc/f", Some(("/rpc/f", &[])));
    check(
        "/rpc/f?a=1&b=&text=J%C3%B6rg&c=eq&d=-3.5&e=%7B1%7D&f=a.b&g=gt.5&a=x&b=like",
        Some((
            "/rpc/f&a=&b=&text=&c=&d=&e=&f=&g=gt.&a=&b=",
            &["1", "", "Jörg", "eq", "-3.5", "{1}", "a.b", "5", "x", "like"],
        )),
    );
    check("/rpc/f?select=a&limit=3&a=is.null", Some(("/rpc/f&select=a&limit=&a=is.null", &["3"])));
    for complex in [
        "/",
        "/rpc/",
        "/rpc/f/g",
        "/rpc/f?",
        "/rpc/f?a",
        "/rpc/f?a=x(y).z",
        "/rpc/f?a=not.3",
        "/rpc/f?a=is.x",
        "/rpc/f?a=%65q.1",
        "/rpc/f?a=eq%2E1",
        "/rpc/f?a=eq(any).1x&b=eq(some).1",
        "/rpc/f?a.b=1",
        "/rpc/f?or=1",
        "/rpc/f?columns=a",
        "/a%20b",
        "/t?",
        "/t?&",
        "/t?select",
        "/t?id=3",
        "/t?id=wat.3",
        "/t?id=in.1",
        "/t?id=in.(1",
        "/t?id=is.NULL",
        "/t?id=is.nope",
        "/t?id=fts(en).x",
        "/t?id=neq(any).x",
        "/t?or=(a.eq.1)",
        "/t?a.b=eq.1",
        "/t?a->b=eq.1",
        "/t?%61=eq.1",
        "/t?a=eq%2E1",
        "/t?limit=0",
        "/t?limit=-1",
        "/t?limit=",
        "/t?limit=1&limit=2",
        "/t?select=a&select=b",
        "/t?columns=a",
        "/t?a.order=b",
        "/t?id=eq.1;select=a",
        "/t?limit=9999999999999999999",
        "/t?id=not.not.eq.1",
        "t?id=eq.1",
    ] {
        check(complex, None);
    }
}
