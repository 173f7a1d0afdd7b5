//! The compiled evaluator agrees with the naive interpreter over generated rulesets and contexts, in
//! both generations, for both forms of a context; and what is written to clients says the same.
#![allow(clippy::expect_used, reason = "this is test code throughout, the lint sees only #[test]")]

mod naive;

use std::collections::BTreeSet;

use burgee::compile::{Policy, compile};
use burgee::dialect::reflag::{Answer, Answers, Selection, definitions, mapping};
use burgee::evaluate::{EvaluationContext, Evaluator, Program, RuleList};
use burgee::model::{Generation, KeyClass, Ruleset, Version};
use burgee::time::Timestamp;
use bytes::Bytes;
use naive::{FlagResult, Flat, RuleListResult, generate};
use proptest::prelude::*;
use serde_json::{Value, json};

const GENERATIONS: [(Generation, naive::Generation); 2] =
    [(Generation::V1_0, naive::Generation::V1_0), (Generation::V1_1, naive::Generation::V1_1)];

/// One generated case, compiled.
struct Case {
    ruleset: Ruleset,
    program: Program,
    answers: Answers,
    now: Timestamp,
}

impl Case {
    fn new(document: &Value, generation: Generation, now: i64) -> Self {
        let ruleset = definitions::read(&Bytes::from(document.to_string())).expect("it is valid");
        assert_eq!(ruleset.broken, []);
        let policy = Policy { generation, ..Policy::default() };
        let program = compile(&ruleset, &policy).program;
        let answers = Answers::prepare(&ruleset, &program, Version::new(7));
        Self { ruleset, program, answers, now: Timestamp(now) }
    }

    fn evaluate(&self, list: RuleList, context: &mut EvaluationContext) -> RuleListResult {
        let mut evaluator = Evaluator::new(&self.program, context, self.now);
        let outcome = evaluator.evaluate(list);
        RuleListResult {
            matched: outcome.matched.map(|index| index as usize),
            results: (0..list.len).map(|index| outcome.result(index)).collect(),
            missing: outcome
                .missing
                .iter()
                .map(|&slot| self.program.attributes.name(slot).to_owned())
                .collect(),
        }
    }

    /// What a client reads.
    fn answer(
        &self,
        class: KeyClass,
        selection: Selection<'_>,
        context: &mut EvaluationContext,
    ) -> (Value, u64) {
        let mut evaluator = Evaluator::new(&self.program, context, self.now);
        let mut answer = Answer::default();
        self.answers.write(class, selection, &mut evaluator, 1, &mut answer);
        (serde_json::from_slice(&answer.body).expect("an answer is JSON"), answer.tag)
    }

    /// Compares everything with the oracle; `fill` fills a context.
    fn check(&self, flat: &Flat, oracle: naive::Generation, fill: &dyn Fn(&mut EvaluationContext)) {
        let mut context = EvaluationContext::new();
        let fresh = |context: &mut EvaluationContext| {
            context.reset(&self.program);
            fill(context);
        };
        let mut expected = serde_json::Map::new();
        for (flag, compiled) in self.ruleset.flags.iter().zip(&self.program.flags) {
            let definition: Value = serde_json::from_str(flag.raw.get()).expect("it is JSON");
            let result = naive::evaluate_flag(&definition, flat, self.now.0, oracle);
            fresh(&mut context);
            let targeting = self.evaluate(compiled.targeting, &mut context);
            let config = compiled.config.map(|list| self.evaluate(list, &mut context));
            let ours = (targeting.matched.is_some(), &targeting, config.as_ref());
            let theirs = (result.enabled, &result.targeting, result.config.as_ref());
            assert_eq!(ours, theirs, "flag {definition}");
            expected.insert(flag.key.to_string(), entry(&definition, &result));
        }
        for class in [KeyClass::Secret, KeyClass::Publishable] {
            let visible: BTreeSet<&str> = self
                .program
                .flags
                .iter()
                .filter(|flag| class == KeyClass::Secret || flag.public)
                .map(|flag| &*flag.key)
                .collect();
            let entries = |keep: &dyn Fn(&str, &Value) -> bool| -> Value {
                let kept =
                    expected.iter().filter(|(k, v)| visible.contains(k.as_str()) && keep(k, v));
                let features: serde_json::Map<_, _> =
                    kept.map(|(k, v)| (k.clone(), v.clone())).collect();
                json!({
                    "success": true, "remoteContextUsed": false, "flagStateVersion": 7,
                    "features": features,
                })
            };
            let mut answer = |selection| {
                fresh(&mut context);
                self.answer(class, selection, &mut context)
            };
            let (all, tag) = answer(Selection::All);
            assert_eq!(all, entries(&|_, _| true));
            assert_eq!(answer(Selection::All).1, tag, "equal answers have equal tags");
            let enabled = answer(Selection::Enabled).0;
            assert_eq!(enabled, entries(&|_, entry| entry["isEnabled"] == true));
            for key in expected.keys().map(String::as_str).chain(["no-such-flag"]) {
                let one = answer(Selection::One(key)).0;
                assert_eq!(one, entries(&|k, _| k == key));
                let enabled = answer(Selection::OneEnabled(key)).0;
                assert_eq!(enabled, entries(&|k, entry| k == key && entry["isEnabled"] == true));
            }
        }
    }
}

