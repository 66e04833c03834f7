//! Request headers as spans of the head's bytes, in the order they came.

use std::ops::Deref;

/// Names as sent, values without surrounding blanks. Values may be any bytes but control characters.
#[derive(Clone, Debug, Default)]
pub struct Headers<'c> {
    pub fields: Fields<'c>,
}

impl<'c> Headers<'c> {
    /// The first field of that name, compared without case.
    pub fn first(&self, name: &str) -> Option<&'c [u8]> {
        self.all(name).next()
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'c [u8]> + 'a {
        self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }
}

/// A field's name and value.
pub type Field<'c> = (&'c str, &'c [u8]);

/// As many fields as browsers and proxies send take no allocation.
const INLINE: usize = 24;

/// A slice of fields that allocates only past `INLINE`. Not a `SmallVec`: that is invariant in the borrow, and a request
/// that borrows its own head could then never be dropped.
#[derive(Clone, Debug)]
pub struct Fields<'c> {
    few: [Field<'c>; INLINE],
    few_len: usize,
    /// All of them, once they are more than `INLINE`; empty until then.
    many: Vec<Field<'c>>,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self { few: [("", b""); INLINE], few_len: 0, many: Vec::new() }
    }
}

impl<'c> Fields<'c> {
    pub fn push(&mut self, field: Field<'c>) {
        if let Some(place) = self.few.get_mut(self.few_len) {
            *place = field;
            self.few_len += 1;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(&self.few);
        }
        self.many.push(field);
    }
}

impl<'c> Extend<Field<'c>> for Fields<'c> {
    fn extend<I: IntoIterator<Item = Field<'c>>>(&mut self, fields: I) {
        fields.into_iter().for_each(|field| self.push(field));
    }
}

impl<'c> Deref for Fields<'c> {
    type Target = [Field<'c>];

    fn deref(&self) -> &Self::Target {
        if self.many.is_empty() { self.few.get(..self.few_len).unwrap_or_default() } else { &self.many }
    }
}

impl<'c> FromIterator<Field<'c>> for Fields<'c> {
    fn from_iter<I: IntoIterator<Item = Field<'c>>>(fields: I) -> Self {
        let mut collected = Self::default();
        collected.extend(fields);
        collected
    }
}

impl<'a, 'c> IntoIterator for &'a Fields<'c> {
    type Item = &'a Field<'c>;
    type IntoIter = std::slice::Iter<'a, Field<'c>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_past_the_inline_ones() {
        let names: Vec<String> = (0..60).map(|number| format!("X-{}", number % 50)).collect();
        for count in [0, 1, INLINE - 1, INLINE, INLINE + 1, 60] {
            let fields: Vec<Field<'_>> = names[..count].iter().map(|name| (name.as_str(), name.as_bytes())).collect();
            let headers = Headers { fields: fields.iter().copied().collect() };
            assert_eq!(&*headers.fields, fields);
        }
    }

    #[test]
    fn names_compare_without_case() {
        let headers = Headers { fields: [("A", &b"1"[..]), ("b", b"2"), ("a", b"3")].into_iter().collect() };
        assert_eq!(headers.first("a"), Some(&b"1"[..]));
        assert_eq!(headers.all("A").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(headers.first("c"), None);
    }
}
