//! The forms in which a context is sent, and the exact answer that it gets.

use serde_json::{Value, json};

use crate::support::rules::{context, document, flag, is, when};
use crate::support::wire::{Reply, percent_encoded};
use crate::support::{Edge, Environment, Setup};

/// One flag that is on where the filter holds.
fn edge(filter: &Value) -> Edge {
    Edge::serving(document(1, &[when("probe", filter)]))
}

fn is_on(reply: &Reply) -> bool {
    let enabled = &reply.flags()["probe"]["isEnabled"];
    enabled.as_bool().unwrap_or_else(|| panic!("a boolean: {reply}"))
}

fn ask(edge: &Edge, query: &str) -> Reply {
    edge.publishable().get(&format!("/features/evaluated?{query}"))
}

fn ask_json(edge: &Edge, context: &str) -> Reply {
    ask(edge, &format!("contextJson={}", percent_encoded(context)))
}

#[test]
fn the_answer_is_exactly_this_text() {
    let edge = Edge::serving(
        r#"{"success":true,"flagStateVersion":412,"features":[
        {"key":"crew-chat","targeting":{"version":3,"rules":[
            {"filter":{"type":"context","field":"company.id","operator":"ANY_OF","values":["acme"]}}]},
         "config":{"version":9,"variants":[
            {"key":"large","payload":{"limit":20},"filter":{"type":"context","field":"user.id","operator":"IS","values":["u-1"]}},
            {"key":"small","payload":null,"filter":{"type":"constant","value":true}}]}},
        {"key":"quiet","targeting":{"version":1,"rules":[]}}]}"#,
    );
    let reply = ask(&edge, "context.company.id=acme&context.user.id=u-1");
    let expected = "{\"success\":true,\"remoteContextUsed\":false,\"flagStateVersion\":412,\
        \"features\":{\"crew-chat\":{\"key\":\"crew-chat\",\"isEnabled\":true,\
        \"targetingVersion\":3,\"ruleEvaluationResults\":[true],\"missingContextFields\":[],\
        \"optInEnabled\":false,\"config\":{\"key\":\"large\",\"version\":9,\
        \"payload\":{\"limit\":20},\"ruleEvaluationResults\":[true,true],\
        \"missingContextFields\":[]}},\"quiet\":{\"key\":\"quiet\",\"isEnabled\":false,\
        \"targetingVersion\":1,\"ruleEvaluationResults\":[],\"missingContextFields\":[],\
        \"optInEnabled\":false}}}";
    assert_eq!(reply.text(), expected);
    let enabled = edge.publishable().get("/features/enabled?context.company.id=acme");
    assert_eq!(
        enabled.flags()["crew-chat"]["config"],
        json!({
            "key": "small", "version": 9, "payload": null,
            "ruleEvaluationResults": [false, true], "missingContextFields": ["user.id"],
        })
    );
    assert_eq!(enabled.keys(), ["crew-chat"], "only what is on");
}

#[test]
fn key_narrows_the_answer_to_one_flag() {
    let flags =
        [when("a", &is("user.id", "u")), when("b", &is("user.id", "v")), flag("c d&e", &[])];
    let edge = Edge::serving(document(1, &flags));
    assert_eq!(ask(&edge, "key=b&context.user.id=v").keys(), ["b"]);
    assert_eq!(ask(&edge, "context.user.id=v&key=b").flags()["b"]["isEnabled"], true);
    assert_eq!(ask(&edge, "key=c+d%26e").keys(), ["c d&e"]);
    assert_eq!(ask(&edge, "key=A").keys(), Vec::<String>::new(), "keys are case sensitive");
    assert_eq!(ask(&edge, "key=").keys(), Vec::<String>::new());
    let enabled = |query: &str| edge.publishable().get(&format!("/features/enabled?{query}"));
    assert_eq!(enabled("key=b&context.user.id=v").keys(), ["b"]);
    assert_eq!(enabled("key=a&context.user.id=v").keys(), Vec::<String>::new());
}

#[test]
fn an_attribute_that_a_rule_asks_for_and_the_context_lacks_is_reported() {
    let rules = [is("user.id", "u"), is("company.plan", "pro"), is("user.id", "w")];
    let edge = Edge::serving(document(1, &[flag("probe", &rules)]));
    let missing = |query: &str| ask(&edge, query).flags()["probe"]["missingContextFields"].clone();
    assert_eq!(missing(""), json!(["user.id", "company.plan"]), "once each, in order");
    assert_eq!(missing("context.company.plan=free"), json!(["user.id"]));
    assert_eq!(missing("context.user.id=&context.company.plan="), json!([]));
}

