//! A buffer of a hundred DataRow frames, split and checked.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use trunkline::wire::frame::next_frame;
use trunkline::wire::row::DataRow;
use trunkline_bench::Sample;

fn main() {
    divan::main();
}

fn decode(bencher: Bencher, sample: &Sample) {
    let mut buffer = Vec::new();
    for row in &sample.rows {
        buffer.push(b'D');
        buffer.extend_from_slice(&u32::try_from(row.len() + 4).expect("a short row").to_be_bytes());
        buffer.extend_from_slice(row);
    }
    bencher.counter(ItemsCount::new(sample.rows.len())).bench_local(|| {
        let buffer = black_box(&buffer);
        let mut at = 0;
        let mut fields = 0;
        while let Some(frame) = next_frame(buffer, at).expect("whole frames") {
            fields += DataRow::parse(&buffer[frame.body.clone()]).expect("a row").field_count();
            at = frame.body.end;
        }
        fields
    });
}

#[divan::bench]
fn three_columns(bencher: Bencher) {
    decode(bencher, &Sample::narrow());
}

#[divan::bench]
fn eleven_columns(bencher: Bencher) {
    decode(bencher, &Sample::wide());
}
