//! Data that the micro benchmarks share: rows as PostgreSQL sends them.

use trunkline::json::{FieldForm, OutputColumn, RowShape, RowWriter};
use trunkline::wire::row::{FieldDescription, RowDescription};

/// The body of a DataRow message with these fields.
pub fn data_row(fields: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(fields.len()).unwrap_or_default().to_be_bytes().to_vec();
    for field in fields {
        let len = field.map_or(-1, |text| i32::try_from(text.len()).unwrap_or_default());
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(field.unwrap_or_default().as_bytes());
    }
    body
}

/// A result set: its writer, and the bodies of a hundred DataRow messages of it.
pub struct Sample {
    pub writer: RowWriter,
    pub rows: Vec<Vec<u8>>,
}

impl Sample {
    /// Panics where a type has no JSON form: a mistake in the benchmark.
    pub fn new(columns: &[(&str, u32)], fields_of: impl Fn(u32) -> Vec<Option<String>>) -> Self {
        let column = |&(name, _): &_| OutputColumn::Field { name: String::from(name), form: FieldForm::ByType };
        let field = |&(name, type_oid): &_| FieldDescription { name: String::from(name), type_oid, type_modifier: -1 };
        let shape = RowShape { columns: columns.iter().map(column).collect(), ..RowShape::default() };
        let fields = RowDescription { fields: columns.iter().map(field).collect() };
        let writer = RowWriter::compile(&shape, &fields).unwrap_or_else(|error| panic!("{error}"));
        let row = |n| {
            let fields = fields_of(n);
            data_row(&fields.iter().map(Option::as_deref).collect::<Vec<_>>())
        };
        Self { writer, rows: (1..=100).map(row).collect() }
    }

    /// Three columns: `/track?select=id,name,ms`.
    pub fn narrow() -> Self {
        Self::new(&[("id", 23), ("name", 25), ("ms", 23)], |n| {
            vec![Some(format!("{}", n * 277)), Some(name(n)), Some(format!("{}", 120_000 + n * 7919 % 300_000))]
        })
    }

    /// Eleven columns: all of a track of the load test's sample shop.
    pub fn wide() -> Self {
        let columns = [
            ("id", 23),
            ("album_id", 23),
            ("genre_id", 23),
            ("name", 25),
            ("ms", 23),
            ("bytes", 20),
            ("price", 701),
            ("explicit", 16),
            ("added_at", 1184),
            ("tags", 114),
            ("extra", 3802),
        ];
        Self::new(&columns, |n| {
            vec![
                Some(format!("{}", n * 277)),
                Some(format!("{}", n * 28)),
                (n % 26 != 0).then(|| format!("{}", n % 26)),
                Some(name(n)),
                Some(format!("{}", 120_000 + n * 7919 % 300_000)),
                Some(format!("{}", 3_000_000_000 + u64::from(n) * 104_729)),
                Some(format!("{}", f64::from(49 + n % 200) / 100.0)),
                Some(String::from(if n % 13 == 0 { "t" } else { "f" })),
                Some(format!("2024-03-{:02} 12:34:56.{}+00", n % 28 + 1, n % 7 * 111 + 1)),
                Some(String::from(["[]", r#"["live","take 7"]"#, r#"["studio","a \"b\"","c,d"]"#][(n % 3) as usize])),
                (n % 4 != 0).then(|| format!(r#"{{"bpm": {}, "key": "F#", "peaks": [{}, 3]}}"#, 60 + n, n % 5)),
            ]
        })
    }
}

fn name(n: u32) -> String {
    let end = match n % 10 {
        0 => format!(", called \"the {n}th\""),
        1 => String::from("\twith a tab"),
        2 => String::from(" (naïve – 水)"),
        _ => String::new(),
    };
    format!("Track {n}{end}")
}
