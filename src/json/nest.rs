//! Parents and their children in one result: JSON objects with an array made of the rows that follow.
//! A row begins (behind the leading columns) with a number: twice its parent's place, counted from 1, and one more in a
//! child's row. Then come the parent's columns and the child's; a row fills its own, the rest is NULL.
//! Invariant: a child is written into the object of the parent whose number it has, or not at all.

use std::fmt;

use super::row::{
    FieldColumns, FormMismatch, Lead, Nulls, RowSeen, Step, compile_column, compile_columns, integer, read_leading,
    width, write_lead_stripped, write_steps,
};
use super::{ARRAY_CLOSE, ARRAY_OPEN, ChildRows, OutputColumn, ROW_SEPARATOR, RowShape, STRIPPED_SEPARATOR};
use crate::sql::Leading;
use crate::wire::row::{DataRow, Fields, RowDescription};

/// Writes the rows of one result set.
#[derive(Clone, Debug)]
pub struct NestWriter {
    leading: Vec<Leading>,
    /// The parent's members in front of the array, what opens it, and the members behind.
    head: Piece,
    lead: Lead,
    tail: Piece,
    child: Vec<Step>,
    width: usize,
    nulls: Nulls,
}

/// Some of an object's members, and how many columns they take.
#[derive(Clone, Debug)]
struct Piece {
    steps: Vec<Step>,
    columns: usize,
}

/// Where in the result the writer is. The end of an object waits here until its children have been written.
#[derive(Debug, Default)]
pub struct Nest {
    /// The parent's number; 0 before the first.
    parent: i64,
    children: Children,
    tail: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Children {
    #[default]
    None,
    Some,
}

/// What a row was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NestSeen {
    pub row: RowSeen,
    pub kind: NestRow,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NestRow {
    Parent,
    Child,
    /// It only carried the leading columns: nothing was written.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NestError {
    /// A row has another number of fields than its result set has columns.
    Width { want: usize, got: usize },
    /// A row doesn't follow the one before it.
    Order,
}

impl fmt::Display for NestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width { want, got } => write!(out, "a row has {got} fields instead of {want}"),
            Self::Order => out.write_str("a row came out of its order"),
        }
    }
}

impl std::error::Error for NestError {}

impl Nest {
    /// Before the first row; `spare` is a buffer to use.
    pub fn new(mut spare: Vec<u8>) -> Self {
        spare.clear();
        Self { tail: spare, ..Self::default() }
    }

    /// The buffer, for the next result.
    pub fn into_spare(self) -> Vec<u8> {
        self.tail
    }
}

impl NestWriter {
    /// Built once per result set; fails where a column's type can't be written here.
    pub fn compile(shape: &RowShape, children: &ChildRows, fields: &RowDescription) -> Result<Self, FormMismatch> {
        let want = shape.leading.len() + 1 + width(&shape.columns) + width(&children.columns);
        let got = fields.fields.len();
        if want != got {
            return Err(FormMismatch::Width { want, got });
        }
        let mut rest = fields.fields.iter().skip(shape.leading.len() + 1);
        let (before, behind) = shape.columns.split_at_checked(children.before).unwrap_or((&shape.columns, &[]));
        let head = compile_piece(before, b'{', &mut rest)?;
        let lead = Lead::new(if before.is_empty() { b'{' } else { b',' }, &children.name);
        let mut tail = compile_piece(behind, b',', &mut rest)?;
        tail.steps.push(Step::Close { empty: false });
        let mut child = Vec::new();
        compile_columns(&mut child, &children.columns, &mut rest)?;
        Ok(Self { leading: shape.leading.clone(), head, lead, tail, child, width: want, nulls: Nulls::Kept })
    }

    /// The same writer for `nulls=stripped`.
    pub fn stripping_nulls(mut self) -> Self {
        self.nulls = Nulls::Stripped;
        self
    }

    /// Appends one row: a parent up to its array, behind the end of the parent before it; or a child.
    #[inline]
    pub fn write_row(&self, nest: &mut Nest, out: &mut Vec<u8>, row: DataRow<'_>) -> Result<NestSeen, NestError> {
        if row.field_count() != self.width {
            return Err(NestError::Width { want: self.width, got: row.field_count() });
        }
        let mut fields = row.fields();
        let row = read_leading(&self.leading, &mut fields);
        let Some(number) = integer(fields.next().flatten()) else {
            return Ok(NestSeen { row, kind: NestRow::Nothing });
        };
        let kind = if number == nest.parent + 1 && nest.parent > 0 {
            self.write_child(nest, out, fields);
            NestRow::Child
        } else if number == nest.parent + 2 {
            if nest.parent > 0 {
                self.finish(nest, out);
                out.extend_from_slice(self.separator());
            }
            nest.parent = number;
            self.write_parent(nest, out, fields);
            NestRow::Parent
        } else {
            return Err(NestError::Order);
        };
        Ok(NestSeen { row, kind })
    }

