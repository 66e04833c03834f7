//! One row as a JSON object: what PostgreSQL's `row_to_json` would print, byte for byte.
//! A result set's shape is compiled once into a flat list of steps; a row then costs one branch per column and no
//! allocation while the buffer has room.

use std::fmt;

use super::{
    FIRST_USER_OID, FieldForm, JsonForm, OutputColumn, RowShape, array, escape, form_of_type, number, strip, time,
};
use crate::sql::Leading;
use crate::wire::row::{DataRow, FieldDescription, RowDescription};

/// Writes the rows of one result set.
#[derive(Clone, Debug)]
pub struct RowWriter {
    leading: Vec<Leading>,
    steps: Vec<Step>,
    width: usize,
    nulls: Nulls,
    frame: Frame,
}

/// What a row becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Frame {
    Object,
    /// The value of its first column, in this form.
    Bare(JsonForm),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nulls {
    Kept,
    Stripped,
}

/// What to do next. `lead` is `{"id":` or `,"name":`, the name escaped.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Field {
        lead: Lead,
        form: JsonForm,
    },
    /// A nested object begins, by its presence column; where that is NULL, `skip` says how many columns and steps
    /// belong to the object.
    Open {
        lead: Lead,
        skip: Extent,
    },
    /// An object without members has no first lead to open it.
    Close {
        empty: bool,
    },
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Extent {
    columns: usize,
    steps: usize,
}

/// What a row said besides its members.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RowSeen {
    pub total: Option<i64>,
    pub page_total: Option<i64>,
    /// False where the row only carried the leading columns: nothing was written.
    pub present: bool,
}

/// The result's columns don't fit the row writer: the statement must have its JSON built in SQL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FormMismatch {
    Width { want: usize, got: usize },
    Type { column: String, oid: u32 },
}

impl fmt::Display for FormMismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width { want, got } => write!(out, "the result has {got} columns instead of {want}"),
            Self::Type { column, oid } => write!(out, "column {column:?} has a type (oid {oid}) without a JSON form"),
        }
    }
}

impl std::error::Error for FormMismatch {}

/// A row has another number of fields than its result set has columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RowWidthError {
    pub want: usize,
    pub got: usize,
}

impl fmt::Display for RowWidthError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a row has {} fields instead of {}", self.got, self.want)
    }
}

impl std::error::Error for RowWidthError {}

impl RowWriter {
    /// Built once per result set; fails where a column's type can't be written here.
    pub fn compile(shape: &RowShape, fields: &RowDescription) -> Result<Self, FormMismatch> {
        let want = shape.leading.len() + width(&shape.columns);
        let got = fields.fields.len();
        if want != got {
            return Err(FormMismatch::Width { want, got });
        }
        let mut steps = Vec::new();
        let mut rest = fields.fields.iter().skip(shape.leading.len());
        compile_columns(&mut steps, &shape.columns, &mut rest)?;
        Ok(Self { leading: shape.leading.clone(), steps, width: want, nulls: Nulls::Kept, frame: Frame::Object })
    }

    /// The same writer for `nulls=stripped`: members that are null are left out, at any depth.
    pub fn stripping_nulls(mut self) -> Self {
        self.nulls = Nulls::Stripped;
        self
    }

    /// The same writer for rows whose only value is wanted, without its key. Where the first member is no plain field the
    /// row stays an object.
    pub fn bare(mut self) -> Self {
        if let Some(Step::Field { form, .. }) = self.steps.first() {
            self.frame = Frame::Bare(*form);
        }
        self
    }

