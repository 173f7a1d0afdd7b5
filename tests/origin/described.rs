//! The description of the origin's port: served, and true of every status of every operation.
//!
//! That each answer is as described is looked at by the scene.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::description::{Operation, of_origin};
use crate::scene::{Scene, api_key};
use crate::schema::resolve;
use crate::support::wire::{Caller, Connection, Reply};

/// What no test brings about, and why.
const NOT_PROVOKED: [(u16, &str); 2] = [(408, "takes 30 s"), (500, "takes a fault of ours")];

/// These answer 503 by design; elsewhere it takes a database that is too slow or gone.
const FORWARDED: [&str; 4] =
    ["reflagFeedback", "reflagPromptingInit", "reflagPromptEvent", "reflagOptIn"];

fn is_stream(operation: &Operation<'_>) -> bool {
    operation.path.starts_with("/sse/")
}

/// A shop with one of everything.
struct Shop {
    scene: Scene,
    /// What stands in the place of parameters, and of ids in examples.
    things: Vec<(&'static str, String)>,
    secret: String,
    reader: String,
    too_long: String,
}

impl Shop {
    fn open() -> Self {
        let scene = Scene::start();
        let made = |path: &str, body: &Value| {
            let made = scene.call("POST", &scene.own_path(path), body);
            made["id"].as_str().unwrap().to_owned()
        };
        let rules = json!([{"conditions": [], "rollout": {"percentage": 50}}]);
        let segment = made("/segments", &json!({"name": "Half", "rules": rules}));
        let stage = made("/stages", &json!({"name": "Late"}));
        let other_key = made("/api-keys", &json!({"name": "CI"}));
        let environment = scene.environment("Staging");
        let own = |rest: &str| scene.own_path(&format!("/envs/{environment}{rest}"));
        scene.call("PUT", &own("/companies/acme/users/ada"), &json!({}));
        let (_, secret) = scene.sdk_keys("Staging");
        let reader = api_key(&scene.database(), &scene.app, &[]);
        let text = str::to_owned;
        let things = vec![
            ("{appId}", scene.app.as_str().to_owned()),
            ("{envId}", environment.clone()),
            ("enP1qW8rT5yU3i", environment),
            ("{flagKey}", text("new-checkout-flow")),
            ("{flagId}", text("new-checkout-flow")),
            ("{companyId}", text("acme")),
            ("{userId}", text("ada")),
            ("{kind}", text("secret")),
            ("{apiKeyId}", other_key),
            ("{stageId}", stage),
            ("{segmentId}", segment.clone()),
            ("sgH7jK2lZ9xC4v", segment),
            // Nobody changed it yet.
            ("\"expectedVersion\":7", text("\"expectedVersion\":1")),
        ];
        let too_long = " ".repeat((8 << 20) + 1);
        Self { scene, things, secret, reader, too_long }
    }

    fn with_things(&self, text: &str) -> String {
        self.things.iter().fold(text.to_owned(), |text, (name, thing)| text.replace(name, thing))
    }

