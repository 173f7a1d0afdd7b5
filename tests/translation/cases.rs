//! Single conditions: what they become, or why they have no equal.

use std::fmt::Write;

use burgee::compile::Policy;
use burgee::model::Generation;
use serde_json::{Value, json};

use super::sides::{FlagsmithSide, ReflagSide};
use super::{of_flagsmith, of_reflag};

/// A filter in short: `&` and `|` for groups, `!` for negations.
fn filter_text(filter: &Value) -> String {
    let parts = |separator: &str| {
        let filters = filter["filters"].as_array().unwrap();
        format!("({})", filters.iter().map(filter_text).collect::<Vec<_>>().join(separator))
    };
    match filter["type"].as_str().unwrap() {
        "constant" => filter["value"].to_string(),
        // The first two of the comparisons that tell numbers.
        "group" if is_number_test(filter) => {
            format!("number({})", filter["filters"][0]["field"].as_str().unwrap())
        }
        "group" if filter["operator"] == "and" => parts(" & "),
        "group" => parts(" | "),
        "negation" => format!("!{}", filter_text(&filter["filter"])),
        _ => {
            let values: Vec<&str> =
                filter["values"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
            let (field, operator) =
                (filter["field"].as_str().unwrap(), filter["operator"].as_str().unwrap());
            let values =
                if operator == "SET" { String::new() } else { format!(" [{}]", values.join(", ")) };
            format!("{field} {operator}{values}")
        }
    }
}

fn is_number_test(filter: &Value) -> bool {
    filter["filters"].as_array().is_some_and(|filters| filters.len() > 30)
}

/// A rule in short, likewise.
fn rule_text(rule: &Value) -> String {
    let conditions = rule["conditions"].as_array().unwrap().iter().map(|condition| {
        let text = |member: &str| condition[member].as_str().unwrap().to_owned();
        let value = text("value");
        let mut written = format!("{} {}", text("property_"), text("operator"));
        if text("operator") != "IS_SET" {
            write!(written, " [{value}]").unwrap();
        }
        written
    });
    let parts: Vec<String> =
        conditions.chain(rule["rules"].as_array().unwrap().iter().map(rule_text)).collect();
    let joined = match rule["type"].as_str().unwrap() {
        "ALL" => parts.join(" & "),
        "ANY" => parts.join(" | "),
        _ => return format!("!({})", parts.join(" | ")),
    };
    if parts.len() > 1 { format!("({joined})") } else { joined }
}

/// What a condition of a segment becomes.
fn to_reflag(
    property: Option<&str>,
    operator: &str,
    value: &Value,
    generation: Generation,
) -> Result<String, String> {
    let condition = json!({"property_": property, "operator": operator, "value": value});
    let native =
        FlagsmithSide::new(of_flagsmith::single(&[condition]).to_string().as_bytes(), false);
    let (translation, reflag) = of_flagsmith::translated(&native, generation);
    if let Some(left_out) = translation.untranslated.iter().find(|u| &*u.flag == "f1") {
        return Err(left_out.reason.clone());
    }
    let mut features = reflag.document["features"].as_array().unwrap().iter();
    let rules = &features.find(|flag| flag["key"] == "f1").unwrap()["targeting"]["rules"];
    let rules: Vec<String> =
        rules.as_array().unwrap().iter().map(|rule| filter_text(&rule["filter"])).collect();
    Ok(if rules.is_empty() { "false".to_owned() } else { rules.join(" | ") })
}

/// What a trait's filter looks like: its own attribute, else the one under `other`. `X` stands for
/// the attribute.
fn of_either(filter: &str) -> String {
    let own = filter.replace('X', "user.plan");
    let other = filter.trim_matches(['(', ')']).replace('X', "other.plan");
    let other =
        if other.matches('(').count() > other.matches(')').count() { other + ")" } else { other };
    format!("(user.id SET & ({own} | (!user.plan NOT_ANY_OF [] & {other})))")
}

#[test]
fn conditions_of_segments_that_have_an_equal() {
    for (operator, value, expected) in [
        ("EQUAL", json!("gold"), "X ANY_OF [gold, true]"),
        ("EQUAL", json!("true"), "X IS [true]"),
        ("EQUAL", json!("True"), "X ANY_OF [True, true]"),
        ("EQUAL", json!("false"), "X IS [false]"),
        ("EQUAL", json!("False"), "X ANY_OF [False, false]"),
        ("EQUAL", json!(""), "X ANY_OF [, true]"),
        ("EQUAL", Value::Null, "X ANY_OF [None, true]"),
        ("EQUAL", json!("1.x:semver"), "X IS [true]"),
        ("NOT_EQUAL", json!("gold"), "(X NOT_ANY_OF [gold, true] & !number(X))"),
        ("NOT_EQUAL", json!("false"), "(X IS_NOT [false] & !number(X))"),
        ("NOT_EQUAL", json!("1.x:semver"), "X IS [false]"),
        ("IN", json!("gold,true,silver"), "X ANY_OF [gold, silver]"),
        ("IN", json!("[\"a,b\", 7.5, null]"), "X ANY_OF [a,b, None]"),
        ("IN", json!(["gold", "007"]), "X IS [gold]"),
        ("IN", json!(""), "X IS []"),
        ("CONTAINS", json!("@"), "X CONTAINS [@]"),
        ("CONTAINS", json!("中"), "X CONTAINS [中]"),
        ("CONTAINS", json!("-7"), "(X CONTAINS [-7] & X NOT_ANY_OF [true, false] & !number(X))"),
        (
            "NOT_CONTAINS",
            json!("@"),
            "(X NOT_CONTAINS [@] & X NOT_ANY_OF [true, false] & !number(X))",
        ),
        ("IS_SET", json!(null), "X NOT_ANY_OF []"),
        ("IS_SET", json!(["a"]), "X NOT_ANY_OF []"),
        ("PERCENTAGE_SPLIT", json!("100"), "X NOT_ANY_OF []"),
    ] {
        let became = to_reflag(Some("plan"), operator, &value, Generation::V1_0);
        assert_eq!(became, Ok(of_either(expected)), "{operator} {value}");
    }
    let not_set = "(user.id SET & !(user.plan NOT_ANY_OF [] | (!user.plan NOT_ANY_OF [] & other.plan NOT_ANY_OF [])))";
    for (property, operator, value, expected) in [
        (Some("plan"), "IS_NOT_SET", "", not_set),
        (Some("plan"), "IN", "5.0,007,true", "false"),
        (Some("plan"), "NOT_CONTAINS", "", "false"),
        (Some("plan"), "REGEX", "[", "false"),
        (Some("plan"), "MODULO", "2", "false"),
        (Some("plan"), "MODULO", "0|0", "false"),
        (Some("plan"), "RHYMES_WITH", "old", "false"),
        (Some("plan"), "PERCENTAGE_SPLIT", "-1", "false"),
        (None, "PERCENTAGE_SPLIT", "100", "user.id SET"),
        (Some(""), "PERCENTAGE_SPLIT", "x", "false"),
        (None, "EQUAL", "gold", "false"),
        (None, "IS_NOT_SET", "", "user.id SET"),
        (Some("$.no path"), "IS_SET", "", "false"),
        (Some("$.identity.identifier"), "EQUAL", "true", "(user.id SET & user.id IS [true])"),
        (
            Some("$.identity.identifier"),
            "IN",
            "u-1,u-2",
            "(user.id SET & user.id ANY_OF [u-1, u-2])",
        ),
        (
            Some("$.identity.identifier"),
            "NOT_EQUAL",
            "u-1",
            "(user.id SET & user.id IS_NOT [u-1] & !number(user.id))",
        ),
        (Some("$.identity.identifier"), "IS_SET", "", "user.id SET"),
        (Some("$.identity.key"), "EQUAL", "env_u-1", "(user.id SET & user.id IS [u-1])"),
        (Some("$.identity.key"), "EQUAL", "other_u-1", "false"),
        (Some("$.environment.name"), "REGEX", "go", "user.id SET"),
        (Some("$.environment.name"), "LESS_THAN", "a", "false"),
        (Some("$.flags.f0.value"), "EQUAL", "gold", "user.id SET"),
        (Some("$.flags.nowhere.enabled"), "IS_SET", "", "false"),
    ] {
        let became = to_reflag(property, operator, &json!(value), Generation::V1_0);
        assert_eq!(became.as_deref(), Ok(expected), "{property:?} {operator} {value}");
    }
    let company = to_reflag(Some("company.id"), "EQUAL", &json!("true"), Generation::V1_0).unwrap();
    assert_eq!(
        company,
        "(user.id SET & (user.company.id IS [true] \
         | (!user.company.id NOT_ANY_OF [] & company.id IS [true]) \
         | (!user.company.id NOT_ANY_OF [] & !company.id NOT_ANY_OF [] & other.company.id IS [true])))"
    );
}

#[test]
fn conditions_of_segments_that_have_none() {
    let number = "one number";
    for (property, operator, value, reason) in [
        ("plan", "EQUAL", "7", number),
        ("plan", "EQUAL", " 7", number),
        ("plan", "EQUAL", "inf", number),
        ("plan", "NOT_EQUAL", "7.0", number),
        ("plan", "NOT_EQUAL", "nan", number),
        ("plan", "IN", "gold,7", number),
        ("plan", "EQUAL", "1.2.3:semver", "semantic versions"),
        ("plan", "CONTAINS", "gold", "capital letters"),
        ("plan", "NOT_CONTAINS", "Gold", "capital letters"),
        ("plan", "CONTAINS", "\u{307}", "capital letters"),
        ("plan", "REGEX", "g.*", "regular expressions"),
        ("plan", "MODULO", "2|1", "remainders"),
        ("plan", "PERCENTAGE_SPLIT", "50", "MD5"),
        ("plan", "PERCENTAGE_SPLIT", "0", "MD5"),
        ("plan", "GREATER_THAN", "18", "orders"),
        ("plan", "LESS_THAN_INCLUSIVE", "gold", "orders"),
        ("id", "EQUAL", "gold", "`user.id` is the identifier"),
        ("", "EQUAL", "gold", "without a name"),
        ("constructor.x", "EQUAL", "gold", "do not send"),
        ("$.identity.key", "CONTAINS", "-", "equality and membership"),
        ("$.identity.traits[?@ == 'gold']", "IS_SET", "", "searched for"),
        ("$.segments", "IS_SET", "", "own document"),
        ("$.flags.f0.reason", "EQUAL", "DEFAULT", "reasons"),
    ] {
        let refused =
            to_reflag(Some(property), operator, &json!(value), Generation::V1_0).unwrap_err();
        let place =
            format!("segment `s1`, `{}`: ", format!("{property} {operator} {value}").trim());
        assert!(refused.starts_with(&place), "{refused}");
        assert!(refused.contains(reason), "{refused}");
    }
    let typed = to_reflag(Some("plan"), "EQUAL", &json!("gold"), Generation::V1_1).unwrap_err();
    assert!(typed.contains("generation 1.1"), "{typed}");
}

/// What a filter becomes: the rule of the only segment, `true` or `false`.
fn to_flagsmith(filter: &Value, generation: Generation) -> Result<String, String> {
    let flag = json!({"key": "f", "targeting": {"version": 1, "rules": [{"filter": filter}]}});
    let document = json!({"features": [flag]});
    let policy = Policy { generation, ..Policy::default() };
    let native = ReflagSide::new(document.to_string().as_bytes(), policy);
    let (translation, flagsmith) = of_reflag::translated(&native);
    if let [left_out] = translation.untranslated.as_slice() {
        return Err(left_out.reason.clone());
    }
    let document = &flagsmith.document;
    match document["project"]["segments"].as_array().unwrap().as_slice() {
        [] => Ok(document["feature_states"][0]["enabled"].to_string()),
        [segment, ..] => Ok(rule_text(&segment["rules"][0])),
    }
}

fn condition(field: &str, operator: &str, values: &[&str]) -> Value {
    json!({"type": "context", "field": field, "operator": operator, "values": values})
}

fn rollout(field: &str, threshold: f64) -> Value {
    json!({
        "type": "rolloutPercentage", "key": "k", "partialRolloutAttribute": field,
        "partialRolloutThreshold": threshold,
    })
}

#[test]
fn filters_that_have_an_equal() {
    let company = "(company.id IN [acme] \
         | (company_id IN [acme] & !(company.id IS_SET)) \
         | (companyId IN [acme] & !(company.id IS_SET) & !(company_id IS_SET)))";
    for (filter, expected) in [
        (condition("user.plan", "IS", &["gold"]), "plan IN [gold]"),
        (condition("user.plan", "IS", &["true"]), "plan EQUAL [true]"),
        (condition("user.plan", "IS", &[]), "false"),
        (condition("user.plan", "IS_NOT", &["gold"]), "(plan IS_SET & !(plan IN [gold]))"),
        (condition("user.plan", "IS_NOT", &[]), "plan IS_SET"),
        (
            condition("user.plan", "ANY_OF", &["gold", "true", "False"]),
            "(plan IN [gold,False] | plan EQUAL [true])",
        ),
        (condition("user.plan", "ANY_OF", &["a,b", "c"]), r#"plan IN [["a,b","c"]]"#),
        (condition("user.plan", "ANY_OF", &["[x"]), r#"plan IN [["[x"]]"#),
        (
            condition("user.plan", "NOT_ANY_OF", &["gold", "x"]),
            "(plan IS_SET & !(plan IN [gold,x]))",
        ),
        (condition("user.plan", "IS", &[""]), r"(plan IS_SET & !(plan REGEX [[\s\S]]))"),
        (condition("user.plan", "IS_TRUE", &[]), "plan EQUAL [true]"),
        (condition("user.plan", "IS_FALSE", &["x"]), "plan EQUAL [false]"),
        (condition("user.plan", "SET", &[]), r"plan REGEX [[\s\S]]"),
        (condition("user.plan", "NOT_SET", &[]), r"!(plan REGEX [[\s\S]])"),
        (condition("user.plan", "CONTAINS", &["Ki"]), "plan REGEX [[\\s\\S]*[kK\u{212a}][iIİ]]"),
        (condition("user.plan", "CONTAINS", &["i@^"]), r"plan REGEX [[\s\S]*[iI][@][\^]]"),
        (condition("user.plan", "CONTAINS", &["𐐀中"]), r"plan REGEX [[\s\S]*(?:𐐨|𐐀)中]"),
        (condition("user.plan", "CONTAINS", &[""]), "plan IS_SET"),
        (
            condition("user.plan", "NOT_CONTAINS", &["x"]),
            r"(plan IS_SET & !(plan REGEX [[\s\S]*[xX]]))",
        ),
        (condition("user.plan", "NOT_CONTAINS", &[""]), "false"),
        (condition("user.plan", "GT", &["x"]), "false"),
        (condition("user.plan", "LT", &["-Infinity"]), "false"),
        (condition("user.plan", "BEFORE", &["soon"]), "false"),
        (condition("user.plan", "DATE_AFTER", &["never"]), "false"),
        (condition("user.plan", "RHYMES_WITH", &["old"]), "false"),
        (condition("company.id", "IS", &["acme"]), company),
        (condition("other.region", "IS", &["eu"]), "other.region IN [eu]"),
        (condition("user.id", "ANY_OF", &["u-1", "true"]), "$.identity.identifier IN [u-1,true]"),
        (condition("user.id", "IS_NOT", &["u-1"]), "!($.identity.identifier IN [u-1])"),
        // Nobody in particular has it off, identities have it on, and the other way round.
        (condition("user.id", "SET", &[]), "$.identity.identifier IS_SET"),
        (condition("user.id", "NOT_SET", &[]), "$.identity.identifier IS_SET"),
        (condition("plan", "SET", &[]), "false"),
        (condition("plan", "NOT_SET", &[]), "true"),
        (condition("7.x", "IS", &["7"]), "false"),
        (rollout("user.id", 0.0), "false"),
        (rollout("user.id", 100_001.0), "$.identity.identifier IS_SET"),
        (rollout("user.plan", 100_000.5), "plan IS_SET"),
        (json!({"type": "segment"}), "false"),
        (json!({"type": "constant", "value": true}), "true"),
        (
            json!({"type": "negation", "filter": condition("user.plan", "IS", &["x"])}),
            "!(plan IN [x])",
        ),
        // What cannot be said does not matter here.
        (
            json!({"type": "group", "operator": "and", "filters": [
                condition("user.age", "GT", &["18"]), {"type": "constant", "value": false},
            ]}),
            "false",
        ),
    ] {
        let became = to_flagsmith(&filter, Generation::V1_0);
        assert_eq!(became.as_deref(), Ok(expected), "{filter}");
    }
    // A rule that meets a missing attribute is given up.
    let negation = json!({"type": "negation", "filter": condition("user.plan", "IS", &["x"])});
    let became = to_flagsmith(&negation, Generation::V1_1).unwrap();
    assert_eq!(became, "(plan IS_SET & !(plan IN [x]))");
}

#[test]
fn filters_that_have_none() {
    for (filter, place, reason) in [
        (condition("user.plan", "IS", &["7"]), "`user.plan IS 7`", "three texts"),
        (condition("user.plan", "IS", &["007"]), "`user.plan IS 007`", "three texts"),
        (
            condition("user.plan", "ANY_OF", &["x", "1e+21"]),
            "`user.plan ANY_OF x, 1e+21`",
            "three texts",
        ),
        (condition("user.id", "IS", &["42"]), "`user.id IS 42`", "three texts"),
        (condition("user.plan", "CONTAINS", &["7"]), "`user.plan CONTAINS 7`", "as it prints them"),
        (
            condition("user.plan", "NOT_CONTAINS", &["Nin"]),
            "`user.plan NOT_CONTAINS Nin`",
            "as it prints them",
        ),
        (condition("user.plan", "CONTAINS", &["ΟΔΟΣ"]), "`user.plan CONTAINS ΟΔΟΣ`", "several"),
        (condition("user.age", "GT", &["18"]), "`user.age GT 18`", "plain decimals"),
        (condition("user.since", "AFTER", &["30"]), "`user.since AFTER 30`", "no time"),
        (
            condition("user.since", "DATE_BEFORE", &["2026"]),
            "`user.since DATE_BEFORE 2026`",
            "no dates",
        ),
        (rollout("user.id", 100_000.0), "the rollout by `user.id`", "one value in a million"),
        (rollout("company.id", 25_000.0), "the rollout by `company.id`", "SHA-256"),
        (
            condition("user.company.plan", "SET", &[]),
            "`user.company.plan`",
            "not one of the user's",
        ),
        (condition("user.", "SET", &[]), "`user.`", "more than one attribute"),
        (condition("user.$.x", "SET", &[]), "`user.$.x`", "as a path"),
        (condition("user.toString", "SET", &[]), "`user.toString`", "always set"),
    ] {
        let refused = to_flagsmith(&filter, Generation::V1_0).unwrap_err();
        assert!(refused.starts_with(&format!("{place}: ")), "{refused}");
        assert!(refused.contains(reason), "{refused}");
    }
}