    /// Whether a column is a date or timestamp, whose text must come under DateStyle ISO; where the session's DateStyle
    /// is another, the statement must have its JSON built in SQL.
    pub fn needs_iso_dates(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Field { form, .. } => matches!(form, JsonForm::Date | JsonForm::Timestamp | JsonForm::TimestampTz),
            Step::Open { .. } | Step::Close { .. } => false,
        })
    }

    /// What belongs between two rows of an array.
    pub fn separator(&self) -> &'static [u8] {
        match self.nulls {
            Nulls::Kept => super::ROW_SEPARATOR,
            Nulls::Stripped => super::STRIPPED_SEPARATOR,
        }
    }

    /// Appends one row as a JSON object, or nothing where the row only carries leading columns.
    #[inline]
    pub fn write_row(&self, out: &mut Vec<u8>, row: DataRow<'_>) -> Result<RowSeen, RowWidthError> {
        if row.field_count() != self.width {
            return Err(RowWidthError { want: self.width, got: row.field_count() });
        }
        let mut fields = row.fields();
        let seen = read_leading(&self.leading, &mut fields);
        if seen.present {
            match (self.frame, self.nulls) {
                (Frame::Object, Nulls::Kept) => write_members(out, &self.steps, fields),
                (Frame::Object, Nulls::Stripped) => {
                    out.push(b'{');
                    write_members_stripped(out, &self.steps, fields);
                }
                (Frame::Bare(form), nulls) => write_bare(out, form, nulls, fields.next().flatten()),
            }
        }
        Ok(seen)
    }
}

/// The number of result columns that these members take.
pub(super) fn width(columns: &[OutputColumn]) -> usize {
    columns.iter().fold(0, |sum, column| {
        sum + match column {
            OutputColumn::Field { .. } => 1,
            OutputColumn::Object { columns, .. } => 1 + width(columns),
        }
    })
}

/// Descriptions of the columns that are still to be compiled.
pub(super) type FieldColumns<'f> = std::iter::Skip<std::slice::Iter<'f, FieldDescription>>;

pub(super) fn compile_columns(
    steps: &mut Vec<Step>,
    columns: &[OutputColumn],
    fields: &mut FieldColumns<'_>,
) -> Result<(), FormMismatch> {
    let mut opening = b'{';
    for column in columns {
        compile_column(steps, opening, column, fields)?;
        opening = b',';
    }
    steps.push(Step::Close { empty: columns.is_empty() });
    Ok(())
}

pub(super) fn compile_column(
    steps: &mut Vec<Step>,
    opening: u8,
    column: &OutputColumn,
    fields: &mut FieldColumns<'_>,
) -> Result<(), FormMismatch> {
    // The width was checked, so a field is there.
    let Some(field) = fields.next() else { return Ok(()) };
    match column {
        OutputColumn::Field { name, form } => {
            let form = form_of(*form, field.type_oid)
                .ok_or_else(|| FormMismatch::Type { column: name.clone(), oid: field.type_oid })?;
            steps.push(Step::Field { lead: Lead::new(opening, name), form });
        }
        OutputColumn::Object { name, columns } => {
            let at = steps.len();
            let skip = Extent { columns: width(columns), steps: 0 };
            steps.push(Step::Open { lead: Lead::new(opening, name), skip });
            compile_columns(steps, columns, fields)?;
            let inside = steps.len() - at - 1;
            if let Some(Step::Open { skip, .. }) = steps.get_mut(at) {
                skip.steps = inside;
            }
        }
    }
    Ok(())
}

/// What stands in front of a member's value. Most are short: those are copied as one block of fixed size, which takes a
/// few instructions where a copy of any length takes a call.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    block: [u8; LEAD_BLOCK],
    len: usize,
    /// The whole, where it is longer than the block.
    long: Box<[u8]>,
}

const LEAD_BLOCK: usize = 16;

impl Lead {
    pub(super) fn new(opening: u8, name: &str) -> Self {
        let mut text = vec![opening];
        escape::write(&mut text, name.as_bytes());
        text.push(b':');
        let len = text.len();
        let mut block = [0; LEAD_BLOCK];
        block.iter_mut().zip(&text).for_each(|(place, &byte)| *place = byte);
        let long = if len > LEAD_BLOCK { text.into() } else { Box::default() };
        Self { block, len, long }
    }

