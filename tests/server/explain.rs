//! `POST /explain`: why a flag is off for that company.

use serde_json::{Value, json};

use crate::support::rules::{constant, context, document, flag, is, on, when};
use crate::support::wire::Reply;
use crate::support::{Edge, Environment, Setup};

/// 25 % of all companies.
fn rollout() -> Value {
    json!({
        "type": "rolloutPercentage", "key": "faster-search",
        "partialRolloutAttribute": "company.id", "partialRolloutThreshold": 25_000,
    })
}

fn edge() -> Edge {
    let mut search = flag(
        "faster-search",
        &[
            json!({"type": "group", "operator": "and", "filters": [
                context("company.plan", "ANY_OF", &["pro", "max"]),
                {"type": "negation", "filter": is("company.country", "US")},
            ]}),
            rollout(),
        ],
    );
    search["config"] = json!({"version": 2, "variants": [
        {"key": "large", "payload": {"n": 20}, "filter": is("user.id", "ada")},
        {"key": "small", "payload": 5, "filter": constant(true)},
    ]});
    let flags = [
        search,
        when("settled", &context("company.since", "BEFORE", &["7"])),
        on("hidden"),
        flag("shut", &[]),
    ];
    Setup::of(
        Environment::named("shop")
            .holding(document(7, &flags))
            .table("reflag", "secret_flags = [\"hidden\"]"),
    )
    .start()
}

fn ask(edge: &Edge, question: &Value) -> Reply {
    edge.admin().with("Content-Type", "application/json").post("/explain", question.to_string())
}

fn explained(edge: &Edge, question: &Value) -> Value {
    let reply = ask(edge, question);
    assert_eq!(reply.status, 200, "{reply}");
    reply.json()
}

