//! Secret flags: publishable keys cannot tell them from flags that do not exist.

use serde_json::{Value, json};

use crate::support::rules::{document, is, on, secret, when, with_payload};
use crate::support::wire::Connection;
use crate::support::{Edge, Environment, Setup};

/// Two secret flags that are on, one marked in the document and one listed in the settings, and
/// beside them two public ones.
fn edge() -> Edge {
    let payload = json!({"hidden": "treasure"});
    let flags = [
        on("open"),
        with_payload(secret(on("marked")), "treasure", &payload),
        when("acme-only", &is("company.id", "acme")),
        with_payload(when("listed", &is("user.treasure", "yes")), "treasure", &payload),
    ];
    Setup::of(
        Environment::named("shop")
            .holding(document(7, &flags))
            .table("reflag", "secret_flags = [\"listed\", \"not-there\"]"),
    )
    .start()
}

/// A context for which every flag is on.
const ALL_ON: &str = "context.company.id=acme&context.user.treasure=yes";

#[test]
fn a_publishable_key_never_sees_a_secret_flag_on_any_route() {
    let edge = edge();
    let json = "contextJson=%7B%22company%22:%7B%22id%22:%22acme%22%7D,\
                %22user%22:%7B%22treasure%22:%22yes%22%7D%7D";
    for route in ["/features/evaluated", "/features/enabled"] {
        for context in [ALL_ON, json, ""] {
            let reply = edge.publishable().get(&format!("{route}?{context}"));
            let expected: &[&str] = match (route, context) {
                ("/features/enabled", "") => &["open"],
                _ => &["open", "acme-only"],
            };
            assert_eq!(reply.keys(), expected, "{route}?{context}");
            for word in ["marked", "listed", "treasure"] {
                assert!(!reply.to_string().contains(word), "{word} in {reply}");
            }
            for key in ["marked", "listed"] {
                let reply = edge.publishable().get(&format!("{route}?{context}&key={key}"));
                assert_eq!(reply.flags(), json!({}));
                assert!(!reply.to_string().contains("treasure"), "{reply}");
            }
        }
    }
    edge.publishable().get("/features").assert_error(403, "FORBIDDEN_KEY");
}

#[test]
fn a_hidden_flag_and_an_unknown_one_give_the_same_bytes_and_the_same_head() {
    let edge = edge();
    // As bytes, so that not even the order of the fields can tell.
    let ask = |route: &str, key: &str| {
        let mut connection = Connection::open(edge.public);
        connection.write(format!(
            "GET {route}?{ALL_ON}&key={key} HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n\
             Authorization: Bearer pub_shop\r\nConnection: close\r\n\r\n"
        ));
        let answer = String::from_utf8(connection.bytes_until_closed()).unwrap();
        let lines = answer.split("\r\n").filter(|line| !line.starts_with("date:"));
        lines.collect::<Vec<_>>().join("\r\n")
    };
    for route in ["/features/evaluated", "/features/enabled"] {
        let unknown = ask(route, "nope");
        assert!(unknown.starts_with("HTTP/1.1 200 OK\r\n") && unknown.contains("\r\netag: \""));
        for hidden in ["marked", "listed", "not-there"] {
            assert_eq!(ask(route, hidden), unknown, "{hidden}");
        }
        assert_ne!(ask(route, "open"), unknown);
    }
}

#[test]
fn a_tag_for_a_hidden_flag_is_confirmed_as_one_for_an_unknown_flag_is() {
    let edge = edge();
    let unknown = edge.publishable().get("/features/evaluated?key=nope").etag();
    for key in ["marked", "listed", "nope"] {
        let caller = edge.publishable().with("If-None-Match", &unknown);
        assert_eq!(caller.get(&format!("/features/evaluated?key={key}")).status, 304);
    }
}

