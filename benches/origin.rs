//! Claim: an environment with 1,000 flags and 100,000 companies that are listed by name goes from
//! the database to everything that is published in less than a second, and evaluating it costs what
//! any environment of 1,000 flags costs.
//!
//! cargo bench --bench origin            (figures: benches/README.md)
#![allow(clippy::expect_used, reason = "a bench that cannot start should say so")]

mod profile;

use std::fmt::Write as _;

use burgee::compile::{Policy, compile};
use burgee::dialect::reflag::{Answer, Answers, Selection, definitions as features, mapping};
use burgee::evaluate::{EvaluationContext, Evaluator};
use burgee::model::{KeyClass, Rules, Ruleset, Version};
use burgee::origin::definitions;
use burgee::origin::document::{Document, apply};
use burgee::origin::model::{Actor, EnvironmentId, EnvironmentState};
use burgee::origin::store::{Store, Stored};
use burgee::snapshot::Content;
use burgee::time::{Clock, Timestamp};
use divan::Bencher;
use tokio::runtime::Runtime;

use self::profile::profile;

fn main() {
    divan::main();
}

/// How 100,000 companies are spread over 1,000 flags.
const SHAPES: [&str; 2] = ["100 for each flag", "all for one flag"];

const FLAGS: usize = 1_000;
const COMPANIES: usize = 100_000;

/// An app as a file.
fn app(shape: &str) -> String {
    let flags_with_any = if shape == SHAPES[0] { FLAGS } else { 1 };
    let each = COMPANIES / flags_with_any;
    let mut text =
        "[app]\nname = \"Bench\"\n[[environments]]\nname = \"Production\"\nproduction = true\n"
            .to_owned();
    for flag in 0..FLAGS {
        let _ = writeln!(text, "[[flags]]\nkey = \"flag-{flag}\"\nname = \"Flag {flag}\"");
    }
    for flag in 0..flags_with_any {
        let ids = (0..each).map(|n| format!("\"company-{}\"", flag * each + n));
        let ids = ids.collect::<Vec<_>>().join(",");
        let _ = writeln!(
            text,
            "[[targeting]]\nflag = \"flag-{flag}\"\nenvironment = \"Production\"\ncompanies = [{ids}]"
        );
    }
    text
}

/// A database with the app in it.
struct Origin {
    store: Store,
    environment: EnvironmentId,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Origin {
    fn new(shape: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        let store = Store::open(&folder.path().join("origin.db"), Clock::System);
        let store = store.expect("a new database opens");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let document = Document::read(&app(shape)).expect("the file is valid");
        let applied = store.write(Actor::CommandLine, move |writer| apply(writer, &document));
        let applied = runtime.block_on(applied).expect("the file is applied");
        let environment = applied.environments[0].id.clone();
        Self { store, environment, runtime, _folder: folder }
    }

    fn state(&self) -> EnvironmentState {
        let environment = self.environment.clone();
        let state = self.store.read(move |reader| reader.environment_state(&environment));
        let state: Stored<_> = self.runtime.block_on(state);
        state.expect("the database can be read")
    }

    fn ruleset(&self) -> Ruleset {
        features::read(&definitions::document(&self.state()).expect("it is short"))
            .expect("the document is valid")
    }
}

/// Database to state.
#[divan::bench(args = SHAPES)]
fn read_state(bencher: Bencher<'_, '_>, shape: &str) {
    let origin = Origin::new(shape);
    bencher.bench_local(|| origin.state());
}

/// State to features document.
#[divan::bench(args = SHAPES)]
fn write_document(bencher: Bencher<'_, '_>, shape: &str) {
    let state = Origin::new(shape).state();
    bencher.bench_local(|| definitions::document(&state));
}

/// Document to ruleset.
#[divan::bench(args = SHAPES)]
fn read_document(bencher: Bencher<'_, '_>, shape: &str) {
    let document = definitions::document(&Origin::new(shape).state()).expect("it is short");
    bencher.bench_local(|| features::read(&document));
}

/// Ruleset to program.
#[divan::bench(args = SHAPES)]
fn compile_flags(bencher: Bencher<'_, '_>, shape: &str) {
    let (ruleset, policy) = (Origin::new(shape).ruleset(), Policy::default());
    bencher.bench_local(|| compile(&ruleset, &policy));
}

/// Ruleset to everything that is published, the program among it.
#[divan::bench(args = SHAPES)]
fn prepare_content(bencher: Bencher<'_, '_>, shape: &str) {
    let (rules, profile) = (Rules::Reflag(Origin::new(shape).ruleset()), profile());
    bencher.bench_local(|| {
        let fingerprint = Content::fingerprint_of(&rules, &profile);
        Content::prepare(rules.clone(), fingerprint, Version::new(2), &profile)
    });
}

/// All of it, from the database to what is published.
#[divan::bench(args = SHAPES)]
fn database_to_content(bencher: Bencher<'_, '_>, shape: &str) {
    let (origin, profile) = (Origin::new(shape), profile());
    bencher.bench_local(|| {
        let rules = Rules::Reflag(origin.ruleset());
        let fingerprint = Content::fingerprint_of(&rules, &profile);
        Content::prepare(rules, fingerprint, Version::new(2), &profile)
    });
}

fn answer(bencher: Bencher<'_, '_>, shape: &str, selection: Selection<'_>) {
    let ruleset = Origin::new(shape).ruleset();
    let program = compile(&ruleset, &Policy::default()).program;
    let answers = Answers::prepare(&ruleset, &program, Version::new(2));
    let queries: Vec<_> =
        (0..1_024).map(|n| format!("context.company.id=company-{}", n * 97)).collect();
    let mut context = EvaluationContext::new();
    let mut next = (0..queries.len()).cycle();
    let mut answer = Answer::default();
    bencher.bench_local(|| {
        context.reset(&program);
        let query = &queries[next.next().unwrap_or(0)];
        mapping::read_query(query, &program, &mut context).expect("the query is valid");
        let mut evaluator = Evaluator::new(&program, &mut context, Timestamp(0));
        answer.body = Vec::with_capacity(answers.longest());
        answers.write(KeyClass::Publishable, selection, &mut evaluator, 1, &mut answer);
        std::mem::take(&mut answer.body)
    });
}

/// Query to body: what `GET /features/evaluated` costs without a socket.
#[divan::bench(args = SHAPES)]
fn query_to_body_1_000_flags(bencher: Bencher<'_, '_>, shape: &str) {
    answer(bencher, shape, Selection::All);
}

/// One flag of them.
#[divan::bench(args = SHAPES)]
fn query_to_body_1_flag(bencher: Bencher<'_, '_>, shape: &str) {
    answer(bencher, shape, Selection::One("flag-0"));
}
