//! One request for every status of every operation, and for every method of every path.

use std::collections::BTreeMap;
use std::time::Duration;

use burgee::http::streams::StreamTimes;
use serde_json::{Value, json};

use crate::description::{Operation, Port, assert_described, description};
use crate::flagsmith_rules::{environment, feature, segment};
use crate::support::rules::{context, document, flag, on, secret, when, with_payload};
use crate::support::wire::{Caller, Connection, Reply};
use crate::support::{Edge, Environment, Setup, publishable_key, secret_key, until};

/// What no test brings about, and why.
const NOT_PROVOKED: [(u16, &str, &str); 3] = [
    (500, "", "takes a fault of ours"),
    (401, "admin", "takes a caller on another machine; tested in admin::access"),
    (408, "adminExplain", "takes 30 s"),
];

/// What is taken in without looking at the rules.
const TAKEN_IN: [&str; 7] = [
    "reflagBulk",
    "reflagUser",
    "reflagCompany",
    "reflagEvent",
    "reflagFlagEvent",
    "flagsmithAnalytics",
    "flagsmithAnalyticsByIdentity",
];

/// Flags of Reflag's with an exact equal among Flagsmith's.
fn of_reflag() -> String {
    let config = with_payload(on("crew-chat"), "large", &json!({"limit": 20}));
    let gold = context("company.plan", "IS", &["gold"]);
    document(7, &[on("open"), config, when("gold-only", &gold), secret(flag("hidden", &[]))])
}

/// And the other way round.
fn of_flagsmith() -> String {
    let gold = [feature(11, "new_checkout", true, &json!("v3-gold"))];
    environment(
        &[
            feature(11, "new_checkout", true, &json!("v2")),
            feature(12, "banner", false, &Value::Null),
            feature(14, "server_only", true, &json!(7)),
        ],
        &[segment(77, "gold customers", ("plan", "EQUAL", "gold"), &gold)],
        &[],
        &[14],
    )
}

/// Numbers are compared: there is no equal on the other side.
fn reflag_alone() -> String {
    document(7, &[on("open"), when("adults", &context("user.age", "GT", &["18"]))])
}

fn flagsmith_alone() -> String {
    let adults = [feature(1, "adults", true, &Value::Null)];
    environment(
        &[feature(1, "adults", false, &Value::Null)],
        &[segment(1, "adults", ("age", "GREATER_THAN", "18"), &adults)],
        &[],
        &[],
    )
}

/// So short that a stream is an answer like others, with some of all that may be on one.
fn brief_streams() -> StreamTimes {
    StreamTimes {
        heartbeat: Duration::from_millis(15),
        ages: [Duration::from_millis(40), Duration::from_millis(50)],
        ..StreamTimes::default()
    }
}

/// A server with this and other environments, whose streams end soon.
fn setup(environment: Environment) -> Setup {
    Setup::of(environment).streams(brief_streams())
}

/// A server with environments of all kinds and low limits.
fn edge() -> Edge {
    setup(Environment::named("shop").holding(of_reflag()))
        .and(Environment::named("mall").holding(of_flagsmith()).format("flagsmith"))
        .and(Environment::named("shop-alone").holding(reflag_alone()))
        .and(Environment::named("mall-alone").holding(flagsmith_alone()).format("flagsmith"))
        .and(Environment::named("void"))
        .limits("body = \"1KiB\"")
        .limits("url = \"1KiB\"")
        .limits("body_timeout = \"10ms\"")
        .start()
}

/// A request that is answered well.
fn good(operation: &Operation<'_>) -> (String, String) {
    let query = match operation.id() {
        "reflagEvaluated" | "reflagEnabled" => "?context.company.plan=gold",
        "flagsmithIdentityByQuery" => "?identifier=customer-42",
        _ => "",
    };
    let key = match operation.id() {
        "flagsmithStream" => publishable_key("shop"),
        _ => "open".to_owned(),
    };
    let path = operation.path.replace("{key}", &key).replace("{name}", "shop");
    let schema = &operation.object["requestBody"]["content"]["application/json"]["schema"];
    let example = schema["$ref"].as_str().map(|reference| {
        let schema = crate::schema::resolve(&description().document, reference);
        let mut example = schema["examples"][0].clone();
        if operation.id() == "adminExplain" {
            example["environment"] = json!("shop");
        }
        if example.is_null() { String::new() } else { example.to_string() }
    });
    (format!("{path}{query}"), example.unwrap_or_default())
}

