//! The published SDKs evaluate translated documents by themselves, as the engine does.
//!
//! Without their interpreters, or without a registry to install them from, the tests say so and
//! pass, unless `BURGEE_REQUIRE_SDKS=1` is set.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use burgee::compile::Policy;
use burgee::model::Generation;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::naive_flagsmith::{self, Identity, Trait};
use super::sdk::Programs;
use super::sides::{AllSeen, FlagsmithSide, ReflagSide, Texts};
use super::{of_flagsmith, of_reflag};

/// Answers any request for a document with this one; gives its URL. Lasts as long as the process.
fn origin(document: &Bytes) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let document = document.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away is no failure of the origin's.
            let _ = answer(stream, &document);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, document: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let is_document = line.contains("/features") || line.contains("/environment-document");
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = if is_document { document } else { br#"{"success":true}"# };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

const TEXTS: [&str; 30] = [
    "gold", "Gold", "silver", "true", "false", "True", "False", "", "None", "7", "007", "7.0",
    " 7", "7.", ".7", "+7", "1e3", "0x7", "Infinity", "\u{a0}7", "-7", "ÆRØ", "ærø", "a@x.b",
    "A@X", "10:2", "中文", "İ", "a b", "x-7",
];

/// A context as an application has it.
fn nested(texts: &Texts) -> Value {
    let mut context = json!({"user": {}, "company": {}, "other": {}});
    for (path, text) in texts {
        let (group, name) = path.split_once('.').expect("a group and a name");
        context[group][name] = json!(text);
    }
    context
}

#[test]
fn reflags_sdk_for_node() {
    let Some(programs) = Programs::for_reflag() else { return };
    let mut conditions: Vec<Value> = Vec::new();
    for property in ["plan", "company.plan", "$.identity.identifier"] {
        for (operator, value) in [
            ("EQUAL", "gold"),
            ("EQUAL", "False"),
            ("EQUAL", ""),
            ("NOT_EQUAL", "gold"),
            ("NOT_EQUAL", "true"),
            ("IN", "gold,007,true,ÆRØ"),
            ("CONTAINS", "@"),
            ("CONTAINS", "-7"),
            ("CONTAINS", ""),
            ("NOT_CONTAINS", "@"),
            ("IS_SET", ""),
            ("IS_NOT_SET", ""),
            ("PERCENTAGE_SPLIT", "100"),
        ] {
            conditions.push(json!({"property_": property, "operator": operator, "value": value}));
        }
    }
    let mut document = of_flagsmith::single(&conditions);
    let overridden = naive_flagsmith::state(0, false, 9, false, &json!({"limit": 20}));
    document["identity_overrides"] =
        json!([{"identifier": "007", "identity_features": [overridden]}]);
    let native = FlagsmithSide::new(document.to_string().as_bytes(), false);
    let (translation, reflag) = of_flagsmith::translated(&native, Generation::V1_0);
    assert_eq!(translation.untranslated, []);
    let mut contexts = Vec::new();
    // The SDK takes no empty id.
    for (at, text) in TEXTS.into_iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        let other = TEXTS[(at + 7) % TEXTS.len()];
        for paths in [
            &["user.id", "user.plan"][..],
            &["user.id", "other.plan"],
            &["user.plan"],
            &["user.id", "user.plan", "other.plan", "company.plan"],
            &["company.plan", "user.company.plan"],
        ] {
            let texts = paths.iter().enumerate();
            let texts = texts.map(|(n, path)| {
                (path.to_string(), if n % 2 == 0 { text } else { other }.to_owned())
            });
            contexts.push(texts.collect::<Texts>());
        }
    }
    let expected: Vec<AllSeen> =
        contexts.iter().map(|texts| of_flagsmith::check(&native, &reflag, texts)).collect();
    let told = json!({
        "url": origin(&translation.document), "secretKey": "sec_0123456789abcdef0123456789",
        "contexts": contexts.iter().map(nested).collect::<Vec<_>>(),
    });
    let end = programs.start("node_local", &told).seen_in_the_end();
    assert_eq!(end["heard"], json!([]));
    let seen = end["seen"].as_array().unwrap();
    assert_eq!(seen.len(), expected.len());
    for ((seen, expected), texts) in seen.iter().zip(&expected).zip(&contexts) {
        assert_eq!(seen.as_object().unwrap().len(), conditions.len() + 1);
        for (key, flag) in expected {
            let flag =
                json!({"enabled": flag.enabled, "variant": flag.variant, "value": flag.value});
            assert_eq!(seen[key], flag, "{key} for {texts:?}\n{}", reflag.document);
        }
    }
}

fn condition(field: &str, operator: &str, values: &[&str]) -> Value {
    json!({"type": "context", "field": field, "operator": operator, "values": values})
}