    /// Target and body of a request that is answered well.
    fn good(&self, operation: &Operation<'_>) -> (String, String) {
        let document = &of_origin().document;
        let parameters = operation.object["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.map(|p| resolve(document, p["$ref"].as_str().unwrap()));
        let required: Vec<_> = parameters
            .filter(|parameter| parameter["required"] == true)
            .map(|parameter| {
                let text = |member: &str| parameter[member].as_str().unwrap().to_owned();
                format!("{}={}", text("name"), text("example"))
            })
            .collect();
        let query = if required.is_empty() { "" } else { "?" };
        let target = format!("{}{query}{}", operation.path, required.join("&"));
        let schema = &operation.object["requestBody"]["content"]["application/json"]["schema"];
        let example = schema["$ref"].as_str().map(|reference| {
            let example = &resolve(document, reference)["examples"][0];
            if example.is_null() { String::new() } else { example.to_string() }
        });
        (self.with_things(&target), self.with_things(&example.unwrap_or_default()))
    }

    /// Who asks an operation, and may do everything.
    fn caller(&self, operation: &Operation<'_>) -> Caller {
        match operation.object["security"].as_array().unwrap().first() {
            None => Caller::of(self.scene.origin),
            Some(scheme) if scheme.get("apiKey").is_some() => self.scene.admin_key(),
            Some(_) => self.scene.holding(&self.secret),
        }
    }

    /// Asks an operation so that this status must come of it.
    fn provoke(&self, operation: &Operation<'_>, status: u16) -> (String, Reply) {
        let method = operation.method.to_uppercase();
        let (target, body) = self.good(operation);
        let caller = self.caller(operation);
        let is_management = operation.path.starts_with("/api/");
        let (caller, target, body) = match status {
            200 | 503 => (caller, target, body),
            304 => (caller.with("If-None-Match", "\"other\", W/\"x\", *"), target, body),
            400 if matches!(operation.method, "post" | "put" | "patch") && !body.is_empty() => {
                (caller, target, "{".to_owned())
            }
            400 if operation.id() == "listApps" => (caller, format!("{target}?orgId=%ff"), body),
            400 if is_management => (caller, target.replace(self.scene.app.as_str(), "%ff"), body),
            400 => (caller, format!("{target}?waitForVersion=soon"), body),
            403 if is_management => (self.scene.holding(&self.reader), target, body),
            401 | 403 => (caller.without("Authorization"), target, body),
            404 => (caller, target.replace(self.scene.app.as_str(), "ap000000000000"), body),
            413 => (caller, target, self.too_long.clone()),
            415 => (caller.with("Content-Encoding", "gzip"), target, body),
            other => panic!("nobody knows how {} comes to {other}", operation.id()),
        };
        // The body of a stream has no end: `streams` looks at it.
        let method = if is_stream(operation) && status == 200 { "HEAD" } else { &method };
        let reply = caller.ask(method, &target, body);
        (target, reply)
    }
}

#[test]
fn every_status_of_every_operation_is_answered_as_described() {
    let shop = Shop::open();
    let mut count = 0;
    for operation in of_origin().operations() {
        for status in operation.statuses() {
            let is_forwarded = FORWARDED.contains(&operation.id());
            if NOT_PROVOKED.iter().any(|(known, _)| *known == status)
                || (status == 503 && !is_forwarded)
            {
                continue;
            }
            // What is answered well may take things away.
            let own = (status == 200).then(Shop::open);
            let (target, reply) = own.as_ref().unwrap_or(&shop).provoke(&operation, status);
            assert_eq!(reply.status, status, "{} {target}\n{reply}", operation.id());
            count += 1;
        }
    }
    println!("{count} statuses");
    assert!(count > 330, "only {count}");
}

#[test]
fn paths_answer_the_methods_that_are_described_and_no_other_with_either_slash() {
    let shop = Shop::open();
    let mut allowed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for operation in of_origin().operations() {
        let methods = allowed.entry(operation.path).or_default();
        methods.push(operation.method.to_uppercase());
        if operation.method == "get" {
            methods.push("HEAD".to_owned());
        }
    }
    for operation in of_origin().operations() {
        let (target, _) = shop.good(&operation);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let is_management = operation.path.starts_with("/api/");
        // Changes nothing, whatever the method.
        let caller = shop.scene.holding(if is_management { &shop.reader } else { &shop.secret });
        for target in [format!("{path}?{query}"), format!("{path}/?{query}")] {
            let mut heads = BTreeMap::new();
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
                let asked = if is_stream(&operation) && method == "GET" { "HEAD" } else { method };
                let reply = caller.ask(asked, &target, "");
                let methods = &allowed[operation.path];
                let is_described = methods.iter().any(|known| known == method);
                assert_ne!(reply.status, 404, "{method} {target}\n{reply}");
                assert_eq!(reply.status == 405, !is_described, "{method} {target}\n{reply}");
                if let Some(told) = reply.header("allow") {
                    let mut told: Vec<_> = told.split(", ").collect();
                    let mut methods: Vec<_> = methods.iter().map(String::as_str).collect();
                    told.sort_unstable();
                    methods.sort_unstable();
                    assert_eq!(told, methods, "{target}");
                }
                let length = reply.header("content-length").map(str::to_owned);
                heads.insert(method, (reply.status, length));
            }
            assert_eq!(heads["GET"], heads["HEAD"], "{target}: a head is that of the answer");
        }
    }
}

#[test]
fn where_there_is_nothing_the_answer_is_as_described() {
    let shop = Shop::open();
    for path in [
        "/",
        "/nope",
        "/metrics",
        "/status",
        "/openapi",
        "/features/nope",
        "/ofrep/v1/evaluate/flags",
        "/api",
        "/apis",
        "/api/v1/flags/",
        "/api/burgee",
        "/api/apps//flags",
    ] {
        for key in [&shop.scene.key, &shop.secret] {
            let reply = shop.scene.holding(key).get(path);
            assert_eq!(reply.status, 404, "{path}\n{reply}");
        }
    }
}

#[test]
fn heads_that_are_no_http_are_refused_without_a_body() {
    let shop = Shop::open();
    let many = "x: y\r\n".repeat(101);
    let long = "x".repeat(70_000);
    for (head, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /api/apps HTTP/1.1\r\n{many}\r\n"), 431),
        (format!("GET /api/apps?{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 414),
    ] {
        let mut connection = Connection::open(shop.scene.origin);
        connection.write(head);
        let reply = connection.reply_to("GET");
        assert_eq!((reply.status, reply.body.len()), (status, 0), "{reply}");
    }
}

#[test]
fn the_description_is_served_to_everybody_in_both_spellings_and_revalidated() {
    let shop = Shop::open();
    let anybody = Caller::of(shop.scene.origin);
    for (path, content_type) in
        [("/openapi.json", "application/json"), ("/openapi.yaml", "application/yaml")]
    {
        let reply = anybody.get(path);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(content_type)));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        let kept = std::fs::read(of_origin().file(&path[1..])).unwrap();
        assert!(reply.body == kept, "{path} is another text");
        let again = anybody.clone().with("If-None-Match", &reply.etag()).get(path);
        assert_eq!((again.status, again.body.len()), (304, 0));
        let head = anybody.ask("HEAD", path, "");
        assert_eq!(head.header("content-length"), Some(&*kept.len().to_string()));
        assert_eq!(anybody.post(path, "").header("allow"), Some("GET, HEAD"));
    }
    let tags = ["/openapi.json", "/openapi.yaml"].map(|path| anybody.get(path).etag());
    assert_ne!(tags[0], tags[1]);
}

#[test]
fn sdk_paths_keep_to_what_an_edge_answers() {
    let shop = Shop::open();
    let server = shop.scene.holding(&shop.secret);
    let definitions = server.get("/features");
    assert_eq!(definitions.header("age"), Some("0"), "an edge behind it takes them for fresh");
    let etag = definitions.etag();
    for held in [format!("\"a\", {etag}"), format!("W/{etag}"), "*".to_owned()] {
        let reply = server.clone().with("If-None-Match", &held).get("/features/");
        assert_eq!(reply.status, 304, "{held}");
    }
    let long = format!("{{\"userId\":\"{}\"}}", "x".repeat(1 << 20));
    server.post("/user", long).assert_error(413, "INVALID_REQUEST");
    let reply = server.post("/feedback", "{}");
    reply.assert_error(503, "NOT_AVAILABLE");
    assert_eq!(reply.header("retry-after"), Some("60"));
    for path in ["/features/evaluated", "/features/enabled"] {
        let reply = server.get(path);
        assert_eq!(reply.header("cache-control"), Some("private, no-store"), "{path}");
        let version = reply.json()["flagStateVersion"].to_string();
        assert_eq!(reply.header("burgee-version"), Some(&*version), "{path}");
        assert!(reply.header("burgee-fingerprint").is_some(), "{path}");
    }
}

#[test]
fn sdk_paths_take_keys_from_every_field_that_an_edge_does() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    let nobody = Caller::of(scene.origin);
    for name in ["X-Environment-Key", "X-API-Key"] {
        for key in [&publishable, &secret] {
            assert_eq!(nobody.clone().with(name, key).get("/features/evaluated").status, 200);
        }
        // The first in the order decides.
        let both = nobody.clone().bearer("sec_prod_unknown").with(name, &secret);
        assert_eq!(both.get("/features").status, 403, "{name}");
    }
}

