//! A query string to the client's intent: split, decoded, each reserved key through its grammar. Beside it the scan that
//! finds a cached plan.

use divan::{Bencher, black_box};
use trunkline::http::Method;
use trunkline::request::query::{self, Bare};
use trunkline::request::shape::scan_shape;

const TARGETS: [&str; 3] = [
    "/track?select=id,name,ms&id=eq.12345",
    "/track?select=id,name,album(title,artist(name))&id=eq.12345",
    "/track?or=(ms.gt.1000,and(name.ilike.*live*,explicit.is.true))&order=added_at.desc.nullslast,id&limit=25&offset=50",
];

fn main() {
    divan::main();
}

#[divan::bench(args = TARGETS)]
fn parse(bencher: Bencher, target: &str) {
    bencher.bench_local(|| {
        let (_, query) = query::halves(black_box(target.as_bytes()));
        let parameters = query::split(query).expect("text");
        query::parse(&parameters, Bare::Refused).expect("a query that parses").conditions.len()
    });
}

#[divan::bench(args = TARGETS)]
fn shape(bencher: Bencher, target: &str) {
    let mut key = Vec::with_capacity(256);
    let mut values = Vec::with_capacity(16);
    bencher.bench_local(|| black_box(scan_shape(Method::Get, black_box(target.as_bytes()), &mut key, &mut values)));
}
