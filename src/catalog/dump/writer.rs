//! JSON text that grows by closures. For the catalog's dump alone: clarity over speed.

/// What has been written so far.
#[derive(Default)]
pub struct Json {
    text: String,
}

impl Json {
    pub fn finish(self) -> String {
        self.text
    }

    pub fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub fn boolean(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    pub fn text(&mut self, value: &str) {
        self.raw("\"");
        for character in value.chars() {
            match character {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                control if control < ' ' => self.raw(&format!("\\u{:04x}", u32::from(control))),
                other => self.text.push(other),
            }
        }
        self.raw("\"");
    }

    pub fn optional(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.raw("null"),
        }
    }

    pub fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.raw("{");
        members(self);
        self.raw("}");
    }

    pub fn member(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        if !self.text.ends_with('{') {
            self.raw(",");
        }
        self.text(name);
        self.raw(":");
        value(self);
    }

    pub fn tagged(&mut self, tag: &str, contents: impl FnOnce(&mut Self)) {
        self.object(|json| {
            json.member("tag", |json| json.text(tag));
            json.member("contents", contents);
        });
    }

    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.raw("[");
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    /// A map whose keys are no strings, as a list of pairs.
    pub fn pairs<K, V>(
        &mut self,
        entries: impl IntoIterator<Item = (K, V)>,
        mut key: impl FnMut(&mut Self, &K),
        mut value: impl FnMut(&mut Self, V),
    ) {
        self.list(entries, |json, (name, held)| {
            json.raw("[");
            key(json, &name);
            json.raw(",");
            value(json, held);
            json.raw("]");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let check = |text: &str| {
            let mut json = Json::default();
            json.text(text);
            assert_eq!(serde_json::from_str::<String>(&json.text).ok().as_deref(), Some(text));
        };
        check("");
        check("quote \" back \\ slash / tab \t line \n return \r bell \u{7} ñ 漢");
        check("{");
    }
}