/// Flags that use all that is translated, one condition each, and joined.
fn flags() -> Value {
    let mut filters: Vec<Value> = Vec::new();
    for field in ["user.plan", "company.id", "user.id"] {
        for (operator, values) in [
            ("IS", &["gold"][..]),
            ("IS", &[" 7"]),
            ("IS_NOT", &["gold"]),
            ("ANY_OF", &["gold", "true", "a b"]),
            ("ANY_OF", &["Gold", "x,y", "[z"]),
            ("NOT_ANY_OF", &["silver", "false", ""]),
            ("SET", &[]),
            ("NOT_SET", &[]),
            ("IS_TRUE", &[]),
            ("IS_FALSE", &[]),
            ("CONTAINS", &["OLD"]),
            ("CONTAINS", &["@X"]),
            ("CONTAINS", &["ærø"]),
            ("CONTAINS", &["ru"]),
            ("NOT_CONTAINS", &["ld"]),
            ("CONTAINS", &["中"]),
        ] {
            filters.push(condition(field, operator, values));
        }
    }
    let both = |operator: &str, a: usize, b: usize| json!({"type": "group", "operator": operator, "filters": [filters[a], {"type": "negation", "filter": filters[b]}]});
    let groups: Vec<Value> =
        (0..16).flat_map(|at| [both("and", at, at + 17), both("or", at + 16, 47 - at)]).collect();
    let payloads = [json!("x"), json!(7), json!(true), json!({"limit": [1, "a b"]}), Value::Null];
    let flags = filters.iter().chain(&groups).zip(0..).map(|(filter, at)| {
        let variant = json!({"key": "v", "payload": payloads[at % 5], "filter": filters[(at * 7) % filters.len()]});
        let other = json!({"key": "w", "payload": "rest", "filter": {"type": "constant", "value": true}});
        let variants = if at % 2 == 0 { json!([variant]) } else { json!([variant, other]) };
        json!({
            "key": format!("flag-{at}"), "targeting": {"version": 1, "rules": [{"filter": filter}]},
            "config": {"version": 1, "variants": variants},
        })
    });
    json!({"success": true, "flagStateVersion": 3, "features": flags.collect::<Vec<_>>()})
}

fn identities() -> Vec<Option<Identity>> {
    let mut values: Vec<Trait> =
        TEXTS.into_iter().map(|text| Trait::Text(text.to_owned())).collect();
    values.extend([true, false].map(Trait::Bool));
    values
        .extend(["7", "7.5", "-3", "0", "1000000"].map(|number| Trait::Number(number.to_owned())));
    values.push(Trait::Null);
    let mut identities = vec![None];
    for at in 0..values.len() {
        for names in [&["plan"][..], &["company_id", "plan"], &["company.id", "companyId"], &[]] {
            let value = |n: usize| values[(at + n * 5) % values.len()].clone();
            let traits = names.iter().enumerate().map(|(n, name)| (name.to_string(), value(n)));
            identities.push(Some(Identity {
                identifier: ["gold", "007", "true", "ÆRØ", "u@x"][at % 5].to_owned(),
                traits: traits.collect(),
            }));
        }
    }
    identities
}

fn told(identity: Option<&Identity>) -> Value {
    let Some(identity) = identity else { return Value::Null };
    let traits: Map<String, Value> = identity
        .traits
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Trait::Null => Value::Null,
                Trait::Bool(value) => json!(value),
                Trait::Number(text) => serde_json::from_str(text).unwrap(),
                Trait::Text(text) => json!(text),
            };
            (name.clone(), value)
        })
        .collect();
    json!({"identifier": identity.identifier, "traits": traits})
}

fn flagsmiths_sdk(programs: &Programs) {
    let native = ReflagSide::new(flags().to_string().as_bytes(), Policy::default());
    let (translation, flagsmith) = of_reflag::translated(&native);
    assert_eq!(translation.untranslated, []);
    let identities = identities();
    let expected: Vec<AllSeen> = identities
        .iter()
        .map(|identity| of_reflag::check(&native, &flagsmith, identity.as_ref()))
        .collect();
    let told = json!({
        "url": origin(&translation.document), "key": "ser.0123456789", "local": true,
        "whom": identities.iter().map(|identity| told(identity.as_ref())).collect::<Vec<_>>(),
    });
    let end = programs.start("flags", &told).seen_in_the_end();
    assert_eq!(end["heard"], json!([]));
    let seen = end["seen"].as_array().unwrap();
    assert_eq!(seen.len(), expected.len());
    for ((seen, expected), identity) in seen.iter().zip(&expected).zip(&identities) {
        assert_eq!(seen.as_object().unwrap().len(), native.ruleset.flags.len());
        for (name, flag) in expected {
            let face = (&seen[name]["enabled"], &seen[name]["value"]);
            assert_eq!(
                face,
                (&json!(flag.enabled), &flag.value),
                "{name} for {identity:?}\n{}",
                flagsmith.document
            );
        }
    }
}

#[test]
fn flagsmiths_sdk_for_node() {
    if let Some(programs) = Programs::for_flagsmith_in_node() {
        flagsmiths_sdk(&programs);
    }
}

#[test]
fn flagsmiths_sdk_for_python() {
    if let Some(programs) = Programs::for_flagsmith_in_python() {
        flagsmiths_sdk(&programs);
    }
}