/// Who asks an operation, with the secret key of an environment.
fn caller(edge: &Edge, operation: &Operation<'_>, environment: &str) -> Caller {
    let caller = match operation.port {
        Port::Public => edge.anonymous(),
        _ => return edge.admin().with("Content-Type", "application/json"),
    };
    caller.bearer(&secret_key(environment))
}

/// Asks an operation so that this status must come of it.
fn provoke(edge: &Edge, operation: &Operation<'_>, status: u16) -> (String, Reply) {
    let method = operation.method.to_uppercase();
    let (target, body) = good(operation);
    let good_caller = caller(edge, operation, "shop");
    let padding = "x".repeat(2_000);
    let path = |rest: &str| format!("{}{rest}", operation.path.split('{').next().unwrap());
    let stream_of = |key: &str| operation.path.replace("{key}", key);
    let (caller, target, body) = match (status, operation.id()) {
        (200 | 204, "ofrepEvaluateOne") => (good_caller, path("open"), body),
        (200 | 204, _) => (good_caller, target, body),
        (304, _) => (good_caller.with("If-None-Match", "*"), target, body),
        (400, "adminExplain") => (good_caller, target, "{}".to_owned()),
        (400, _) if method == "GET" || body.is_empty() => {
            (good_caller.with("Transfer-Encoding", "gzip, chunked"), target, String::new())
        }
        (400, _) => (good_caller, target, "{".to_owned()),
        (401, "flagsmithStream") => (edge.anonymous(), stream_of(&secret_key("shop")), body),
        (404, "flagsmithStream") => (edge.anonymous(), stream_of("nope"), body),
        (503, "flagsmithStream") => (edge.anonymous(), stream_of(&publishable_key("void")), body),
        (403, "ofrepStream") => {
            let in_query = format!("?publishableKey={}", secret_key("shop"));
            (edge.anonymous(), path(&in_query), body)
        }
        (401 | 403, _) if operation.port == Port::Public => (edge.anonymous(), target, body),
        (403, _) => (good_caller.with("Host", "rebound.example"), target, body),
        (404, "flagsmithFlags") => (good_caller, path("?feature=nope"), body),
        (404, "adminExplain") => {
            (good_caller, target, json!({"environment": "nope", "context": {}}).to_string())
        }
        (404, _) => (good_caller, path("nope"), body),
        (408, _) => {
            let request = good_caller.with("Content-Length", "9").request(&method, &target, b"");
            let head = String::from_utf8(request).unwrap().replace("Content-Length: 0\r\n", "");
            let mut connection = Connection::open(edge.public);
            connection.write(head);
            return (target, connection.reply_to(&method));
        }
        (413, "adminExplain") => (good_caller, target, "x".repeat(300_000)),
        (413, _) => (good_caller, target, padding),
        (414, _) => {
            let join = if target.contains('?') { '&' } else { '?' };
            (good_caller, format!("{target}{join}x={padding}"), body)
        }
        (415, "adminExplain") => (good_caller.with("Content-Type", "text/plain"), target, body),
        (415, _) => (good_caller.with("Content-Encoding", "gzip"), target, body),
        (422, "flagsmithIdentity") => (good_caller, target, json!({"traits": 1}).to_string()),
        (422, "flagsmithIdentityByQuery") => (good_caller, path(""), body),
        (422, _) => (good_caller, path("?feature=%ff"), body),
        (431, _) => {
            let many = (0..200).fold(good_caller, |caller, n| caller.with(&format!("x-{n}"), "x"));
            (many, target, body)
        }
        (501, "reflagDefinitions") => (caller(edge, operation, "mall-alone"), target, body),
        (501, _) => (caller(edge, operation, "shop-alone"), target, body),
        (503, "adminReadyOfEnvironment") => (good_caller, path("void"), body),
        (503, "adminExplain") => {
            (good_caller, target, json!({"environment": "void", "context": {}}).to_string())
        }
        (503, id) if TAKEN_IN.contains(&id) => {
            let reply = until("another body to be received", || {
                let reply = good_caller.ask(&method, &target, &body);
                Some(reply).filter(|reply| reply.status == status)
            });
            return (target, reply);
        }
        (503, _) => (caller(edge, operation, "void"), target, body),
        (other, id) => panic!("nobody knows how {id} comes to {other}"),
    };
    let reply = caller.ask(&method, &target, body);
    (target, reply)
}