    #[inline(always)]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.len > LEAD_BLOCK {
            out.extend_from_slice(&self.long);
        } else {
            let begin = out.len();
            out.extend_from_slice(&self.block);
            out.truncate(begin + self.len);
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        if self.len > LEAD_BLOCK { &self.long } else { self.block.get(..self.len).unwrap_or_default() }
    }
}

fn form_of(form: FieldForm, oid: u32) -> Option<JsonForm> {
    let by_type = form_of_type(oid);
    match form {
        FieldForm::ByType => by_type,
        FieldForm::Text if oid >= FIRST_USER_OID => Some(JsonForm::Text),
        FieldForm::Text => by_type,
        FieldForm::Json => by_type.filter(|form| *form == JsonForm::Json),
    }
}

pub(super) fn read_leading<'a>(leading: &[Leading], fields: &mut impl Iterator<Item = Option<&'a [u8]>>) -> RowSeen {
    let mut seen = RowSeen { total: None, page_total: None, present: true };
    for column in leading {
        let field = fields.next().flatten();
        match column {
            Leading::Total => seen.total = integer(field),
            Leading::PageTotal => seen.page_total = integer(field),
            Leading::Presence => seen.present = field.is_some(),
        }
    }
    seen
}

pub(super) fn integer(field: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(field?).ok()?.parse().ok()
}

fn write_bare(out: &mut Vec<u8>, form: JsonForm, nulls: Nulls, field: Option<&[u8]>) {
    match (field, form, nulls) {
        (None, _, _) => out.extend_from_slice(b"null"),
        (Some(text), JsonForm::Json, Nulls::Stripped) => strip::write_stripped(out, text),
        (Some(text), form, _) => write_value(out, form, text),
    }
}

/// The members of an object, or of a part of one.
#[inline]
pub(super) fn write_steps<'a>(
    out: &mut Vec<u8>,
    steps: &[Step],
    fields: impl Iterator<Item = Option<&'a [u8]>>,
    nulls: Nulls,
) {
    match nulls {
        Nulls::Kept => write_members(out, steps, fields),
        Nulls::Stripped => write_members_stripped(out, steps, fields),
    }
}

#[inline]
fn write_members<'a>(out: &mut Vec<u8>, steps: &[Step], mut fields: impl Iterator<Item = Option<&'a [u8]>>) {
    let mut steps = steps.iter();
    while let Some(step) = steps.next() {
        match step {
            Step::Field { lead, form } => {
                lead.write(out);
                match fields.next().flatten() {
                    None => out.extend_from_slice(b"null"),
                    Some(text) => write_value(out, *form, text),
                }
            }
            Step::Open { lead, skip } => {
                lead.write(out);
                if fields.next().flatten().is_none() {
                    out.extend_from_slice(b"null");
                    skip_object(*skip, &mut steps, &mut fields);
                }
            }
            Step::Close { empty } => out.extend_from_slice(if *empty { b"{}" } else { b"}" }),
        }
    }
}

/// As `write_members`, without the members that are null, in an object that is open. Which member comes first is known only
/// as it is written.
fn write_members_stripped<'a>(out: &mut Vec<u8>, steps: &[Step], mut fields: impl Iterator<Item = Option<&'a [u8]>>) {
    let mut steps = steps.iter();
    while let Some(step) = steps.next() {
        match step {
            Step::Field { lead, form } => {
                let Some(text) = fields.next().flatten() else { continue };
                let json = *form == JsonForm::Json;
                if json && text.trim_ascii() == b"null" {
                    continue;
                }
                write_lead_stripped(out, lead.text());
                if json {
                    strip::write_stripped(out, text);
                } else {
                    write_value(out, *form, text);
                }
            }
            Step::Open { lead, skip } => {
                if fields.next().flatten().is_none() {
                    skip_object(*skip, &mut steps, &mut fields);
                } else {
                    write_lead_stripped(out, lead.text());
                    out.push(b'{');
                }
            }
            Step::Close { .. } => out.push(b'}'),
        }
    }
}

