//! The search for bytes to escape beside its plain twin, and whole strings.

use divan::{Bencher, black_box};
use trunkline::json;

const LENGTHS: [usize; 7] = [5, 12, 16, 31, 64, 300, 4000];

fn main() {
    divan::main();
}

fn search(bencher: Bencher, len: usize, find: impl Fn(&[u8]) -> usize) {
    let text = vec![b'x'; len];
    bencher.bench_local(|| find(black_box(&text)));
}

#[divan::bench(args = LENGTHS)]
fn words(bencher: Bencher, len: usize) {
    search(bencher, len, json::first_to_escape);
}

#[divan::bench(args = LENGTHS)]
fn plain(bencher: Bencher, len: usize) {
    search(bencher, len, json::first_plain);
}

#[divan::bench(args = LENGTHS)]
fn whole_string(bencher: Bencher, len: usize) {
    let text = vec![b'x'; len];
    let mut out = Vec::with_capacity(8192);
    bencher.bench_local(|| {
        out.clear();
        json::write_string(&mut out, black_box(&text));
        black_box(out.len())
    });
}
