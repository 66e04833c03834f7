//! One row of a catalog query, read field by field from PostgreSQL's text format.
//! Invariant: fields are taken in the order of the query's SELECT list; a wrong one names its query and column.

use super::load::{LoadError, QueryName};

/// A row as PostgreSQL sends it in text format; `None` is null.
pub type Row = Vec<Option<String>>;

/// Takes one row's fields from left to right.
#[derive(Clone, Debug)]
pub struct RowReader<'r> {
    query: QueryName,
    row: &'r Row,
    next: usize,
}

impl<'r> RowReader<'r> {
    pub fn new(query: QueryName, row: &'r Row) -> Self {
        Self { query, row, next: 0 }
    }

    pub fn whole(&self) -> &'r Row {
        self.row
    }

    /// The next field, which may be null.
    pub fn optional(&mut self) -> Result<Option<&'r str>, LoadError> {
        let field = self.row.get(self.next).ok_or_else(|| self.refuse(self.next))?;
        self.next += 1;
        Ok(field.as_deref())
    }

    pub fn text(&mut self) -> Result<&'r str, LoadError> {
        let column = self.next;
        self.optional()?.ok_or_else(|| self.refuse(column))
    }

    pub fn boolean(&mut self) -> Result<bool, LoadError> {
        let column = self.next;
        match self.text()? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(self.refuse(column)),
        }
    }

    /// An oid or another number that is never negative.
    pub fn oid(&mut self) -> Result<u32, LoadError> {
        let column = self.next;
        self.text()?.parse().map_err(|_| self.refuse(column))
    }

    /// An array of oids.
    pub fn oids(&mut self) -> Result<Vec<u32>, LoadError> {
        let column = self.next;
        let items = self.text()?.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let items = items.ok_or_else(|| self.refuse(column))?.split(',').filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(|_| self.refuse(column))).collect()
    }

    /// The number of a column in its relation.
    pub fn attnum(&mut self) -> Result<i16, LoadError> {
        let column = self.next;
        self.text()?.parse().map_err(|_| self.refuse(column))
    }

    /// The place in a list, counted from 1.
    pub fn place(&mut self) -> Result<u32, LoadError> {
        self.oid()
    }

    pub fn optional_int(&mut self) -> Result<Option<i32>, LoadError> {
        let column = self.next;
        match self.optional()? {
            None => Ok(None),
            Some(digits) => digits.parse().map(Some).map_err(|_| self.refuse(column)),
        }
    }

    /// The field just read is not one of the words it may be.
    pub fn refuse_last(&self) -> LoadError {
        self.refuse(self.next.saturating_sub(1))
    }

    fn refuse(&self, column: usize) -> LoadError {
        LoadError::Field { query: self.query, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[Option<&str>]) -> Row {
        fields.iter().map(|field| field.map(str::to_owned)).collect()
    }

    #[test]
    fn fields_are_read_in_order() {
        let row = row(&[Some("api"), None, Some("t"), Some("42"), Some("-7"), None]);
        let mut reader = RowReader::new(QueryName::Columns, &row);
        assert_eq!(reader.text(), Ok("api"));
        assert_eq!(reader.optional(), Ok(None));
        assert_eq!(reader.boolean(), Ok(true));
        assert_eq!(reader.oid(), Ok(42));
        assert_eq!(reader.optional_int(), Ok(Some(-7)));
        assert_eq!(reader.optional_int(), Ok(None));
    }

    #[test]
    fn arrays_of_oids() {
        let row = row(&[Some("{}"), Some("{1,20}"), Some("1,20"), Some("{1,x}")]);
        let mut reader = RowReader::new(QueryName::Columns, &row);
        assert_eq!(reader.oids(), Ok(vec![]));
        assert_eq!(reader.oids(), Ok(vec![1, 20]));
        assert_eq!(reader.oids(), Err(LoadError::Field { query: QueryName::Columns, column: 2 }));
        assert_eq!(reader.oids(), Err(LoadError::Field { query: QueryName::Columns, column: 3 }));
    }

    #[test]
    fn a_wrong_field_names_its_query_and_column() {
        let refused = |column| LoadError::Field { query: QueryName::Columns, column };
        let row = row(&[None, Some("yes"), Some("-1"), Some("99999")]);
        let mut reader = RowReader::new(QueryName::Columns, &row);
        assert_eq!(reader.text(), Err(refused(0)));
        assert_eq!(reader.boolean(), Err(refused(1)));
        assert_eq!(reader.oid(), Err(refused(2)));
        assert_eq!(reader.attnum(), Err(refused(3)));
        assert_eq!(reader.refuse_last(), refused(3));
        assert_eq!(reader.optional(), Err(refused(4)));
        assert_eq!(reader.text(), Err(refused(4)));
    }
}
