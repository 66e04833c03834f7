//! A bearer token to the caller's identity: signature verified (HS256 at most 10 µs: 2.7), and found again (at most 2 µs: 0.06).

use divan::{Bencher, black_box};
use trunkline::auth::json_path::RolePath;
use trunkline::auth::key::KeySet;
use trunkline::auth::{AuthSettings, TokenCache, authenticate};

const SECRET: &[u8] = b"a secret of more than thirty-two bytes";
const NOW: i64 = 1_700_000_000;
/// `{"alg":"HS256","typ":"JWT"}`, `{"role":"reader","sub":"3f1c9a52-7c1e-4c8e-9d1f-0a54d9b6b001","exp":1900000000,…}`.
const HEADER: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJyb2xlIjoicmVhZGVyIiwic3ViIjoiM2YxYzlhNTItN2MxZS00YzhlLTlkMWYtMGE1NGQ5YjZiMDAxIiwiZXhwIjoxOTAwMDAwMDAwLCJpYXQiOjE2OTAwMDAwMDAsImF1ZCI6ImFwaSJ9.\
    oVVfaPEieCLWrrncKFE3zP_0ONtFHN_Xo8NMOk_VeAI";

fn main() {
    divan::main();
}

fn settings() -> AuthSettings {
    let keys = KeySet::parse(SECRET).expect("a secret");
    AuthSettings::new(Some(keys), Some(SECRET), None, RolePath::default(), None, 1000)
}

#[divan::bench]
fn hs256_verified(bencher: Bencher) {
    let settings = settings();
    bencher.bench_local(|| {
        authenticate(std::iter::once(black_box(HEADER.as_bytes())), &settings, NOW, None).expect("a good token")
    });
}

#[divan::bench]
fn found_in_the_cache(bencher: Bencher) {
    let settings = settings();
    let mut cache = TokenCache::new();
    bencher.bench_local(|| {
        let header = std::iter::once(black_box(HEADER.as_bytes()));
        authenticate(header, &settings, NOW, Some(&mut cache)).expect("a good token")
    });
    assert!(cache.counts.hits + 1 == cache.counts.requests, "one miss, the first");
}