/// The entry that the protocol page asks for (section 5).
fn entry(definition: &Value, result: &FlagResult) -> Value {
    let mut entry = json!({
        "key": definition["key"],
        "isEnabled": result.enabled,
        "targetingVersion": definition["targeting"]["version"].as_u64().unwrap_or(0),
        "ruleEvaluationResults": result.targeting.results,
        "missingContextFields": result.targeting.missing,
        "optInEnabled": false,
    });
    if let Some(config) = &result.config
        && let Some(matched) = config.matched
    {
        let variant = &definition["config"]["variants"][matched];
        entry["config"] = json!({
            "key": variant["key"],
            "version": definition["config"]["version"].as_u64().unwrap_or(0),
            "payload": variant["payload"],
            "ruleEvaluationResults": config.results,
            "missingContextFields": config.missing,
        });
    }
    entry
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contexts_in_json(
        document in generate::document(),
        context in generate::context(),
        now in generate::now(),
    ) {
        for (generation, oracle) in GENERATIONS {
            let case = Case::new(&document, generation, now);
            let flat = naive::flatten(&context, oracle);
            case.check(&flat, oracle, &|ours| {
                ours.set_json(&case.program, &context).expect("the context is within bounds");
            });
        }
    }

    #[test]
    fn contexts_in_a_query(
        document in generate::document(),
        context in generate::context(),
        now in generate::now(),
    ) {
        let pairs = generate::query(&context);
        let query: Vec<String> =
            pairs.iter().map(|(name, text)| format!("{}={}", encode(name), encode(text))).collect();
        let query = query.join("&");
        for (generation, oracle) in GENERATIONS {
            let case = Case::new(&document, generation, now);
            let flat = naive::flatten_query(&pairs);
            case.check(&flat, oracle, &|ours| {
                mapping::read_query(&query, &case.program, ours).expect("the query is valid");
            });
        }
    }

    /// Raising a rollout never takes anybody out.
    #[test]
    fn a_raised_rollout_keeps_everybody(
        salt in "[a-z]{1,80}",
        id in "\\PC{0,80}",
        thresholds in (0.0..100_001.0_f64, 0.0..100_001.0_f64),
    ) {
        let (low, high) = (thresholds.0.min(thresholds.1), thresholds.0.max(thresholds.1));
        let holds = |threshold: f64| {
            let rollout = json!({
                "type": "rolloutPercentage", "key": salt, "partialRolloutAttribute": "user.id",
                "partialRolloutThreshold": threshold,
            });
            let document = json!({"features": [
                {"key": "f", "targeting": {"version": 1, "rules": [{"filter": rollout}]}},
            ]});
            let case = Case::new(&document, Generation::V1_0, 0);
            let mut context = EvaluationContext::new();
            context.reset(&case.program);
            let text = json!({"user": {"id": id}}).to_string();
            context.set_json(&case.program, &text).expect("the context is within bounds");
            case.evaluate(case.program.flags[0].targeting, &mut context).matched.is_some()
        };
        prop_assert!(!holds(low) || holds(high));
    }
}

/// Form encoding, everything but letters and digits escaped.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