#[test]
fn the_three_roots_can_be_sent_dotted_and_as_json() {
    for root in ["user", "company", "other"] {
        let edge = edge(&is(&format!("{root}.region"), "eu west"));
        assert!(is_on(&ask(&edge, &format!("context.{root}.region=eu+west"))));
        assert!(is_on(&ask(&edge, &format!("context.{root}.region=eu%20west"))));
        assert!(is_on(&ask_json(&edge, &json!({root: {"region": "eu west"}}).to_string())));
        assert!(!is_on(&ask(&edge, "context.else.region=eu+west")));
    }
}

#[test]
fn dotted_parameters_are_form_percent_encoded() {
    let edge = edge(&is("user.näme", "a+b&c=d%Ångström"));
    let value = percent_encoded("a+b&c=d%Ångström");
    assert!(is_on(&ask(&edge, &format!("context.user.n%C3%A4me={value}"))));
    assert!(is_on(&ask(&edge, &format!("context%2Euser%2En%C3%A4me={value}"))));
    let blank = edge_for_blank();
    assert!(is_on(&ask(&blank, "context.user.id")), "a name without a value is empty text");
    assert!(is_on(&ask(&blank, "&&context.user.id=&")));
}

fn edge_for_blank() -> Edge {
    edge(&is("user.id", ""))
}

#[test]
fn an_escape_that_is_broken_is_400() {
    let edge = edge(&is("user.id", "u"));
    for query in [
        "context.user.id=%",
        "context.user.id=%4",
        "context.user.id=%zz",
        "context.user.id=%C3",
        "context.user.%zz=1",
        "context.user.id=%ED%A0%80",
        "contextJson=%7",
        "contextJson=%FF",
        "key=%zz",
    ] {
        ask(&edge, query).assert_error(400, "INVALID_REQUEST");
    }
}