#[test]
fn every_status_of_every_operation_is_answered_as_described() {
    let edge = edge();
    // The process is not ready as long as one environment may still get flags.
    let settled = setup(Environment::named("shop").holding(of_reflag())).start();
    let busy = setup(Environment::named("shop").holding(of_reflag()))
        .limits("body = \"1KiB\"")
        .limits("in_flight_body_bytes = \"1KiB\"")
        .limits("body_timeout = \"1h\"")
        .start();
    let slow = busy.secret().with("Content-Length", "1024").request("POST", "/bulk", b"");
    let mut uploading = Connection::open(busy.public);
    uploading.write(String::from_utf8(slow).unwrap().replace("Content-Length: 0\r\n", ""));
    let mut count = 0;
    for operation in description().operations() {
        for status in operation.statuses() {
            let exempt = NOT_PROVOKED
                .iter()
                .any(|(s, id, _)| *s == status && operation.id().starts_with(id));
            if exempt {
                continue;
            }
            let is_health = operation.object["security"] == json!([]);
            let edge = match status {
                200 if is_health => &settled,
                503 if TAKEN_IN.contains(&operation.id()) => &busy,
                _ => &edge,
            };
            let (target, reply) = provoke(edge, &operation, status);
            let id = operation.id();
            assert_eq!(reply.status, status, "{id} {target}\n{reply}");
            assert_described(operation.port, &operation.method.to_uppercase(), &target, &reply);
            count += 1;
        }
    }
    println!("{count} statuses");
    assert!(count > 180, "only {count}");
}

#[test]
fn paths_answer_the_methods_that_are_described_and_no_other_with_either_slash() {
    let edge = edge();
    let (mut allowed, mut targets) = (BTreeMap::new(), Vec::new());
    for operation in description().operations() {
        let methods: &mut Vec<&str> = allowed.entry(operation.path).or_default();
        methods.extend(if operation.method == "get" { &["GET", "HEAD"][..] } else { &["POST"] });
        let (target, body) = good(&operation);
        targets.push((operation, target, body));
    }
    for (operation, target, body) in targets {
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let other = match path.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{path}/"),
        };
        // There a slash belongs to the key.
        let other = if operation.id() == "ofrepEvaluateOne" { path.to_owned() } else { other };
        for path in [path.to_owned(), other] {
            let target = if query.is_empty() { path } else { format!("{path}?{query}") };
            let caller = caller(&edge, &operation, "shop");
            let good = caller.ask(&operation.method.to_uppercase(), &target, &body);
            assert_ne!(good.status, 404, "{target}\n{good}");
            assert_described(operation.port, &operation.method.to_uppercase(), &target, &good);
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
                let reply = caller.ask(method, &target, "");
                let methods = &allowed[operation.path];
                assert_described(operation.port, method, &target, &reply);
                assert_eq!(reply.status == 405, !methods.contains(&method), "{method} {target}");
                if reply.status == 405 {
                    let told = reply.header("allow").unwrap();
                    assert_eq!(told.split(", ").collect::<Vec<_>>(), *methods, "{target}");
                }
            }
        }
    }
}

#[test]
fn where_there_is_nothing_the_answer_is_as_described() {
    let edge = edge();
    for (path, port) in [
        ("/", Port::Public),
        ("/nope", Port::Public),
        ("/status", Port::Public),
        ("/openapi.json", Port::Public),
        ("/api/v1/nope", Port::Public),
        ("/ofrep/v1/configuration", Port::Public),
        ("/", Port::Admin),
        ("/features", Port::Admin),
    ] {
        let caller = if port == Port::Public { edge.anonymous() } else { edge.admin() };
        let reply = caller.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert_described(port, "GET", path, &reply);
    }
}

#[test]
fn pages_are_answered_as_described() {
    const ORIGIN: &str = "https://shop.example";
    for cors in [
        "",
        "origins = [\"https://shop.example\"]\ncredentials = true",
        "origins = [\"https://other.example\"]",
    ] {
        let of = |name, document, format| {
            let environment = Environment::named(name).holding(document).format(format);
            if cors.is_empty() { environment } else { environment.table("cors", cors) }
        };
        let edge = setup(of("shop", of_reflag(), "reflag"))
            .and(of("mall", of_flagsmith(), "flagsmith"))
            .start();
        for name in ["shop", "mall"] {
            for operation in description().operations().filter(|o| o.port == Port::Public) {
                let (target, body) = good(&operation);
                let method = operation.method.to_uppercase();
                let page = edge.publishable_of(name).with("Origin", ORIGIN);
                for caller in
                    [page.clone(), page.clone().bearer("nobody"), page.with("If-None-Match", "*")]
                {
                    let reply = caller.ask(&method, &target, &body);
                    assert_described(Port::Public, &method, &target, &reply);
                }
                let reply = edge.anonymous().preflight(ORIGIN, &method, &target);
                assert_eq!(reply.status, 204);
                assert_described(Port::Public, "OPTIONS", &target, &reply);
            }
        }
    }
}

