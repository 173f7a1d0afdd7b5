//! Single conditions and small environments, from document to outcome.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Compiled, Policy, compile};
use crate::dialect::flagsmith::document;
use crate::evaluate::flagsmith::{EvaluationContext, Program, Scalar, evaluate};

fn compiled(document: &Value, policy: Policy) -> Compiled {
    let environment = document::read(&Bytes::from(document.to_string())).unwrap();
    assert_eq!(environment.broken, []);
    compile(&environment, &policy)
}

fn state(name: &str, id: i64, value: &str) -> Value {
    json!({
        "feature": {"id": id, "name": name, "type": "STANDARD"}, "enabled": true,
        "feature_state_value": value, "django_id": id,
    })
}

/// A segment of one condition.
fn segment(id: i64, condition: &Value) -> Value {
    json!({"id": id, "name": format!("s{id}"), "rules": [{"type": "ALL", "conditions": [condition]}]})
}

fn document(features: &[Value], segments: &[Value]) -> Value {
    json!({
        "api_key": "env", "name": "Production", "feature_states": features,
        "project": {"segments": segments},
    })
}

fn fill(
    program: &Program,
    context: &mut EvaluationContext,
    identifier: Option<&str>,
    traits: &Value,
) {
    context.reset(program);
    if let Some(identifier) = identifier {
        context.set_identity(program, identifier);
    }
    for (name, value) in traits.as_object().unwrap() {
        let text = value.to_string();
        let scalar = match value {
            Value::Null => Scalar::Null,
            Value::Bool(value) => Scalar::Bool(*value),
            Value::String(text) => Scalar::Text(text),
            _ => Scalar::Number(&text),
        };
        context.set_trait(program, name, scalar);
    }
}

/// What every feature comes to: value and reason.
fn outcomes(program: &Program, identifier: Option<&str>, traits: &Value) -> Vec<(String, String)> {
    let mut context = EvaluationContext::new();
    fill(program, &mut context, identifier, traits);
    let evaluation = evaluate(program, &mut context);
    let outcomes = evaluation.outcomes().iter().map(|&index| program.outcome(index));
    outcomes.map(|o| (o.value.get().to_owned(), o.reason.to_string())).collect()
}

fn holds(operator: &str, operand: &Value, value: &Value) -> bool {
    let condition = json!({"property_": "t", "operator": operator, "value": operand});
    let program = compiled(&document(&[], &[segment(1, &condition)]), Policy::default()).program;
    let mut context = EvaluationContext::new();
    fill(&program, &mut context, Some("i"), &json!({"t": value}));
    evaluate(&program, &mut context).segments().count() == 1
}

#[test]
fn the_observed_table_of_the_protocol_page() {
    for (value, operator, operand, expected) in [
        (json!("007"), "EQUAL", json!("7"), true),
        (json!(5), "EQUAL", json!("5.0"), false),
        (json!(5), "NOT_EQUAL", json!("5.0"), false),
        (json!(5.0), "EQUAL", json!("5"), true),
        (json!(true), "EQUAL", json!(""), true),
        (json!(-3), "MODULO", json!("2|1"), true),
        (json!(true), "MODULO", json!("2|1"), true),
        (json!(5.0), "IN", json!("5,5.0"), false),
        (json!(true), "IN", json!("True"), false),
        (json!("xab"), "REGEX", json!("ab"), false),
        (json!("1.2.3"), "EQUAL", json!("1.2.3+b:semver"), true),
        (json!("12345"), "CONTAINS", json!("23"), false),
        (json!("None"), "EQUAL", json!(null), true),
    ] {
        assert_eq!(holds(operator, &operand, &value), expected, "{value} {operator} {operand}");
    }
}