#[test]
fn a_secret_key_sees_every_flag() {
    let edge = edge();
    for route in ["/features/evaluated", "/features/enabled"] {
        let reply = edge.secret().get(&format!("{route}?{ALL_ON}"));
        assert_eq!(reply.keys(), ["open", "marked", "acme-only", "listed"]);
        let reply = edge.secret().get(&format!("{route}?{ALL_ON}&key=listed"));
        assert_eq!(reply.keys(), ["listed"]);
        assert_eq!(reply.flags()["listed"]["config"]["payload"], json!({"hidden": "treasure"}));
    }
    let document = edge.secret().get("/features").json();
    let keys: Vec<&Value> =
        document["features"].as_array().unwrap().iter().map(|flag| &flag["key"]).collect();
    assert_eq!(keys, ["open", "marked", "acme-only", "listed"]);
}

#[test]
fn the_definitions_mark_the_flags_that_the_settings_make_secret() {
    let document = edge().secret().get("/features").json();
    let flags = document["features"].as_array().unwrap();
    let marks: Vec<&Value> = flags.iter().map(|flag| &flag["secret"]).collect();
    assert_eq!(marks, [&Value::Null, &json!(true), &Value::Null, &json!(true)]);
    assert_eq!(flags[3]["config"]["variants"][0]["key"], "treasure", "the rest of it stays");
    assert_eq!(document["success"], true);
    assert_eq!(document["flagStateVersion"], 7);
}

#[test]
fn a_flag_becomes_secret_when_its_mark_comes_and_public_when_it_goes() {
    let edge = Edge::serving(document(1, &[on("open"), on("moody")]));
    let seen = || edge.publishable().get("/features/evaluated").keys();
    assert_eq!(seen(), ["open", "moody"]);
    edge.publish("shop", &document(2, &[on("open"), secret(on("moody"))]));
    assert_eq!(seen(), ["open"]);
    edge.publish("shop", &document(3, &[on("open"), on("moody")]));
    assert_eq!(seen(), ["open", "moody"]);
}

/// With blanks, numbers, escapes and members that must all come out as they went in.
const SPELLED: &str = r#"{ "success": true,
  "flagStateVersion":  412, "appId":"\u0061pp", "limit": 5.0,
  "features": [ { "key":"caf\u00e9", "stage" : "Beta", "weight":1e3, "big":1152921504606846976,
      "targeting":{"version":3,"rules":[]}, "config": null },
    {"key":"b","targeting":{"rules":[ ],"version":1},"secret" :true}
  ] }
"#;

#[test]
fn a_document_that_needs_no_change_is_served_byte_for_byte() {
    let edge = Edge::serving(SPELLED);
    let reply = edge.secret().get("/features");
    assert_eq!(reply.text(), SPELLED);
    assert_eq!(reply.header("burgee-version"), Some("412"));
}

#[test]
fn of_a_document_that_needs_a_change_each_member_stays_as_it_was_spelled() {
    let edge = Setup::of(
        Environment::named("shop")
            .holding(SPELLED)
            .table("reflag", "secret_flags = [\"caf\\u00e9\"]"),
    )
    .start();
    let text = edge.secret().get("/features").text();
    for part in [
        r#""key":"caf\u00e9""#,
        r#""weight":1e3"#,
        r#""big":1152921504606846976"#,
        r#"{"version":3,"rules":[]}"#,
        r#"{"key":"b","targeting":{"rules":[ ],"version":1},"secret" :true}"#,
        r#""limit":5.0"#,
        r#""appId":"\u0061pp""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["features"][0]["secret"], true);
    assert_eq!(edge.publishable().get("/features/evaluated").keys(), Vec::<String>::new());
}

#[test]
fn a_payload_reaches_the_answer_as_the_text_that_it_was() {
    let payload = r#"{"n": 5.0, "e":1e3, "big":1152921504606846976, "b":"\u00e9", "a" :[ ]}"#;
    let edge = Edge::serving(format!(
        r#"{{"success":true,"flagStateVersion":1,"features":[{{"key":"k","targeting":{{"version":1,
        "rules":[]}},"config":{{"version":2,"variants":[{{"key":"v","payload":{payload},
        "filter":{{"type":"constant","value":true}}}}]}}}}]}}"#
    ));
    let text = edge.publishable().get("/features/evaluated").text();
    assert!(text.contains(&format!("\"payload\":{payload}")), "{text}");
}