    /// Completes the last parent, if there was any.
    pub fn finish(&self, nest: &Nest, out: &mut Vec<u8>) {
        if nest.parent > 0 {
            out.extend_from_slice(ARRAY_CLOSE);
            out.extend_from_slice(&nest.tail);
        }
    }

    fn separator(&self) -> &'static [u8] {
        match self.nulls {
            Nulls::Kept => ROW_SEPARATOR,
            Nulls::Stripped => STRIPPED_SEPARATOR,
        }
    }

    fn write_parent(&self, nest: &mut Nest, out: &mut Vec<u8>, mut fields: Fields<'_>) {
        if self.nulls == Nulls::Stripped {
            out.push(b'{');
        }
        write_steps(out, &self.head.steps, fields.by_ref().take(self.head.columns), self.nulls);
        match self.nulls {
            Nulls::Kept => self.lead.write(out),
            Nulls::Stripped => write_lead_stripped(out, self.lead.text()),
        }
        out.extend_from_slice(ARRAY_OPEN);
        nest.children = Children::None;
        nest.tail.clear();
        write_steps(&mut nest.tail, &self.tail.steps, fields, self.nulls);
    }

    fn write_child(&self, nest: &mut Nest, out: &mut Vec<u8>, mut fields: Fields<'_>) {
        match nest.children {
            Children::None => nest.children = Children::Some,
            Children::Some => out.extend_from_slice(self.separator()),
        }
        fields.by_ref().take(self.head.columns + self.tail.columns).for_each(drop);
        if self.nulls == Nulls::Stripped {
            out.push(b'{');
        }
        write_steps(out, &self.child, fields, self.nulls);
    }
}

