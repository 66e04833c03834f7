//! What the client asked, still knowing nothing of the database.
//! Pure: bytes of a request in, `ApiRequest` or a `RequestError` with PostgREST's wording out.
//! Every grammar keeps the client's values apart from the shape: an `Operand` knows its slot, so that two requests that
//! differ in values only share one plan and one prepared statement.

use std::borrow::Cow;

pub mod complaint;
pub mod cursor;
pub mod field;
pub mod filter;
pub mod logic;
pub mod order;
pub mod payload;
pub mod payload_csv;
mod payload_json;
pub mod prefer;
pub mod profile;
pub mod query;
pub mod range;
pub mod refusal;
pub mod select;
pub mod shape;
pub mod target;

pub use refusal::RequestError;

use crate::http::{Headers, Method};
use crate::media::{MediaType, parse_accept};

/// What this stage needs of a request's head.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h, 'r> {
    pub method: Method<'r>,
    /// Path and query string as sent.
    pub target: &'r [u8],
    pub headers: &'h Headers<'r>,
}

/// What this stage needs of the configuration.
#[derive(Clone, Debug)]
pub struct RequestSettings {
    /// `db-schemas`, the default first.
    pub schemas: Vec<String>,
    pub root: target::RootPage,
    pub tx_override: prefer::TxOverride,
}

/// Understands a request, or says why not. Refusals come in PostgREST's order: path, profile, method, query string, range,
/// body. `Preferences::strictly_refused` is left to the plan, because names and media types are judged before it.
pub fn parse<'r>(
    head: RequestHead<'_, 'r>,
    body: &'r [u8],
    settings: &'r RequestSettings,
) -> Result<ApiRequest<'r>, RequestError> {
    let RequestHead { method, target, headers } = head;
    let (path, query_string) = query::halves(target);
    let resource = target::resource(path, &settings.root)?;
    let profile = profile::choose(method, headers, &settings.schemas)?;
    let action = target::action(resource, method)?;
    let parameters = query::split(query_string).ok_or_else(|| query::not_text("query string"))?;
    let bare = match action {
        Action::Call { by: Invocation::Get(_), .. } => query::Bare::Argument,
        Action::Call { by: Invocation::Post, .. }
        | Action::Read { .. }
        | Action::Mutate { .. }
        | Action::RelationInfo { .. }
        | Action::RoutineInfo { .. }
        | Action::SchemaRead { .. }
        | Action::SchemaInfo => query::Bare::Refused,
    };
    let mut query = query::parse(&parameters, bare)?;
    let ranges = range::parse(&parameters, method, headers)?;
    query.ranges = ranges.by_path;
    let content_type = headers.first("content-type").map_or(MediaType::Json, MediaType::parse);
    let payload = payload::parse(body, &content_type, &action, query.columns.as_deref())?;
    Ok(ApiRequest {
        action,
        schema: profile.schema,
        negotiated_by_profile: profile.negotiated,
        query,
        preferences: prefer::Preferences::parse(headers, settings.tx_override),
        accept: parse_accept(headers.first("accept")),
        content_type,
        range: ranges.root,
        payload,
    })
}

/// One request, parsed. Borrows the request head and body.
#[derive(Clone, Debug)]
pub struct ApiRequest<'r> {
    pub action: Action<'r>,
    /// Schema chosen by profile header, or the first of `db-schemas`.
    pub schema: Cow<'r, str>,
    /// True if the profile header named it, or several schemas are exposed: the answer then carries Content-Profile.
    pub negotiated_by_profile: bool,
    pub query: Query<'r>,
    pub preferences: prefer::Preferences<'r>,
    pub accept: Vec<crate::media::Accepted>,
    pub content_type: crate::media::MediaType,
    /// `Range` header where it counts (GET only), already intersected with `limit`/`offset` of the root.
    pub range: RowRange,
    pub payload: Option<payload::Payload<'r>>,
}

/// What method and path ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<'r> {
    /// GET or HEAD of a relation.
    Read {
        relation: Cow<'r, str>,
        body: BodyWanted,
    },
    Mutate {
        relation: Cow<'r, str>,
        mutation: Mutation,
    },
    /// `/rpc/name`.
    Call {
        routine: Cow<'r, str>,
        by: Invocation,
    },
    /// OPTIONS of a relation or routine.
    RelationInfo {
        relation: Cow<'r, str>,
    },
    RoutineInfo {
        routine: Cow<'r, str>,
    },
    /// GET or HEAD of `/`.
    SchemaRead {
        body: BodyWanted,
    },
    /// OPTIONS of `/`.
    SchemaInfo,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyWanted {
    /// GET
    Full,
    /// HEAD: the same head, no body.
    HeadOnly,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    Insert,
    Update,
    Delete,
    /// PUT
    SingleUpsert,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invocation {
    Get(BodyWanted),
    Post,
}

/// The query string, split and parsed.
#[derive(Clone, Default, Debug)]
pub struct Query<'r> {
    /// `select=`; `None` where the parameter is absent (all columns), empty for `select=`.
    pub select: Option<Vec<SelectItem<'r>>>,
    /// Filters and logic trees of the root and of embeds, in request order.
    pub conditions: Vec<Targeted<'r, Condition<'r>>>,
    /// Order terms by embed path; of several parameters for one path the first counts, as in PostgREST.
    pub order: Vec<Targeted<'r, Vec<OrderTerm<'r>>>>,
    /// `limit` and `offset` by embed path; the root's have the empty path and don't know the Range header:
    /// `ApiRequest::range` is what counts there.
    pub ranges: Vec<Targeted<'r, RowRange>>,
    /// `columns=`, sorted, without repeats.
    pub columns: Option<Vec<Cow<'r, str>>>,
    /// `on_conflict=`
    pub on_conflict: Option<Vec<Cow<'r, str>>>,
    /// Calls by GET: the parameters whose value begins with no operator, name and value in request order. Those with one
    /// (`a=eq.1`) are in `conditions` and never arguments, whatever the routine's parameters are called; so the plan
    /// chooses the routine by these names alone, and a `text` argument that looks like `eq.1` has to go by POST.
    pub arguments: Vec<(Cow<'r, str>, Cow<'r, str>)>,
    /// How many operand slots the parsers handed out.
    pub slots: u32,
}