#[test]
fn operators_and_their_coercions() {
    for (value, operator, operand, expected) in [
        (json!("a"), "EQUAL", json!("a"), true),
        (json!("a"), "NOT_EQUAL", json!("b"), true),
        (json!(null), "NOT_EQUAL", json!("b"), false),
        (json!(null), "IS_NOT_SET", json!(""), true),
        (json!(""), "IS_SET", json!(""), true),
        (json!(""), "IS_SET", json!(["a"]), true),
        (json!(null), "IS_SET", json!([]), false),
        (json!(null), "IS_NOT_SET", json!([]), true),
        (json!("1e5"), "EQUAL", json!("100000"), false),
        (json!(1e5), "EQUAL", json!("100000"), true),
        (json!("-0"), "EQUAL", json!("0"), true),
        (json!("-0.0"), "EQUAL", json!("0"), true),
        (json!(7), "EQUAL", json!(" +7 "), true),
        (json!(1000), "EQUAL", json!("1_000"), true),
        (
            json!("123456789012345678901234567890"),
            "EQUAL",
            json!("0123456789012345678901234567890"),
            true,
        ),
        (json!("123456789012345678901234567890"), "GREATER_THAN", json!("5"), true),
        (json!("-123456789012345678901234567890"), "GREATER_THAN", json!("5"), false),
        (json!(5), "GREATER_THAN", json!("x"), false),
        (json!(5), "LESS_THAN", json!("x"), false),
        (json!(2.5), "LESS_THAN_INCLUSIVE", json!("inf"), true),
        (json!(2.5), "NOT_EQUAL", json!("nan"), true),
        (json!(2.5), "EQUAL", json!("nan"), false),
        (json!(false), "EQUAL", json!("false"), true),
        (json!(false), "EQUAL", json!("FALSE"), false),
        (json!(true), "EQUAL", json!("0"), true),
        (json!(false), "LESS_THAN", json!("true"), true),
        (json!("b"), "GREATER_THAN", json!("a"), true),
        (json!("Z"), "LESS_THAN", json!("a"), true),
        (json!("1.10.0"), "GREATER_THAN", json!("1.9.0:semver"), true),
        (json!("1.2"), "GREATER_THAN", json!("1.0.0:semver"), false),
        (json!("1.2.x"), "NOT_EQUAL", json!("1.0.0:semver"), false),
        (json!("1.2.3"), "NOT_EQUAL", json!("1.0.0:semver"), true),
        (json!("abc"), "CONTAINS", json!(""), true),
        (json!(123), "NOT_CONTAINS", json!("x"), false),
        (json!("abc"), "NOT_CONTAINS", json!("x"), true),
        (json!("a b"), "IN", json!("a b,c"), true),
        (json!("b"), "IN", json!("a, b"), false),
        (json!(5), "IN", json!("[5]"), true),
        (json!("5"), "IN", json!(["5"]), true),
        (json!(7), "IN", json!("007"), false),
        (json!("True"), "IN", json!("[true]"), true),
        (json!("None"), "IN", json!("[null]"), true),
        (json!("[a"), "IN", json!("[a,b"), true),
        (json!(""), "IN", json!(""), true),
        (json!("x"), "IN", json!(null), false),
        (json!(7), "MODULO", json!("4|3"), true),
        (json!(7), "MODULO", json!("0|0"), false),
        (json!(7), "MODULO", json!("4|3|1"), false),
        (json!(3.5), "MODULO", json!("2|1.5"), true),
        (json!(-7), "MODULO", json!("-4|-3"), true),
        (json!("7x"), "MODULO", json!("4|3"), false),
        (json!(true), "REGEX", json!("T"), true),
        (json!("007"), "REGEX", json!("7$"), true),
        (json!(21.50), "REGEX", json!(r"21\.5$"), true),
        (json!("x"), "REGEX", json!("["), false),
        (json!("x"), "SOUNDS_LIKE", json!("x"), false),
        (json!("x"), "PERCENTAGE_SPLIT", json!("100"), true),
        (json!("x"), "PERCENTAGE_SPLIT", json!("many"), false),
        (json!(null), "PERCENTAGE_SPLIT", json!("100"), false),
    ] {
        assert_eq!(holds(operator, &operand, &value), expected, "{value} {operator} {operand}");
    }
}

#[test]
fn halves_of_rules_are_joined_alike_and_empty_ones_hold() {
    let yes = json!({"property_": "t", "operator": "EQUAL", "value": "1"});
    let no = json!({"property_": "t", "operator": "EQUAL", "value": "2"});
    let rule = |kind: &str, conditions: &[&Value], rules: &[Value]| json!({"type": kind, "conditions": conditions, "rules": rules});
    for (rules, expected) in [
        (json!([]), false),
        (json!([rule("NONE", &[], &[])]), true),
        (json!([rule("ALL", &[&yes, &no], &[])]), false),
        (json!([rule("ANY", &[&yes, &no], &[])]), true),
        (json!([rule("NONE", &[&yes, &no], &[])]), false),
        (json!([rule("NONE", &[&no], &[])]), true),
        (json!([rule("ANY", &[&yes], &[rule("ALL", &[&no], &[])])]), false),
        (json!([rule("NONE", &[&no], &[rule("ALL", &[&no], &[])])]), true),
        (json!([rule("NONE", &[], &[rule("NONE", &[&no], &[])])]), false),
        (json!([rule("ALL", &[&yes], &[]), rule("ANY", &[&no], &[])]), false),
    ] {
        let segments = [json!({"id": 1, "name": "s", "rules": rules})];
        let program = compiled(&document(&[], &segments), Policy::default()).program;
        let mut context = EvaluationContext::new();
        fill(&program, &mut context, Some("i"), &json!({"t": 1}));
        let member = evaluate(&program, &mut context).segments().count() == 1;
        assert_eq!(member, expected, "{rules}");
    }
}

