//! Claim: compiling costs microseconds a flag and grows with the flags, not with their square.
//!
//! cargo bench --bench compile           (figures: benches/README.md)
#![allow(clippy::expect_used, reason = "a bench that cannot start should say so")]

mod profile;

use bytes::Bytes;

use burgee::compile::{Policy, compile};
use burgee::dialect::reflag::definitions;
use burgee::model::{Rules, Ruleset, Version};
use burgee::snapshot::Content;
use divan::Bencher;
use serde_json::{Value, json};

use self::profile::profile;

fn main() {
    divan::main();
}

/// So many flags, made from the reference document's by giving each copy its own keys.
fn document(flags: usize) -> Bytes {
    let reference: Value =
        serde_json::from_str(include_str!("reference.json")).expect("the reference is JSON");
    let sources = reference["features"].as_array().expect("it has features");
    let features: Vec<Value> = (0..flags)
        .map(|number| {
            let mut flag = sources[number % sources.len()].clone();
            flag["key"] = json!(format!("flag-{number}"));
            flag
        })
        .collect();
    let document = json!({"success": true, "flagStateVersion": 1, "features": features});
    Bytes::from(document.to_string())
}

fn ruleset(flags: usize) -> Ruleset {
    definitions::read(&document(flags)).expect("the document is valid")
}

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// JSON to ruleset.
#[divan::bench(args = SIZES)]
fn read_document(bencher: Bencher<'_, '_>, flags: usize) {
    let document = document(flags);
    bencher.bench_local(|| definitions::read(&document));
}

/// Ruleset to program.
#[divan::bench(args = SIZES)]
fn compile_flags(bencher: Bencher<'_, '_>, flags: usize) {
    let (ruleset, policy) = (ruleset(flags), Policy::default());
    bencher.bench_local(|| compile(&ruleset, &policy));
}

/// Ruleset to everything that is published: fingerprint, program, pieces of answers, definitions.
#[divan::bench(args = SIZES)]
fn prepare_content(bencher: Bencher<'_, '_>, flags: usize) {
    let (rules, profile) = (Rules::Reflag(ruleset(flags)), profile());
    bencher.bench_local(|| {
        let fingerprint = Content::fingerprint_of(&rules, &profile);
        Content::prepare(rules.clone(), fingerprint, Version::new(2), &profile)
    });
}