#[test]
fn an_explanation_has_exactly_the_members_that_are_promised() {
    let edge = edge();
    let answer = explained(
        &edge,
        &json!({
            "environment": "shop", "flag": "faster-search",
            "context": {"company": {"id": "globex", "plan": "free", "country": "DE"}, "user": {}},
        }),
    );
    assert_eq!(answer["environment"], "shop");
    assert_eq!(answer["version"], 7);
    let flags = answer["flags"].as_array().unwrap();
    assert_eq!(flags.len(), 1);
    let flag = &flags[0];
    assert_eq!(flag["key"], "faster-search");
    assert_eq!(flag["enabled"], true);
    assert_eq!(flag["variant"], "small");
    assert_eq!(flag["value"], 5);
    assert_eq!(flag["reason"], "rule #1 matched");
    assert_eq!(flag["visible_to_publishable"], true);
    assert_eq!(
        flag["rollout"],
        json!({"attribute": "company.id", "hash": 13600, "threshold": 25000.0})
    );
    assert_eq!(flag["segments"], json!([]));
    assert_eq!(flag.get("override"), Some(&Value::Null));
    assert_eq!(flag["missing_attributes"], json!(["user.id"]));
    let rules = flag["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 2);
    assert_eq!((&rules[0]["index"], &rules[0]["matched"]), (&json!(0), &json!(false)));
    assert_eq!((&rules[1]["index"], &rules[1]["matched"]), (&json!(1), &json!(true)));
    let conditions = rules[0]["conditions"].as_array().unwrap();
    assert_eq!(
        conditions[0],
        json!({
            "attribute": "company.plan", "operator": "ANY_OF", "operand": ["pro", "max"],
            "actual": "free", "matched": false, "missing": false,
        })
    );
    assert_eq!(conditions[1]["attribute"], "company.country");
    assert_eq!(conditions[1]["actual"], "DE");
    assert_eq!(conditions[1]["matched"], false, "the condition itself, without its negation");
    let share = &rules[1]["conditions"][0];
    assert_eq!(share["attribute"], "company.id");
    assert_eq!((&share["actual"], &share["matched"]), (&json!("globex"), &json!(true)));
    let dialects = flag["dialects"].as_object().unwrap();
    assert_eq!(dialects.keys().collect::<Vec<_>>(), ["reflag", "flagsmith", "ofrep"]);
}

#[test]
fn an_explanation_agrees_with_the_answer_that_clients_get() {
    let edge = edge();
    for (company, plan, country) in
        [("globex", "free", "DE"), ("acme-corp", "pro", "DE"), ("acme-corp", "pro", "US")]
    {
        let query = format!(
            "/features/evaluated?context.company.id={company}&context.company.plan={plan}\
             &context.company.country={country}&context.user.id=ada"
        );
        let context = json!({
            "company": {"id": company, "plan": plan, "country": country}, "user": {"id": "ada"},
        });
        let answer = explained(&edge, &json!({"environment": "shop", "context": context}));
        let flags = edge.secret().get(&query).flags();
        for explained in answer["flags"].as_array().unwrap() {
            let key = explained["key"].as_str().unwrap();
            assert_eq!(explained["dialects"]["reflag"], flags[key]);
            assert_eq!(explained["enabled"], flags[key]["isEnabled"]);
            let results: Vec<&Value> = explained["rules"]
                .as_array()
                .unwrap()
                .iter()
                .map(|rule| &rule["matched"])
                .collect();
            assert_eq!(json!(results), flags[key]["ruleEvaluationResults"]);
        }
    }
}

#[test]
fn without_a_flag_all_are_explained_in_their_order() {
    let answer = explained(&edge(), &json!({"environment": "shop", "context": {}}));
    let keys: Vec<&Value> =
        answer["flags"].as_array().unwrap().iter().map(|flag| &flag["key"]).collect();
    assert_eq!(keys, ["faster-search", "settled", "hidden", "shut"]);
    let shut = &answer["flags"][3];
    assert_eq!((&shut["enabled"], &shut["reason"]), (&json!(false), &json!("no matched rules")));
    assert_eq!((&shut["variant"], &shut["value"]), (&Value::Null, &Value::Null));
    assert_eq!(shut["rollout"], Value::Null);
    assert_eq!(shut["rules"], json!([]));
}

#[test]
fn now_moves_time_rules_and_nothing_else() {
    let edge = edge();
    let ask = |now: Option<&str>| {
        let mut question = json!({
            "environment": "shop", "flag": "settled",
            "context": {"company": {"since": "2026-05-31T00:00:00Z"}},
        });
        if let Some(now) = now {
            question["now"] = json!(now);
        }
        let flag = explained(&edge, &question)["flags"][0].clone();
        assert_eq!(flag["rules"][0]["conditions"][0]["matched"], flag["enabled"]);
        assert_eq!(flag["dialects"]["reflag"]["isEnabled"], flag["enabled"]);
        flag["enabled"] == true
    };
    assert!(!ask(None), "the clock stands at 2026-06-01T12:00:00Z");
    assert!(!ask(Some("2026-06-07T00:00:00Z")));
    assert!(ask(Some("2026-06-07T00:00:00.001Z")));
    assert!(ask(Some("2030-01-01T00:00:00Z")));
    edge.now_is("2026-07-01T00:00:00Z");
    assert!(ask(None));
    assert!(!ask(Some("2026-06-01T12:00:00Z")));
}

#[test]
fn a_condition_on_what_the_context_lacks_says_so() {
    let answer =
        explained(&edge(), &json!({"environment": "shop", "flag": "faster-search", "context": {}}));
    let flag = &answer["flags"][0];
    assert_eq!(
        flag["missing_attributes"],
        json!(["company.plan", "company.id", "user.id"]),
        "what is behind a condition that failed was not asked for"
    );
    let condition = &flag["rules"][0]["conditions"][0];
    assert_eq!((&condition["missing"], &condition["actual"]), (&json!(true), &Value::Null));
    assert_eq!(condition["matched"], false);
}

#[test]
fn the_class_of_the_key_decides_what_the_dialects_show() {
    let edge = edge();
    let ask = |class: Option<&str>| {
        let mut question = json!({"environment": "shop", "flag": "hidden", "context": {}});
        if let Some(class) = class {
            question["key_class"] = json!(class);
        }
        let flag = explained(&edge, &question)["flags"][0].clone();
        assert_eq!(flag["visible_to_publishable"], false);
        assert_eq!(flag["enabled"], true, "the operator sees it either way");
        flag["dialects"]["reflag"].clone()
    };
    assert_eq!(ask(Some("publishable")), Value::Null);
    assert_eq!(ask(Some("secret"))["isEnabled"], true);
    assert_eq!(ask(None)["isEnabled"], true);
}

#[test]
fn what_cannot_be_explained_is_refused_with_the_reason() {
    let edge = edge();
    for (status, question) in [
        (404, json!({"environment": "nope", "context": {}})),
        (404, json!({"environment": "shop", "context": {}, "flag": "nope"})),
        (400, json!({"environment": "shop", "context": {}, "now": "yesterday"})),
        (400, json!({"environment": "shop", "context": []})),
        (400, json!({"environment": "shop", "context": "{}"})),
        (400, json!({"environment": "shop"})),
        (400, json!({"context": {}})),
        (400, json!({"environment": "shop", "context": {}, "key_class": "admin"})),
        (400, json!({"environment": "shop", "context": {}, "flags": "typing-error"})),
        (400, json!([])),
        (400, json!("text")),
    ] {
        let reply = ask(&edge, &question);
        assert_eq!(reply.status, status, "{question}: {reply}");
        let message = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(!message.is_empty(), "{reply}");
    }
    let caller = edge.admin().with("Content-Type", "application/json");
    assert_eq!(caller.post("/explain", "{").status, 400);
    assert_eq!(caller.post("/explain", "").status, 400);
    let deep = format!(
        "{{\"environment\":\"shop\",\"context\":{}1{}}}",
        "{\"a\":".repeat(40),
        "}".repeat(40)
    );
    assert_eq!(caller.post("/explain", deep).status, 400);
    assert_eq!(caller.post("/explain", " ".repeat(1 << 20)).status, 413);
}

#[test]
fn an_environment_without_data_has_nothing_to_explain() {
    let edge = Setup::of(Environment::named("shop")).start();
    let reply = ask(&edge, &json!({"environment": "shop", "context": {}}));
    assert_eq!(reply.status, 503);
    assert!(reply.json()["error"]["message"].is_string());
}

#[test]
fn a_context_is_read_as_context_json_is() {
    let answer = explained(
        &edge(),
        &json!({"environment": "shop", "flag": "faster-search",
                "context": {"company.plan": "pro", "company": {"country": null}}}),
    );
    let conditions = &answer["flags"][0]["rules"][0]["conditions"];
    assert_eq!(conditions[0]["actual"], "pro");
    assert_eq!(conditions[1]["actual"], "", "null is empty text");
    assert_eq!(answer["flags"][0]["enabled"], true);
}