#[test]
fn pages_may_read_what_sdk_paths_answer_to_publishable_keys_and_nothing_of_the_management() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    let page = Caller::of(scene.origin).with("Origin", "https://shop.example");
    let leave = |reply: &Reply| reply.header("access-control-allow-origin").map(str::to_owned);
    let all = Some("*".to_owned());
    let reply = page.clone().bearer(&publishable).get("/features/evaluated");
    assert_eq!((reply.status, leave(&reply)), (200, all.clone()));
    let reply = page.clone().bearer(&publishable).post("/user", r#"{"userId":"ada"}"#);
    assert_eq!((reply.status, leave(&reply)), (200, all.clone()));
    let reply = page.clone().bearer(&publishable).ask("HEAD", "/sse/client", "");
    assert_eq!((reply.status, leave(&reply)), (200, all.clone()));
    let reply = page.get("/features/evaluated");
    assert_eq!((reply.status, leave(&reply)), (403, all.clone()));
    assert_eq!(leave(&page.clone().bearer(&secret).get("/features")), None);
    assert_eq!(leave(&page.clone().bearer(&scene.key).get("/api/apps")), None);
    let preflight = page.with("Access-Control-Request-Method", "GET");
    let preflight = preflight.with("Access-Control-Request-Headers", "authorization");
    for path in ["/features/evaluated", "/sse/client", "/bulk"] {
        let reply = preflight.ask("OPTIONS", path, "");
        assert_eq!((reply.status, leave(&reply)), (204, all.clone()), "{path}");
        assert_eq!(reply.header("access-control-allow-headers"), Some("authorization"));
    }
    assert_eq!(preflight.ask("OPTIONS", "/nowhere", "").status, 404);
    assert_eq!(preflight.ask("OPTIONS", "/api/apps", "").status, 405);
}