fn compile_piece(
    columns: &[OutputColumn],
    mut opening: u8,
    fields: &mut FieldColumns<'_>,
) -> Result<Piece, FormMismatch> {
    let mut steps = Vec::new();
    for column in columns {
        compile_column(&mut steps, opening, column, fields)?;
        opening = b',';
    }
    Ok(Piece { steps, columns: width(columns) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::FieldForm;
    use crate::wire::row::FieldDescription;
    use proptest::prelude::*;

    fn fields(names: &[&str]) -> Vec<OutputColumn> {
        names.iter().map(|&name| OutputColumn::Field { name: name.into(), form: FieldForm::ByType }).collect()
    }

    /// Members around the array `list`; every column is an integer.
    fn writer(leading: &[Leading], before: &[&str], behind: &[&str], child: &[&str]) -> NestWriter {
        let columns = fields(&[before, behind].concat());
        let count = leading.len() + 1 + columns.len() + child.len();
        let description = FieldDescription { name: String::new(), type_oid: 23, type_modifier: -1 };
        let children = ChildRows { name: "list".into(), before: before.len(), columns: fields(child) };
        let shape = RowShape { leading: leading.to_vec(), columns, children: None };
        NestWriter::compile(&shape, &children, &RowDescription { fields: vec![description; count] }).unwrap()
    }

    fn body(fields: &[Option<i64>]) -> Vec<u8> {
        let mut body = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            let text = field.map(|number| number.to_string());
            body.extend_from_slice(&text.as_ref().map_or(-1, |text| i32::try_from(text.len()).unwrap()).to_be_bytes());
            body.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
        body
    }

    /// What the rows become; `Err` where one of them is refused.
    fn written(writer: &NestWriter, rows: &[Vec<Option<i64>>]) -> Result<String, NestError> {
        let (mut nest, mut out) = (Nest::default(), Vec::new());
        for row in rows {
            let body = body(row);
            writer.write_row(&mut nest, &mut out, DataRow::parse(&body).unwrap())?;
        }
        writer.finish(&nest, &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    fn check(writer: &NestWriter, rows: &[Vec<Option<i64>>], expect: &str, expect_stripped: &str) {
        assert_eq!(written(writer, rows).as_deref(), Ok(expect));
        assert_eq!(written(&writer.clone().stripping_nulls(), rows).as_deref(), Ok(expect_stripped));
    }

    #[test]
    fn an_array_among_members() {
        let writer = writer(&[], &["id"], &["year"], &["ms", "at"]);
        let parent = |place: i64, id, year| vec![Some(2 * place), id, year, None, None];
        let child = |place: i64, ms, at| vec![Some(2 * place + 1), None, None, ms, at];
        check(&writer, &[], "", "");
        check(&writer, &[parent(1, Some(7), None)], r#"{"id":7,"list":[],"year":null}"#, r#"{"id":7,"list":[]}"#);
        check(
            &writer,
            &[
                parent(1, None, Some(5)),
                child(1, Some(1), None),
                child(1, None, None),
                parent(2, Some(8), None),
                child(2, None, Some(3)),
            ],
            "{\"id\":null,\"list\":[{\"ms\":1,\"at\":null}, \n {\"ms\":null,\"at\":null}],\"year\":5}, \n \
             {\"id\":8,\"list\":[{\"ms\":null,\"at\":3}],\"year\":null}",
            r#"{"list":[{"ms":1},{}],"year":5},{"id":8,"list":[{"at":3}]}"#,
        );
    }

    #[test]
    fn an_array_alone_or_first() {
        let rows = [vec![Some(2), None], vec![Some(3), Some(4)]];
        check(&writer(&[], &[], &[], &["x"]), &rows, r#"{"list":[{"x":4}]}"#, r#"{"list":[{"x":4}]}"#);
        let rows = [vec![Some(2), Some(1), None], vec![Some(3), None, Some(4)]];
        check(
            &writer(&[], &[], &["id"], &["x"]),
            &rows,
            r#"{"list":[{"x":4}],"id":1}"#,
            r#"{"list":[{"x":4}],"id":1}"#,
        );
    }

    #[test]
    fn leading_columns() {
        let writer = writer(&[Leading::Total], &["id"], &[], &["x"]);
        let seen = |row: &[Option<i64>]| {
            let (body, mut nest, mut out) = (body(row), Nest::default(), Vec::new());
            let seen = writer.write_row(&mut nest, &mut out, DataRow::parse(&body).unwrap()).unwrap();
            (seen.kind, seen.row.total, out.is_empty())
        };
        assert_eq!(seen(&[Some(9), None, None, None]), (NestRow::Nothing, Some(9), true));
        assert_eq!(seen(&[Some(9), Some(2), None, None]), (NestRow::Parent, Some(9), false));
    }

    #[test]
    fn no_child_comes_under_another_parent() {
        let writer = writer(&[], &["id"], &[], &["x"]);
        let check = |numbers: &[i64]| {
            let rows: Vec<_> = numbers.iter().map(|&number| vec![Some(number), None, None]).collect();
            written(&writer, &rows).map(drop)
        };
        assert_eq!(check(&[2, 3, 3, 4, 6, 7]), Ok(()));
        // A child before its parent or of another one, a parent again, too far on, or before the one that was.
        let wrong: [&[i64]; 8] = [&[3], &[1], &[2, 5], &[2, 4, 3], &[2, 2], &[2, 6], &[4], &[-2]];
        for numbers in wrong {
            assert_eq!(check(numbers), Err(NestError::Order), "{numbers:?}");
        }
        assert_eq!(written(&writer, &[vec![Some(2)]]), Err(NestError::Width { want: 3, got: 1 }));
    }

    proptest! {
        #[test]
        fn any_children_nest(
            parents in proptest::collection::vec((any::<Option<i64>>(), proptest::collection::vec(any::<Option<i64>>(), 0..6)), 0..6),
            strip in any::<bool>(),
        ) {
            let writer = writer(&[], &["id"], &["z"], &["v"]);
            let writer = if strip { writer.stripping_nulls() } else { writer };
            let object = |key: &str, value: &Option<i64>| match value {
                None if strip => serde_json::json!({}),
                value => serde_json::json!({ key: value }),
            };
            let (mut rows, mut want) = (Vec::new(), Vec::new());
            for (place, (id, children)) in (1..).zip(&parents) {
                rows.push(vec![Some(2 * place), *id, Some(1), None]);
                rows.extend(children.iter().map(|value| vec![Some(2 * place + 1), None, None, *value]));
                let mut parent = object("id", id);
                parent["list"] = children.iter().map(|value| object("v", value)).collect();
                parent["z"] = 1.into();
                want.push(parent);
            }
            let text = format!("[{}]", written(&writer, &rows).unwrap());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), serde_json::Value::from(want));
        }
    }
}