#[test]
fn paths_point_into_the_context_and_traits_of_their_name_come_first() {
    let equal =
        |path: &str, value: &str| json!({"property_": path, "operator": "EQUAL", "value": value});
    let cases = [
        ("$.identity.identifier", "anna", true),
        ("$.identity.key", "env_anna", true),
        ("$.identity.traits.plan", "gold", true),
        ("$.identity.traits['home town']", "Ås", true),
        ("$['identity'][\"traits\"]['plan']", "gold", false),
        ("$.environment.name", "Production", true),
        ("$.environment.key", "env", true),
        ("$.environment.region", "None", false),
        ("$.features.f.value", "v", true),
        ("$.features.f.metadata.id", "5", true),
        ("$.identity", "anna", false),
        ("$.spoofed", "x", true),
        ("$.identity.traits[?@ == 'gold']", "gold", true),
        ("$..plan", "gold", true),
        ("$.no path", "x", false),
    ];
    let segments: Vec<Value> = cases
        .iter()
        .zip(0..)
        .map(|((path, value, _), id)| segment(id, &equal(path, value)))
        .collect();
    let program = compiled(&document(&[state("f", 5, "v")], &segments), Policy::default()).program;
    let mut context = EvaluationContext::new();
    let traits = json!({"plan": "gold", "home town": "Ås", "$.spoofed": "x"});
    for _ in 0..2 {
        fill(&program, &mut context, Some("anna"), &traits);
        let members: Vec<u32> = evaluate(&program, &mut context).segments().map(|s| s.0).collect();
        let expected: Vec<u32> =
            cases.iter().zip(0..).filter(|((_, _, holds), _)| *holds).map(|(_, id)| id).collect();
        assert_eq!(members, expected);
    }
}

/// `plan` is `gold`: everybody is in, with a priority or none.
fn overriding(id: i64, value: &str, priority: &Value) -> Value {
    let mut segment =
        segment(id, &json!({"property_": "plan", "operator": "EQUAL", "value": "gold"}));
    let mut overriding = state("f", 5, value);
    overriding["feature_segment"] = json!({"priority": priority});
    segment["feature_states"] = json!([overriding]);
    segment
}

#[test]
fn the_strongest_override_wins_and_the_identitys_own_before_all() {
    let gold = json!({"plan": "gold"});
    for (priorities, winner) in [
        ([json!(2), json!(1), json!(null)], "b"),
        ([json!(1), json!(1), json!(2)], "a"),
        ([json!(null), json!(null), json!(7)], "c"),
        ([json!(null), json!(null), json!(null)], "a"),
    ] {
        let segments: Vec<Value> = priorities
            .iter()
            .zip(["a", "b", "c"])
            .zip(1..)
            .map(|((priority, value), id)| overriding(id, value, priority))
            .collect();
        let mut document = document(&[state("f", 5, "v")], &segments);
        document["identity_overrides"] = json!([
            {"identifier": "007", "identity_features": [state("f", 5, "mine"), state("gone", 6, "x")]},
        ]);
        let program = compiled(&document, Policy::default()).program;
        let value = |identifier: &str, traits: &Value| {
            outcomes(&program, Some(identifier), traits)[0].clone()
        };
        assert_eq!(value("i", &gold).0, format!("\"{winner}\""));
        assert_eq!(value("i", &json!({})), ("\"v\"".to_owned(), "DEFAULT".to_owned()));
        let own = "TARGETING_MATCH; segment=identity_overrides";
        assert_eq!(value("007", &gold), ("\"mine\"".to_owned(), own.to_owned()));
        assert_eq!(value("7", &gold).0, format!("\"{winner}\""), "compared as exact text");
        let nobody = outcomes(&program, None, &gold);
        assert_eq!(nobody[0].0, "\"v\"", "no segments without an identity");
    }
}