/// No value ends in an opening brace, so one at the end of the buffer means that no member has been written.
pub(super) fn write_lead_stripped(out: &mut Vec<u8>, lead: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(lead.get(1..).unwrap_or_default());
}

fn skip_object<'a>(
    skip: Extent,
    steps: &mut std::slice::Iter<'_, Step>,
    fields: &mut impl Iterator<Item = Option<&'a [u8]>>,
) {
    fields.by_ref().take(skip.columns).for_each(drop);
    steps.by_ref().take(skip.steps).for_each(drop);
}

#[inline(always)]
fn write_value(out: &mut Vec<u8>, form: JsonForm, text: &[u8]) {
    match form {
        JsonForm::Integer | JsonForm::Json => out.extend_from_slice(text),
        JsonForm::Text => escape::write(out, text),
        JsonForm::Bool => out.extend_from_slice(if text == b"t" { b"true" } else { b"false" }),
        JsonForm::Number => number::write(out, text),
        JsonForm::Date => {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        }
        JsonForm::Timestamp => time::write_timestamp(out, text),
        JsonForm::TimestampTz => time::write_timestamptz(out, text),
        JsonForm::Array(element) => array::write(out, text, element),
    }
}

/// Fuzz entry: the first byte picks a shape, the rest is the body of a DataRow.
pub fn fuzz_row(data: &[u8]) {
    let Some((&pick, body)) = data.split_first() else { return };
    let Ok(row) = DataRow::parse(body) else { return };
    let forms = [16, 23, 701, 1082, 1114, 1184, 25, 1009, 3802];
    let mut columns = Vec::new();
    let mut types = Vec::new();
    for (index, oid) in (0..row.field_count()).zip(forms.into_iter().cycle().skip(usize::from(pick & 7))) {
        types.push(FieldDescription { name: String::new(), type_oid: oid, type_modifier: -1 });
        let nest = pick & 8 != 0 && index % 3 == 0;
        if nest {
            let columns_now = std::mem::take(&mut columns);
            columns.push(OutputColumn::Object { name: "nested".into(), columns: columns_now });
        } else {
            columns.push(OutputColumn::Field { name: "member".into(), form: FieldForm::ByType });
        }
    }
    let shape = RowShape { columns, ..RowShape::default() };
    let Ok(writer) = RowWriter::compile(&shape, &RowDescription { fields: types }) else { return };
    for writer in [writer.clone(), writer.stripping_nulls()] {
        let mut out = Vec::new();
        assert!(writer.write_row(&mut out, row).is_ok_and(|seen| seen.present));
        assert!(out.first() == Some(&b'{') && out.last() == Some(&b'}'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(fields: &[Option<&str>]) -> Vec<u8> {
        let mut body = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            let len = field.map_or(-1, |text| i32::try_from(text.len()).unwrap());
            body.extend_from_slice(&len.to_be_bytes());
            body.extend_from_slice(field.unwrap_or_default().as_bytes());
        }
        body
    }

    fn field(name: &str) -> OutputColumn {
        OutputColumn::Field { name: name.into(), form: FieldForm::ByType }
    }

    fn object(name: &str, columns: Vec<OutputColumn>) -> OutputColumn {
        OutputColumn::Object { name: name.into(), columns }
    }

    fn description(oids: &[u32]) -> RowDescription {
        let field = |&type_oid| FieldDescription { name: String::new(), type_oid, type_modifier: -1 };
        RowDescription { fields: oids.iter().map(field).collect() }
    }

    fn writer(leading: &[Leading], columns: Vec<OutputColumn>, oids: &[u32]) -> RowWriter {
        RowWriter::compile(&RowShape { leading: leading.to_vec(), columns, children: None }, &description(oids))
            .unwrap()
    }

    #[track_caller]
    fn check(writer: &RowWriter, fields: &[Option<&str>], expect: &str) -> RowSeen {
        let body = body(fields);
        let mut out = b"before".to_vec();
        let seen = writer.write_row(&mut out, DataRow::parse(&body).unwrap()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("before{expect}"));
        seen
    }

    #[test]
    fn every_form() {
        let oids = [16, 16, 23, 701, 1700, 1082, 1114, 1184, 114, 25, 17];
        let names = ["t", "f", "i", "d", "n", "day", "ts", "tz", "j", "te\"xt", "b"];
        let writer = writer(&[], names.iter().map(|name| field(name)).collect(), &oids);
        let fields = ["t", "f", "-7", "1e+20", "NaN", "2024-02-29", "2024-02-29 01:02:03", "2024-02-29 01:02:03+00"];
        let more = ["{\"a\" : null}", "tab\t", "\\x00"];
        let fields: Vec<_> = fields.into_iter().chain(more).map(Some).collect();
        check(
            &writer,
            &fields,
            concat!(
                r#"{"t":true,"f":false,"i":-7,"d":1e+20,"n":"NaN","day":"2024-02-29","ts":"2024-02-29T01:02:03","#,
                r#""tz":"2024-02-29T01:02:03+00:00","j":{"a" : null},"te\"xt":"tab\t","b":"\\x00"}"#
            ),
        );
        check(&writer.stripping_nulls(), &[None; 11], "{}");
    }

    #[test]
    fn nested_objects() {
        let columns = vec![
            object("first", vec![field("a"), object("deep", vec![field("b")]), field("c")]),
            object("none", vec![]),
            field("last"),
        ];
        let kept = writer(&[], columns, &[16, 23, 16, 25, 23, 16, 23]);
        let stripped = kept.clone().stripping_nulls();
        let all = [Some("t"), Some("1"), Some("t"), Some("x"), Some("2"), Some("t"), Some("3")];
        check(&kept, &all, r#"{"first":{"a":1,"deep":{"b":"x"},"c":2},"none":{},"last":3}"#);
        check(&stripped, &all, r#"{"first":{"a":1,"deep":{"b":"x"},"c":2},"none":{},"last":3}"#);
        let no_deep = [Some("t"), None, None, Some("skipped"), Some("2"), None, Some("3")];
        check(&kept, &no_deep, r#"{"first":{"a":null,"deep":null,"c":2},"none":null,"last":3}"#);
        check(&stripped, &no_deep, r#"{"first":{"c":2},"last":3}"#);
        let no_first = [None, Some("1"), Some("t"), Some("x"), Some("2"), Some("t"), None];
        check(&kept, &no_first, r#"{"first":null,"none":{},"last":null}"#);
        check(&stripped, &no_first, r#"{"none":{}}"#);
        let empty = [Some("t"), None, Some("t"), None, None, None, None];
        check(&kept, &empty, r#"{"first":{"a":null,"deep":{"b":null},"c":null},"none":null,"last":null}"#);
        check(&stripped, &empty, r#"{"first":{"deep":{}}}"#);
    }

    #[test]
    fn ready_made_json_is_stripped_too() {
        let writer = writer(&[], vec![field("a"), field("b"), field("c")], &[3802, 114, 3802]).stripping_nulls();
        check(&writer, &[Some("null"), Some(" null "), Some("{\"x\": null}")], r#"{"c":{}}"#);
        check(&writer, &[Some("[null, {\"y\": null}]"), None, Some("1")], r#"{"a":[null,{}],"c":1}"#);
    }

    #[test]
    fn leading_columns() {
        let leading = [Leading::Total, Leading::PageTotal, Leading::Presence];
        let writer = writer(&leading, vec![field("a")], &[20, 20, 16, 23]);
        let seen = check(&writer, &[Some("10"), Some("2"), Some("t"), Some("1")], r#"{"a":1}"#);
        assert_eq!(seen, RowSeen { total: Some(10), page_total: Some(2), present: true });
        let seen = check(&writer, &[Some("10"), None, None, Some("1")], "");
        assert_eq!(seen, RowSeen { total: Some(10), page_total: None, present: false });
        assert_eq!(check(&writer, &[Some("x"), None, None, None], "").total, None);
        let no_columns = self::writer(&[], vec![], &[]);
        check(&no_columns, &[], "{}");
        check(&no_columns.stripping_nulls(), &[], "{}");
    }

    #[test]
    fn dates_need_iso() {
        fn check(oid: u32, expect: bool) {
            let nested = object("o", vec![field("a")]);
            assert_eq!(writer(&[], vec![nested], &[16, oid]).needs_iso_dates(), expect, "{oid}");
        }
        // date, timestamp, timestamptz; interval, text and daterange print alike in JSON under any DateStyle
        for oid in [1082, 1114, 1184] {
            check(oid, true);
        }
        for oid in [1186, 25, 3912] {
            check(oid, false);
        }
    }

    #[test]
    fn what_does_not_fit() {
        fn check(form: FieldForm, oid: u32, fits: bool) {
            let columns = vec![OutputColumn::Field { name: "c".into(), form }];
            let got = RowWriter::compile(&RowShape { columns, ..RowShape::default() }, &description(&[oid])).map(drop);
            let refused = Err(FormMismatch::Type { column: "c".into(), oid });
            assert_eq!(got, if fits { Ok(()) } else { refused }, "{form:?} {oid}");
        }
        // text, jsonb, text[], jsonb[], record, a user's type
        for (oid, by_type, text, json) in [
            (25, true, true, false),
            (3802, true, true, true),
            (1009, true, true, false),
            (3807, false, false, false),
            (2249, false, false, false),
            (70000, false, true, false),
        ] {
            check(FieldForm::ByType, oid, by_type);
            check(FieldForm::Text, oid, text);
            check(FieldForm::Json, oid, json);
        }
        let shape =
            RowShape { leading: vec![Leading::Total], columns: vec![object("o", vec![field("a")])], children: None };
        let narrow = RowWriter::compile(&shape, &description(&[20, 16])).map(drop);
        assert_eq!(narrow, Err(FormMismatch::Width { want: 3, got: 2 }));
        let writer = RowWriter::compile(&shape, &description(&[20, 16, 23])).unwrap();
        let mut out = Vec::new();
        let body = body(&[None, None]);
        let got = writer.write_row(&mut out, DataRow::parse(&body).unwrap());
        assert_eq!((got, out.len()), (Err(RowWidthError { want: 3, got: 2 }), 0));
    }

    proptest! {
        #[test]
        fn output_is_json(texts in proptest::collection::vec(any::<Option<String>>(), 1..12), nest in any::<bool>()) {
            let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
            let oids = vec![25; texts.len()];
            let names: Vec<_> = (1..texts.len()).map(|index| index.to_string()).collect();
            let columns = names.iter().map(|name| field(name)).collect();
            let columns = if nest { vec![object("\u{1}", columns)] } else { [vec![field("0")], columns].concat() };
            let writer = writer(&[], columns, &oids);
            let body = body(&texts);
            let mut out = Vec::new();
            writer.write_row(&mut out, DataRow::parse(&body).unwrap()).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let members = if nest { &value["\u{1}"] } else { &value };
            for (name, text) in names.iter().zip(&texts[1..]) {
                prop_assert_eq!(members[name].as_str(), if nest { texts[0].and(*text) } else { *text });
            }
        }

        #[test]
        fn any_row_is_survived(data in any::<Vec<u8>>()) {
            fuzz_row(&data);
        }

        #[test]
        fn any_fields_are_survived(pick in any::<u8>(), texts in proptest::collection::vec(any::<Option<String>>(), 0..9)) {
            let mut data = vec![pick];
            data.extend(body(&texts.iter().map(Option::as_deref).collect::<Vec<_>>()));
            fuzz_row(&data);
        }
    }
}
