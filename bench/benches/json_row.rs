//! A hundred rows from their DataRow bodies to JSON: checked, then written into a buffer that has room.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use trunkline::wire::row::DataRow;
use trunkline_bench::Sample;

fn main() {
    divan::main();
}

fn write(bencher: Bencher, sample: &Sample) {
    let mut out = Vec::with_capacity(1 << 16);
    bencher.counter(ItemsCount::new(sample.rows.len())).bench_local(|| {
        out.clear();
        for row in black_box(&sample.rows) {
            let row = DataRow::parse(row).expect("a row");
            sample.writer.write_row(&mut out, row).expect("a row of this width");
            out.extend_from_slice(sample.writer.separator());
        }
        black_box(out.len())
    });
}

#[divan::bench]
fn three_columns(bencher: Bencher) {
    write(bencher, &Sample::narrow());
}

#[divan::bench]
fn eleven_columns(bencher: Bencher) {
    write(bencher, &Sample::wide());
}

#[divan::bench]
fn eleven_columns_stripped(bencher: Bencher) {
    let Sample { writer, rows } = Sample::wide();
    write(bencher, &Sample { writer: writer.stripping_nulls(), rows });
}

#[divan::bench]
fn eleven_columns_only_checked(bencher: Bencher) {
    let sample = Sample::wide();
    let check = |row: &Vec<u8>| DataRow::parse(row).expect("a row").field_count();
    bencher
        .counter(ItemsCount::new(sample.rows.len()))
        .bench_local(|| black_box(&sample.rows).iter().map(check).sum::<usize>());
}