#[test]
fn segments_apply_without_an_identity_where_asked_for() {
    let mut segment =
        segment(1, &json!({"property_": "plan", "operator": "IS_NOT_SET", "value": ""}));
    segment["feature_states"] = json!([state("f", 5, "new")]);
    let document = document(&[state("f", 5, "v")], &[segment]);
    for (segments_without_identity, value) in [(false, "\"v\""), (true, "\"new\"")] {
        let policy = Policy { segments_without_identity, ..Policy::default() };
        let program = compiled(&document, policy).program;
        assert_eq!(outcomes(&program, None, &json!({}))[0].0, value);
    }
}

#[test]
fn static_is_said_where_asked_for() {
    let segments = [overriding(1, "x", &json!(1))];
    let document = document(&[state("f", 5, "v"), state("g", 6, "v")], &segments);
    let policy = Policy { static_reason: true, ..Policy::default() };
    let program = compiled(&document, policy).program;
    let reasons: Vec<String> =
        outcomes(&program, Some("i"), &json!({})).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["DEFAULT", "STATIC"]);
}

/// A segment that asks for a flag and overrides another.
fn depending(id: i64, on: &str, value: &str, feature: &Value) -> Value {
    let path = format!("$.flags.{on}.value");
    let mut segment = segment(id, &json!({"property_": path, "operator": "EQUAL", "value": value}));
    segment["feature_states"] = json!([feature]);
    segment
}

#[test]
fn flags_may_depend_on_flags() {
    let features = [state("c", 3, "off"), state("b", 2, "off"), state("f", 5, "off")];
    let segments = [
        depending(10, "b", "on", &state("c", 3, "on")),
        depending(11, "f", "on", &state("b", 2, "on")),
        overriding(12, "on", &json!(1)),
    ];
    let program = compiled(&document(&features, &segments), Policy::default()).program;
    let values = |traits: &Value| -> Vec<String> {
        outcomes(&program, Some("i"), traits).into_iter().map(|(value, _)| value).collect()
    };
    assert_eq!(values(&json!({"plan": "gold"})), ["\"on\"", "\"on\"", "\"on\""]);
    assert_eq!(values(&json!({})), ["\"off\"", "\"off\"", "\"off\""]);
}

#[test]
fn flags_on_a_circle_stay_on_their_defaults() {
    let features = [state("a", 1, "off"), state("b", 2, "off"), state("c", 3, "off")];
    let segments = [
        depending(10, "b", "off", &state("a", 1, "on")),
        depending(11, "a", "off", &state("b", 2, "on")),
        depending(12, "a", "off", &state("c", 3, "on")),
    ];
    let program = compiled(&document(&features, &segments), Policy::default()).program;
    let circular = "ERROR; code=CIRCULAR_DEPENDENCY".to_owned();
    let off = "\"off\"".to_owned();
    assert_eq!(
        outcomes(&program, Some("i"), &json!({})),
        [(off.clone(), circular.clone()), (off.clone(), circular), (off, "DEFAULT".to_owned()),]
    );
}

#[test]
fn a_long_chain_of_flags_is_cut_and_not_followed_down() {
    let features: Vec<Value> = (0..2_000).map(|i| state(&format!("f{i}"), i, "off")).collect();
    let segments: Vec<Value> = (1..2_000)
        .map(|i| depending(i, &format!("f{}", i - 1), "off", &state(&format!("f{i}"), i, "off")))
        .collect();
    let program = compiled(&document(&features, &segments), Policy::default()).program;
    assert_eq!(outcomes(&program, Some("i"), &json!({})).len(), 2_000);
}

#[test]
fn what_publishable_keys_see_is_decided_for_each_outcome() {
    let mut off = state("off", 1, "v");
    off["enabled"] = json!(false);
    let mut document = document(&[off, state("on", 2, "v"), state("server", 3, "v")], &[]);
    document["project"]["server_key_only_feature_ids"] = json!([3]);
    let visible = |document: &Value| -> Vec<bool> {
        let program = compiled(document, Policy::default()).program;
        program
            .features()
            .map(|(f, _)| program.outcome(program.default_outcomes(false)[f.0 as usize]).is_public)
            .collect()
    };
    assert_eq!(visible(&document), [true, true, false]);
    document["hide_disabled_flags"] = json!(true);
    assert_eq!(visible(&document), [false, true, false]);
}

