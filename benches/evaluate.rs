//! Claims: a context of eight attributes is read, 100 flags are evaluated and the answer is written
//! with one allocation, the answer's own; loading the snapshot costs nanoseconds.
//!
//! cargo bench --bench evaluate          (figures: benches/README.md)
//!
//! The flags are `reference.json`, which `load/reflag_document.py` writes: 100 flags, 20 of them with
//! remote config, about 30 rollout hashes for each context.
#![allow(clippy::expect_used, reason = "a bench that cannot start should say so")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use burgee::compile::{Policy, compile};
use burgee::dialect::reflag::{Answer, Answers, Selection, definitions, mapping};
use burgee::evaluate::{EvaluationContext, Evaluator, Program};
use burgee::model::{KeyClass, Version};
use burgee::time::Timestamp;
use bytes::Bytes;
use divan::Bencher;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// 2026-03-15T12:00:00Z
const NOW: Timestamp = Timestamp(1_773_576_000_000);

struct Prepared {
    program: Program,
    answers: Answers,
}

fn prepared() -> Prepared {
    let document = Bytes::from_static(include_bytes!("reference.json"));
    let ruleset = definitions::read(&document).expect("the reference document is valid");
    let program = compile(&ruleset, &Policy::default()).program;
    let answers = Answers::prepare(&ruleset, &program, Version::new(412));
    Prepared { program, answers }
}

/// The queries of distinct visitors, as a browser SDK sends them.
fn queries() -> Vec<String> {
    let query = |number: u32| {
        format!(
            "context.company.id=company-{number}&context.company.plan=pro&context.company.seats={}\
             &context.other.app_version=4.{}&context.other.country=SE\
             &context.user.created_at=2021-04-07T08%3A30%3A00Z\
             &context.user.email=user-{number}%40mail4.example&context.user.id=user-{number}\
             &publishableKey=pub_bench_0123456789abcdef&reflag-sdk-version=browser-sdk%2F1.6.1",
            1 + number * 37 % 500,
            number % 10,
        )
    };
    (0..1_024).map(query).collect()
}

fn read(query: &str, program: &Program, context: &mut EvaluationContext) {
    context.reset(program);
    mapping::read_query(query, program, context).expect("the query is valid");
}

/// The context read from the query, nothing evaluated.
#[divan::bench]
fn read_context(bencher: Bencher<'_, '_>) {
    let (prepared, queries) = (prepared(), queries());
    let mut context = EvaluationContext::new();
    let mut next = (0..queries.len()).cycle();
    bencher.bench_local(|| {
        let query = &queries[next.next().unwrap_or(0)];
        read(query, &prepared.program, &mut context);
        divan::black_box(&context);
    });
}

/// All rule lists of 100 flags, nothing written.
#[divan::bench]
fn evaluate_100_flags(bencher: Bencher<'_, '_>) {
    let (prepared, queries) = (prepared(), queries());
    let mut context = EvaluationContext::new();
    let mut next = (0..queries.len()).cycle();
    let program = &prepared.program;
    bencher.bench_local(|| {
        read(&queries[next.next().unwrap_or(0)], program, &mut context);
        let mut evaluator = Evaluator::new(program, &mut context, NOW);
        evaluator.answer_all();
        let mut enabled = 0;
        for flag in &program.flags {
            enabled += u32::from(evaluator.evaluate(flag.targeting).matched.is_some());
            if let Some(config) = flag.config {
                divan::black_box(evaluator.evaluate(config).matched);
            }
        }
        enabled
    });
}

/// Query to body: what a request costs without a socket and without HTTP.
#[divan::bench]
fn query_to_body_100_flags(bencher: Bencher<'_, '_>) {
    let (prepared, queries) = (prepared(), queries());
    let mut context = EvaluationContext::new();
    let mut next = (0..queries.len()).cycle();
    let Prepared { program, answers } = &prepared;
    let mut answer = Answer::default();
    bencher.bench_local(|| {
        read(&queries[next.next().unwrap_or(0)], program, &mut context);
        let mut evaluator = Evaluator::new(program, &mut context, NOW);
        answer.body = Vec::with_capacity(answers.longest());
        answers.write(KeyClass::Publishable, Selection::All, &mut evaluator, 1, &mut answer);
        std::mem::take(&mut answer.body)
    });
}

/// One flag of the 100.
#[divan::bench]
fn query_to_body_1_flag(bencher: Bencher<'_, '_>) {
    let (prepared, queries) = (prepared(), queries());
    let mut context = EvaluationContext::new();
    let mut next = (0..queries.len()).cycle();
    let Prepared { program, answers } = &prepared;
    let key = &program.flags[42].key;
    let mut answer = Answer::default();
    bencher.bench_local(|| {
        read(&queries[next.next().unwrap_or(0)], program, &mut context);
        let mut evaluator = Evaluator::new(program, &mut context, NOW);
        answer.body = Vec::with_capacity(1_024);
        answers.write(KeyClass::Secret, Selection::One(key), &mut evaluator, 1, &mut answer);
        std::mem::take(&mut answer.body)
    });
}

/// What a request pays for rules that may change at any moment.
#[divan::bench]
fn load_snapshot(bencher: Bencher<'_, '_>) {
    let shared = ArcSwap::new(Arc::new(AtomicU64::new(7)));
    bencher.bench_local(|| shared.load().load(Ordering::Relaxed));
}
