//! JSON objects and arrays, written member by member.
//! Owns: the commas. `Members` also keeps keys unique: what comes later under a known key takes its place.

use std::collections::HashMap;

use crate::json::write_string;

/// An object that is being written.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    begun: usize,
}

impl Object<'_> {
    /// Appends `{…}` with the members that `fill` adds.
    pub fn write(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        let begun = out.len();
        fill(&mut Object { out, begun });
        out.push(b'}');
    }

    /// The place for the value of a new member.
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if self.out.len() > self.begun {
            self.out.push(b',');
        }
        write_string(self.out, name.as_bytes());
        self.out.push(b':');
        self.out
    }

    pub fn text(&mut self, name: &str, value: &str) {
        write_string(self.member(name), value.as_bytes());
    }

    /// Adds nothing where there is no value.
    pub fn optional_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Adds a value that is JSON already.
    pub fn json(&mut self, name: &str, value: &[u8]) {
        self.member(name).extend_from_slice(value);
    }

    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.member(name), fill);
    }

    pub fn array(&mut self, name: &str, fill: impl FnOnce(&mut Array<'_>)) {
        Array::write(self.member(name), fill);
    }

    pub fn texts<'t>(&mut self, name: &str, items: impl IntoIterator<Item = &'t str>) {
        self.array(name, |array| items.into_iter().for_each(|item| array.text(item)));
    }

    /// Adds nothing where there are no items.
    pub fn optional_texts<'t>(&mut self, name: &str, items: impl IntoIterator<Item = &'t str>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() {
            self.texts(name, items);
        }
    }
}

/// An array that is being written.
pub struct Array<'o> {
    out: &'o mut Vec<u8>,
    begun: usize,
}

impl Array<'_> {
    fn write(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>)) {
        out.push(b'[');
        let begun = out.len();
        fill(&mut Array { out, begun });
        out.push(b']');
    }

    fn item(&mut self) -> &mut Vec<u8> {
        if self.out.len() > self.begun {
            self.out.push(b',');
        }
        self.out
    }

    pub fn text(&mut self, value: &str) {
        write_string(self.item(), value.as_bytes());
    }

    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.item(), fill);
    }

    /// `{"$ref":"#/kind/name"}`
    pub fn reference(&mut self, kind: &str, name: &str) {
        self.object(|object| reference(object, kind, name));
    }
}

/// Makes the object a reference to what the document has under `kind`.
pub fn reference(object: &mut Object<'_>, kind: &str, name: &str) {
    object.text("$ref", &format!("#/{kind}/{name}"));
}

/// Members of an object that come from the database's names, which may collide.
#[derive(Debug, Default)]
pub struct Members {
    bytes: Vec<u8>,
    /// Where each member's `"key":value` lies, in the order in which keys appeared.
    spans: Vec<(usize, usize)>,
    places: HashMap<String, usize, ahash::RandomState>,
}

impl Members {
    pub fn insert(&mut self, key: String, fill: impl FnOnce(&mut Object<'_>)) {
        let begin = self.bytes.len();
        write_string(&mut self.bytes, key.as_bytes());
        self.bytes.push(b':');
        Object::write(&mut self.bytes, fill);
        let span = (begin, self.bytes.len());
        let place = *self.places.entry(key).or_insert(self.spans.len());
        match self.spans.get_mut(place) {
            Some(known) => *known = span,
            None => self.spans.push(span),
        }
    }

    /// Appends them as an object; nothing where there are none.
    pub fn write(&self, name: &str, object: &mut Object<'_>) {
        if self.spans.is_empty() {
            return;
        }
        let out = object.member(name);
        out.push(b'{');
        for (index, &(begin, end)) in self.spans.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(self.bytes.get(begin..end).unwrap_or_default());
        }
        out.push(b'}');
    }

    /// Bytes written so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fill: impl FnOnce(&mut Object<'_>), expect: &str) {
        let mut out = Vec::new();
        Object::write(&mut out, fill);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn members_are_separated_and_escaped() {
        check(|_| {}, "{}");
        check(|object| object.text("a\"b", "line\nbreak"), r#"{"a\"b":"line\nbreak"}"#);
        check(
            |object| {
                object.optional_text("none", None);
                object.json("n", b"1.5");
                object.object("o", |inner| inner.texts("t", ["x", "y"]));
                object.array("r", |array| array.reference("parameters", "select"));
                object.optional_texts("none", []);
            },
            r##"{"n":1.5,"o":{"t":["x","y"]},"r":[{"$ref":"#/parameters/select"}]}"##,
        );
    }

    #[test]
    fn a_later_member_takes_the_place_of_an_earlier_one() {
        let mut members = Members::default();
        members.insert("one".into(), |object| object.text("v", "first"));
        members.insert("two".into(), |_| {});
        members.insert("one".into(), |object| object.text("v", "last"));
        check(|object| members.write("m", object), r#"{"m":{"one":{"v":"last"},"two":{}}}"#);
        check(|object| Members::default().write("m", object), "{}");
    }
}