#[test]
fn stale_answers_are_as_described_whatever_the_environment_makes_of_them() {
    for policy in ["serve", "mark", "refuse"] {
        let settings = format!("max_staleness = \"1s\"\non_stale = \"{policy}\"");
        let edge = setup(Environment::named("shop").holding(of_reflag()).says(&settings))
            .and(
                Environment::named("mall")
                    .holding(of_flagsmith())
                    .format("flagsmith")
                    .says(&settings),
            )
            .start();
        edge.lose_rules("shop");
        edge.lose_rules("mall");
        edge.now_is("2026-06-01T13:00:00Z");
        for operation in description().operations().filter(|o| o.port == Port::Public) {
            let (target, body) = good(&operation);
            let method = operation.method.to_uppercase();
            for name in ["shop", "mall"] {
                for caller in [edge.publishable_of(name), edge.secret_of(name)] {
                    let reply = caller.ask(&method, &target, &body);
                    assert_described(Port::Public, &method, &target, &reply);
                }
            }
        }
        for path in ["/status", "/health/ready", "/health/ready/shop"] {
            assert_described(Port::Admin, "GET", path, &edge.admin().get(path));
        }
    }
}

#[test]
fn documents_that_lack_flags_and_compressed_ones_are_as_described() {
    let partial = |name, document: String, format| {
        let environment = Environment::named(name).holding(document).format(format);
        environment.table("reflag", "definitions = \"partial\"")
    };
    let edge = Setup::of(partial("shop", reflag_alone(), "reflag"))
        .and(partial("mall", flagsmith_alone(), "flagsmith"))
        .start();
    for (name, path) in [("mall", "/features"), ("shop", "/api/v1/environment-document/")] {
        let caller = edge.secret_of(name);
        let reply = caller.get(path);
        assert_eq!(reply.header("burgee-untranslated"), Some("adults"), "{reply}");
        assert_described(Port::Public, "GET", path, &reply);
        let reply = caller.with("If-None-Match", &reply.etag()).get(path);
        assert_eq!(reply.status, 304);
        assert_described(Port::Public, "GET", path, &reply);
    }
    assert_described(Port::Admin, "GET", "/status", &edge.admin().get("/status"));
    let long: Vec<_> = (0..200).map(|n| on(&format!("flag-{n}"))).collect();
    let edge = Edge::serving(document(1, &long));
    for path in
        ["/features", "/features/evaluated", "/api/v1/flags/", "/api/v1/environment-document"]
    {
        let caller = edge.secret().with("Accept-Encoding", "gzip");
        let reply = until("the compressed form", || {
            Some(caller.get(path)).filter(|reply| reply.header("content-encoding").is_some())
        });
        assert_described(Port::Public, "GET", path, &reply);
    }
}

#[test]
fn the_description_is_served_in_both_spellings_and_revalidated() {
    let edge = edge();
    for (path, content_type) in
        [("/openapi.json", "application/json"), ("/openapi.yaml", "application/yaml")]
    {
        let reply = edge.admin().get(path);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(content_type)));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        let kept = std::fs::read(description().file(&path[1..])).unwrap();
        assert!(reply.body == kept, "{path} is another text");
        let again = edge.admin().with("If-None-Match", &reply.etag()).get(path);
        assert_eq!((again.status, again.body.len()), (304, 0));
        let length = kept.len().to_string();
        let without_body = edge.admin().ask("HEAD", path, "");
        assert_eq!(without_body.header("content-length"), Some(&*length));
        let foreign = edge.admin().with("Host", "rebound.example").get(path);
        assert_eq!(foreign.status, 403, "like all that is not open");
    }
    let tags = ["/openapi.json", "/openapi.yaml"].map(|path| edge.admin().get(path).etag());
    assert_ne!(tags[0], tags[1]);
}

#[test]
fn bare_refusals_of_heads_may_not_be_kept_by_a_shared_cache() {
    let edge = edge();
    for head in ["GET / HTTP/1.1\r\nbad field\r\n\r\n", "nonsense\r\n\r\n"] {
        let mut connection = Connection::open(edge.public);
        connection.write(head);
        let reply = connection.reply_to("GET");
        assert_eq!(reply.header("cache-control"), Some("private, no-store"), "{reply}");
    }
}