#[test]
fn variants_are_drawn_by_the_states_own_key() {
    let mut feature = state("f", 1, "control");
    feature["multivariate_feature_state_values"] = json!([
        {"id": 9, "percentage_allocation": 10.0, "multivariate_feature_option": {"value": "late"}},
        {"id": 4, "percentage_allocation": 84.0, "multivariate_feature_option": {"value": "early", "key": "k"}},
    ]);
    let program = compiled(&document(&[feature], &[]), Policy::default()).program;
    let mut context = EvaluationContext::new();
    let mut draw = |key: &str| {
        fill(&program, &mut context, Some("x"), &json!({}));
        context.set_identity_key(key);
        let outcome = program.outcome(evaluate(&program, &mut context).outcomes()[0]);
        (outcome.value.get().to_owned(), outcome.variant.clone(), outcome.reason.to_string())
    };
    // 84.98 and 67.37, by the check values of the protocol page.
    assert_eq!(draw("1"), ("\"late\"".to_owned(), None, "SPLIT; weight=10.0".to_owned()));
    let early = ("\"early\"".to_owned(), Some("k".into()), "SPLIT; weight=84.0".to_owned());
    assert_eq!(draw("user-18120"), early);
    let control =
        (0..1_000).map(|n| draw(&n.to_string())).find(|(value, ..)| value == "\"control\"");
    let (_, variant, reason) = control.unwrap();
    assert_eq!((variant.as_deref(), reason.as_str()), (Some("control"), "DEFAULT"));
    assert_eq!(outcomes(&program, None, &json!({}))[0].0, "\"control\"");
}

#[test]
fn a_warm_context_allocates_nothing() {
    let segments = [
        overriding(1, "x", &json!(1)),
        segment(2, &json!({"property_": "v", "operator": "LESS_THAN", "value": "2.0.0:semver"})),
        segment(3, &json!({"property_": "", "operator": "PERCENTAGE_SPLIT", "value": "50"})),
        segment(4, &json!({"property_": "n", "operator": "REGEX", "value": r"2\.5"})),
        segment(
            5,
            &json!({"property_": "$.identity.identifier", "operator": "IN", "value": "i,j"}),
        ),
        segment(6, &json!({"property_": "v", "operator": "REGEX", "value": r"(\d)\.\1(?=x)"})),
    ];
    let program = compiled(&document(&[state("f", 5, "v")], &segments), Policy::default()).program;
    let mut context = EvaluationContext::new();
    let mut run = || {
        context.reset(&program);
        context.set_identity(&program, "i");
        context.set_trait(&program, "plan", Scalar::Text("gold"));
        context.set_trait(&program, "v", Scalar::Text("1.1.0"));
        context.set_trait(&program, "n", Scalar::Number("2.50"));
        evaluate(&program, &mut context).outcomes().len()
    };
    run();
    let counted = allocation_counter::measure(|| assert_eq!(run(), 1));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn hostile_text_costs_no_more_than_the_budget() {
    let pattern = |pattern: &str| json!({"property_": "t", "operator": "REGEX", "value": pattern});
    let segments: Vec<Value> =
        (0..50).map(|id| segment(id, &pattern(&format!("(a+)+{id}(?=x)$")))).collect();
    let program = compiled(&document(&[], &segments), Policy::default()).program;
    let mut context = EvaluationContext::new();
    fill(&program, &mut context, Some("i"), &json!({"t": "a".repeat(2_000)}));
    let evaluation = evaluate(&program, &mut context);
    assert_eq!((evaluation.segments().count(), evaluation.given_up()), (0, 50));
    let odd = compiled(&document(&[], &[segment(1, &pattern("["))]), Policy::default());
    assert_eq!(odd.diagnostics.len(), 1);
}

#[test]
fn searches_by_paths_cost_no_more_than_the_budget() {
    let is_set = |path: &str| json!({"property_": path, "operator": "IS_SET", "value": ""});
    let features: Vec<Value> = (1..=100).map(|id| state(&format!("f{id}"), id, "v")).collect();
    let segments = [
        segment(1, &is_set("$.identity.traits[?@ == 'gold']")),
        segment(2, &is_set("$..[?count($..[?count($..*)>0])>1000]")),
        segment(3, &is_set("$.features[?@.name == 'f7'].value")),
        segment(4, &is_set("$.*[?match(@.name, $.environment.name)]")),
    ];
    let compiled = compiled(&document(&features, &segments), Policy::default());
    // Three are searched for anew each time, one cannot be.
    assert_eq!(compiled.diagnostics.len(), 4, "{:?}", compiled.diagnostics);
    let mut context = EvaluationContext::new();
    fill(&compiled.program, &mut context, Some("i"), &json!({"plan": "gold"}));
    let evaluation = evaluate(&compiled.program, &mut context);
    let matching: Vec<_> = evaluation.segments().map(|segment| segment.0).collect();
    // The second took all steps, and with them the third's.
    assert_eq!((matching, evaluation.given_up()), (vec![0], 2));
}