#[test]
fn context_json_wins_over_dotted_parameters_wherever_it_stands() {
    let edge = edge(&is("user.id", "json"));
    let json = format!("contextJson={}", percent_encoded(r#"{"user":{"id":"json"}}"#));
    assert!(is_on(&ask(&edge, &format!("{json}&context.user.id=dotted"))));
    assert!(is_on(&ask(&edge, &format!("context.user.id=dotted&{json}"))));
    let other = format!("contextJson={}", percent_encoded(r#"{"company":{"id":"json"}}"#));
    let reply = ask(&edge, &format!("context.user.id=json&{other}"));
    assert!(!is_on(&reply), "nothing of the dotted context is left");
    assert_eq!(reply.flags()["probe"]["missingContextFields"], json!(["user.id"]));
}

#[test]
fn context_json_becomes_text_as_javascript_makes_it() {
    for (value, text) in [
        ("1.0", "1"),
        ("1e3", "1000"),
        ("-0", "0"),
        ("0.0000001", "1e-7"),
        ("1e400", "Infinity"),
        ("true", "true"),
        ("null", ""),
        ("{}", ""),
        ("[]", ""),
        ("\"\\u00e5\"", "å"),
    ] {
        let edge = edge(&is("user.id", text));
        assert!(is_on(&ask_json(&edge, &format!("{{\"user\":{{\"id\":{value}}}}}"))), "{value}");
    }
}

#[test]
fn arrays_are_addressed_by_index_in_generation_1_0_and_stay_whole_in_1_1() {
    let by_index = edge(&is("user.tags.1", "b"));
    assert!(is_on(&ask_json(&by_index, r#"{"user":{"tags":["a","b"]}}"#)));
    assert!(is_on(&ask(&by_index, "context.user.tags.0=a&context.user.tags.1=b")));
    let whole = Setup::of(
        Environment::named("shop")
            .holding(document(1, &[when("probe", &context("user.tags", "ANY_OF", &["b"]))]))
            .table("reflag", "evaluator = \"1.1\""),
    )
    .start();
    assert!(is_on(&ask_json(&whole, r#"{"user":{"tags":["a","b"]}}"#)));
    assert!(!is_on(&ask_json(&whole, r#"{"user":{"tags":["a","c"]}}"#)));
}

#[test]
fn context_json_that_is_no_object_is_400() {
    let edge = edge(&is("user.id", "u"));
    for context in [
        "",
        "null",
        "[]",
        "\"text\"",
        "3",
        "{",
        "{\"user\":{}",
        "{}{}",
        "{'user':{}}",
        "{\"a\":1,}",
        "{\"a\":01}",
        "{\"a\":\"\n\"}",
        "undefined",
        "{\"a\":\"\\x\"}",
        "\u{feff}{}",
    ] {
        ask_json(&edge, context).assert_error(400, "INVALID_REQUEST");
    }
    assert_eq!(ask_json(&edge, " {} ").status, 200);
}

#[test]
fn nesting_is_followed_to_32_levels_and_no_deeper() {
    let edge = edge(&is("user.id", "u"));
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(ask_json(&edge, &nested(32)).status, 200);
    ask_json(&edge, &nested(33)).assert_error(400, "INVALID_REQUEST");
    let arrays = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
    ask_json(&edge, &arrays).assert_error(400, "INVALID_REQUEST");
    let path = |segments: usize| format!("context.{}=1", vec!["a"; segments].join("."));
    assert_eq!(ask(&edge, &path(32)).status, 200);
    ask(&edge, &path(33)).assert_error(400, "INVALID_REQUEST");
}

#[test]
fn a_context_has_up_to_1_000_members() {
    let edge = edge(&is("user.id", "u"));
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|n| format!("\"a{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    // Counted are all members and elements, `user` too. Sent raw: encoded it would be too long.
    let json = |context: &str| ask(&edge, &format!("contextJson={}", context.replace('"', "%22")));
    assert_eq!(json(&members(1_000)).status, 200);
    json(&members(1_001)).assert_error(400, "INVALID_REQUEST");
    assert_eq!(json(&format!("{{\"user\":{}}}", members(999))).status, 200);
    json(&format!("{{\"user\":{}}}", members(1_000))).assert_error(400, "INVALID_REQUEST");
    let elements = |count: usize| format!("{{\"user\":[{}]}}", vec!["1"; count].join(","));
    assert_eq!(json(&elements(999)).status, 200);
    json(&elements(1_000)).assert_error(400, "INVALID_REQUEST");
    let dotted = |count: usize| {
        let parameters: Vec<_> = (0..count).map(|n| format!("context.user.a{n}=1")).collect();
        ask(&edge, &parameters.join("&"))
    };
    assert_eq!(dotted(1_000).status, 200);
    dotted(1_001).assert_error(400, "INVALID_REQUEST");
}

#[test]
fn a_name_has_up_to_256_bytes() {
    let edge = edge(&is("user.id", "u"));
    let name = |length: usize| "n".repeat(length);
    assert_eq!(ask_json(&edge, &format!("{{\"{}\":1}}", name(256))).status, 200);
    ask_json(&edge, &format!("{{\"{}\":1}}", name(257))).assert_error(400, "INVALID_REQUEST");
    assert_eq!(ask(&edge, &format!("context.{}=1", name(256))).status, 200);
    ask(&edge, &format!("context.{}=1", name(257))).assert_error(400, "INVALID_REQUEST");
    let long = format!("{{\"user\":{{\"{}\":{{}}}}}}", name(300));
    ask_json(&edge, &long).assert_error(400, "INVALID_REQUEST");
}

#[test]
fn values_may_be_long() {
    let value = "v".repeat(20_000);
    let edge = edge(&is("user.id", &value));
    assert!(is_on(&ask(&edge, &format!("context.user.id={value}"))));
    assert!(is_on(&ask_json(&edge, &format!("{{\"user\":{{\"id\":\"{value}\"}}}}"))));
}

#[test]
fn names_of_javascript_s_machinery_and_paths_through_text_are_dropped() {
    let edge = edge(&is("user.id", "u"));
    for query in [
        "context.__proto__.id=x&context.user.id=u",
        "context.user.constructor=x&context.user.id=u",
        "context.user.prototype.id=x&context.user.id=u",
        "context.user.id=u&context.user.id.deeper=x",
        "context.=x&context.user.id=u&context=x&context..=x",
    ] {
        assert!(is_on(&ask(&edge, query)), "{query}");
    }
}

#[test]
fn parameters_that_nobody_knows_are_ignored() {
    let edge = edge(&is("user.id", "u"));
    let query = "publishableKey=x&reflag-sdk-version=browser-sdk%2F1.6.1&bucket-sdk-version=b&\
                 context.user.id=u&waitForVersion=1&utm_source=x&context=y&keys=z";
    assert!(is_on(&ask(&edge, query)));
}

#[test]
fn what_one_request_sent_is_gone_at_the_next() {
    let edge = edge(&is("user.id", "u"));
    let mut session = edge.publishable().connect();
    assert!(is_on(&session.get("/features/evaluated?context.user.id=u")));
    let reply = session.get("/features/evaluated");
    assert!(!is_on(&reply));
    assert_eq!(reply.flags()["probe"]["missingContextFields"], json!(["user.id"]));
    // A request that was refused halfway leaves nothing behind either.
    let half = "/features/evaluated?context.user.id=u&context.user.x=%zz";
    session.get(half).assert_error(400, "INVALID_REQUEST");
    assert!(!is_on(&session.get("/features/evaluated")));
}

#[test]
fn every_rule_is_reported_however_many_there_are() {
    for count in [1_usize, 3, 4, 63, 64, 65, 130] {
        let rules: Vec<_> = (0..count).map(|n| is("user.id", &n.to_string())).collect();
        let mut probe = flag("probe", &rules);
        let variants: Vec<_> = (0..count)
            .map(|n| json!({"key": format!("v{n}"), "payload": n, "filter": rules[n]}))
            .collect();
        probe["config"] = json!({"version": 2, "variants": variants});
        let edge = Edge::serving(document(1, &[probe]));
        for matched in [0, count / 2, count - 1] {
            let flags = ask(&edge, &format!("context.user.id={matched}")).flags();
            let results: Vec<bool> = (0..count).map(|n| n == matched).collect();
            let probe = &flags["probe"];
            assert_eq!(probe["isEnabled"], true, "{matched} of {count}");
            assert_eq!(probe["ruleEvaluationResults"], json!(results), "{matched} of {count}");
            assert_eq!(probe["config"]["key"], format!("v{matched}"));
            assert_eq!(probe["config"]["payload"], matched);
            assert_eq!(probe["config"]["ruleEvaluationResults"], json!(results));
        }
        let probe = ask(&edge, "context.user.id=nobody").flags()["probe"].clone();
        assert_eq!(probe["isEnabled"], false);
        assert_eq!(probe["ruleEvaluationResults"], json!(vec![false; count]));
        assert_eq!(probe.get("config"), None, "no variant matched");
        let probe = ask(&edge, "").flags()["probe"].clone();
        assert_eq!(probe["missingContextFields"], json!(["user.id"]));
    }
}

#[test]
fn names_that_are_awkward_in_json_come_out_as_they_are() {
    let key = "a \"key\"\\ with\ttabs, é, 💡 and </script>";
    let field = "user.\"quoted\" é";
    let edge = Edge::serving(document(1, &[when(key, &is(field, "u"))]));
    let flags = ask(&edge, "").flags();
    assert_eq!(flags[key]["key"], key);
    assert_eq!(flags[key]["missingContextFields"], json!([field]));
    let query = format!("key={}", percent_encoded(key));
    assert_eq!(ask(&edge, &query).keys(), [key]);
}

#[test]
fn an_error_is_json_whatever_the_names_that_it_speaks_of() {
    let edge = edge(&is("user.id", "u"));
    for name in ["\"", "\\", "\n", "\0", "\u{7f}", "é", "💡", "</script>"] {
        let query = format!("context.{}=%zz", percent_encoded(name));
        ask(&edge, &query).assert_error(400, "INVALID_REQUEST");
        ask(&edge, &format!("{}=1&context.a=%zz", percent_encoded(name)))
            .assert_error(400, "INVALID_REQUEST");
    }
}

#[test]
fn what_a_rule_says_that_is_not_known_yet_costs_that_rule_only() {
    let from_the_future = [
        json!({"type": "segment", "id": "s-1"}),
        context("user.id", "SOUNDS_LIKE", &["u"]),
        is("user.id", "u"),
    ];
    let edge = Edge::serving(document(1, &[flag("probe", &from_the_future)]));
    let reply = ask(&edge, "context.user.id=u");
    assert!(is_on(&reply));
    assert_eq!(reply.flags()["probe"]["ruleEvaluationResults"], json!([false, false, true]));
    let status = edge.status("shop");
    assert_eq!(status["quarantined"], json!([]), "unknown is not broken");
}