/// Something aimed at an embed: `a.b.col=…` has path `[a, b]`; the root's path is empty.
#[derive(Clone, PartialEq, Debug)]
pub struct Targeted<'r, T> {
    pub path: Vec<Cow<'r, str>>,
    pub item: T,
}

/// An entry of `select=`.
#[derive(Clone, PartialEq, Debug)]
pub enum SelectItem<'r> {
    Field(SelectField<'r>),
    /// `alias:target!hint!inner(…)`
    Embed {
        target: Cow<'r, str>,
        alias: Option<Cow<'r, str>>,
        hint: Option<Cow<'r, str>>,
        join: Option<Join>,
        select: Vec<SelectItem<'r>>,
    },
    /// `...target!hint!inner(…)`
    Spread {
        target: Cow<'r, str>,
        hint: Option<Cow<'r, str>>,
        join: Option<Join>,
        select: Vec<SelectItem<'r>>,
    },
}

/// `alias:column->path::cast.aggregate()::cast`. `*` is a field whose name is `*`; the old `select=count` without
/// parentheses is a field named `count` here, because only the catalog knows whether there is such a column.
#[derive(Clone, PartialEq, Debug)]
pub struct SelectField<'r> {
    pub field: Field<'r>,
    pub alias: Option<Cow<'r, str>>,
    pub cast: Option<Cow<'r, str>>,
    pub aggregate: Option<Aggregate>,
    pub aggregate_cast: Option<Cow<'r, str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aggregate {
    Avg,
    /// `col.count()`; bare `count()` has the field `*`.
    Count,
    Max,
    Min,
    Sum,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Join {
    Inner,
    Left,
}

/// A column name and a JSON path into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field<'r> {
    pub name: Cow<'r, str>,
    pub path: Vec<JsonStep<'r>>,
}

/// `->key`, `->>key`, `->0`, `->>0`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonStep<'r> {
    pub arrow: Arrow,
    pub key: JsonKey<'r>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrow {
    /// `->`: JSON
    Json,
    /// `->>`: text
    Text,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JsonKey<'r> {
    Name(Cow<'r, str>),
    /// The digits as written, with a sign where there was one.
    Index(Cow<'r, str>),
}

/// A filter or a logic tree.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition<'r> {
    Filter(Filter<'r>),
    Logic { negated: bool, operator: LogicOperator, operands: Vec<Condition<'r>> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogicOperator {
    And,
    Or,
}

/// `column=[not.]operator.operand`. On an embed's name only `is.null` and `not.is.null` mean something (null filtering).
#[derive(Clone, PartialEq, Debug)]
pub struct Filter<'r> {
    pub field: Field<'r>,
    pub negated: bool,
    pub test: Test<'r>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Test<'r> {
    /// `eq.5`, `eq(any).{1,2}`
    Compare {
        operator: Comparison,
        quantifier: Option<Quantifier>,
        operand: Operand<'r>,
    },
    /// `in.(a,"b,c")`
    In(OperandList<'r>),
    Is(IsValue),
    IsDistinct(Operand<'r>),
    /// `fts(english).words`
    FullText {
        operator: FullText,
        language: Option<Operand<'r>>,
        operand: Operand<'r>,
    },
}

/// A client's value, percent-decoded and unquoted. `slot` counts values through the request in parameter order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operand<'r> {
    pub slot: u32,
    pub text: Cow<'r, str>,
}

/// The elements of `in.(…)`, one slot for all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperandList<'r> {
    pub slot: u32,
    pub items: Vec<Cow<'r, str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
    Like,
    Ilike,
    Match,
    Imatch,
    Contains,
    Contained,
    Overlaps,
    StrictlyLeft,
    StrictlyRight,
    NotExtendsRight,
    NotExtendsLeft,
    Adjacent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FullText {
    Fts,
    Plfts,
    Phfts,
    Wfts,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantifier {
    Any,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IsValue {
    Null,
    NotNull,
    True,
    False,
    Unknown,
}

/// An entry of `order=`.
#[derive(Clone, PartialEq, Debug)]
pub enum OrderTerm<'r> {
    Field {
        field: Field<'r>,
        direction: Option<Direction>,
        nulls: Option<Nulls>,
    },
    /// `order=rel(col).desc`
    Related {
        relation: Cow<'r, str>,
        field: Field<'r>,
        direction: Option<Direction>,
        nulls: Option<Nulls>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Asc,
    Desc,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nulls {
    First,
    Last,
}

/// Rows wanted. `limit: Some(0)` is its own case: `[]` without error. A limit past what PostgreSQL takes, or a negative one
/// of an embed, is for PostgreSQL to refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RowRange {
    pub offset: u64,
    pub limit: Option<i128>,
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
