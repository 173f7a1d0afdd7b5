//! The source of type `flagsmith` before a scripted upstream: pages, conditional requests, and what
//! counts as a change.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code throughout")]

mod fake_upstream;

use std::path::Path;

use burgee::app;
use burgee::config::{ProcessSurroundings, Settings, Source as SourceSettings};
use burgee::model::{Fingerprint, Rules, Update};
use burgee::snapshot::Content;
use burgee::source::{FlagsmithSource, Look, Source};
use burgee::time::Timestamp;
use fake_upstream::{Document, Reply, Request, Upstream};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/environment-document/";
const NOW: &str = "2026-06-01T12:00:00Z";

fn environment() -> Value {
    json!({
        "id": 1, "api_key": "client", "name": "Shop", "updated_at": "2026-05-01T10:00:00+00:00",
        "project": {"id": 1, "name": "Shop", "segments": [], "organisation": {"id": 1, "name": "A"}},
        "feature_states": [{
            "feature": {"id": 7, "name": "checkout", "type": "STANDARD"}, "enabled": true,
            "feature_state_value": "v1", "django_id": 1, "featurestate_uuid": "u",
            "multivariate_feature_state_values": []
        }],
        "identity_overrides": [overridden("ada", "1"), overridden("bob", "2")]
    })
}

fn overridden(identifier: &str, uuid: &str) -> Value {
    json!({
        "identifier": identifier, "identity_uuid": uuid, "environment_api_key": "client",
        "identity_features": [{
            "feature": {"id": 7, "name": "checkout", "type": "STANDARD"}, "enabled": false,
            "feature_state_value": identifier, "django_id": 9, "featurestate_uuid": "v",
            "multivariate_feature_state_values": []
        }]
    })
}

/// An upstream and a source that asks it.
struct Scene {
    upstream: Upstream,
    source: FlagsmithSource,
    settings: Settings,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn start() -> Self {
        let upstream = Upstream::serving(Document::empty(0));
        let toml = format!(
            "[[environments]]\nname = \"shop\"\n[environments.source]\ntype = \"flagsmith\"\n\
             url = \"{}/api/v1\"\nserver_key = \"ser.key\"\n",
            upstream.url()
        );
        let file = Some((Path::new("burgee.toml"), toml.as_str()));
        let settings = Settings::load(file, &ProcessSurroundings).unwrap();
        let SourceSettings::Flagsmith(flagsmith) = &settings.environments[0].source else {
            panic!("it is of type flagsmith");
        };
        let source =
            app::flagsmith_source(&settings, &settings.environments[0], flagsmith).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { upstream, source, settings, runtime }
    }

    fn serve(&self, document: &Value) {
        self.upstream.answer(PATH, Reply::json(200, document));
    }

    /// Looks once, so many seconds after [`NOW`].
    fn look(&mut self, seconds: i64) -> Update {
        let now = Timestamp(Timestamp::parse(NOW).unwrap().0 + seconds * 1_000);
        self.runtime.block_on(self.source.look(Look::at(now))).update
    }

    fn fingerprint(&self, rules: &Rules) -> Fingerprint {
        Content::fingerprint_of(rules, &app::profile(&self.settings.environments[0]))
    }
}

fn replaced(update: Update) -> Rules {
    match update {
        Update::Replace(rules, _) => *rules,
        other => panic!("{other:?}"),
    }
}

/// Identifiers with overrides.
fn identities(rules: &Rules) -> Vec<String> {
    let Rules::Flagsmith(environment) = rules else { panic!("these are Flagsmith's") };
    let mut names: Vec<_> =
        environment.identity_overrides.keys().map(ToString::to_string).collect();
    names.sort();
    names
}

fn failure(update: Update) -> (&'static str, String) {
    match update {
        Update::Unavailable(failure) => (failure.kind.label(), failure.message),
        other => panic!("{other:?}"),
    }
}

fn has_field(request: &Request, name: &str) -> bool {
    request.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name))
}

#[test]
fn what_the_vendor_draws_anew_for_each_answer_is_no_change() {
    let mut scene = Scene::start();
    scene.serve(&environment());
    let first = replaced(scene.look(0));
    let fingerprint = scene.fingerprint(&first);
    for round in 1..100_i64 {
        let mut document = environment();
        let mut overrides = vec![
            overridden("ada", &format!("ada-{round}")),
            overridden("bob", &format!("bob-{round}")),
        ];
        overrides.rotate_left(usize::try_from(round).unwrap() % 2);
        document["identity_overrides"] = json!(overrides);
        document["updated_at"] = json!(format!("2026-05-01T10:{:02}:00+00:00", round % 60));
        scene.serve(&document);
        // Late enough each time for the whole document to be asked for.
        let rules = replaced(scene.look(round * 600));
        assert_eq!(scene.fingerprint(&rules), fingerprint, "round {round}");
    }
    let mut document = environment();
    document["identity_overrides"][0]["identity_features"][0]["enabled"] = json!(true);
    scene.serve(&document);
    let changed = replaced(scene.look(100_000));
    assert_ne!(scene.fingerprint(&changed), fingerprint);
}

#[test]
fn all_pages_are_one_document_and_stay_on_their_host() {
    let mut scene = Scene::start();
    let page = |overrides: Value| {
        let mut document = environment();
        document["identity_overrides"] = overrides;
        document
    };
    let linked = |document: &Value, target: &str| {
        Reply::json(200, document).header("Link", &format!("<{target}>; rel=\"next\""))
    };
    scene.upstream.answer_once(
        PATH,
        linked(&page(json!([overridden("ada", "1")])), "/api/v1/environment-document/?page_id=2"),
    );
    scene.upstream.answer_once(
        PATH,
        linked(&page(json!([overridden("bob", "1")])), "/api/v1/environment-document/?page_id=3"),
    );
    scene.upstream.answer_once(PATH, Reply::json(200, &page(json!([overridden("eve", "1")]))));
    assert_eq!(identities(&replaced(scene.look(0))), ["ada", "bob", "eve"]);
    let asked: Vec<_> = scene.upstream.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].ends_with("?page_id=3"), "{asked:?}");

    // Another host never sees the key, and a page that is missing leaves nothing behind.
    let other = Upstream::serving(Document::empty(0));
    let target = format!("{}{PATH}?page_id=2", other.url());
    scene.upstream.answer_once(PATH, linked(&page(json!([])), &target));
    let (kind, message) = failure(scene.look(600));
    assert_eq!(kind, "malformed");
    assert!(message.contains("another host"), "{message}");
    assert!(other.requests().is_empty());
    scene.upstream.answer_once(PATH, linked(&page(json!([])), "?page_id=2"));
    scene.upstream.answer_once(PATH, Reply::status(500));
    assert_eq!(failure(scene.look(1_200)).0, "status_5xx");
}

#[test]
fn it_is_asked_conditionally_and_as_a_whole_every_few_minutes() {
    let mut scene = Scene::start();
    scene.serve(&environment());
    replaced(scene.look(0));
    scene.upstream.answer(PATH, Reply::status(304));
    assert!(matches!(scene.look(60), Update::Unchanged(_)));
    scene.serve(&environment());
    assert!(matches!(scene.look(400), Update::Unchanged(_)), "the same bytes");
    scene.upstream.answer(PATH, Reply::status(304));
    assert!(
        matches!(scene.look(460), Update::Unchanged(_)),
        "from then on it is conditional again"
    );
    let asked: Vec<_> = scene.upstream.requests();
    let conditional: Vec<_> =
        asked.iter().map(|request| has_field(request, "If-Modified-Since")).collect();
    assert_eq!(conditional, [false, true, false, true]);
    assert!(asked.iter().all(|request| !has_field(request, "If-None-Match")));
}

#[test]
fn a_change_within_the_second_is_not_asked_about_by_the_second() {
    let mut scene = Scene::start();
    let mut document = environment();
    document["updated_at"] = json!("2026-06-01T11:59:59.200000Z");
    scene.serve(&document);
    replaced(scene.look(0));
    assert!(matches!(scene.look(1), Update::Unchanged(_)));
    let asked = scene.upstream.requests();
    assert!(asked.iter().all(|request| !has_field(request, "If-Modified-Since")));
    // Fetched again when it was old enough: from then on it may be asked about.
    assert!(matches!(scene.look(10), Update::Unchanged(_)));
    scene.upstream.answer(PATH, Reply::status(304));
    assert!(matches!(scene.look(20), Update::Unchanged(_)));
    assert!(has_field(scene.upstream.requests().last().unwrap(), "If-Modified-Since"));
}

#[test]
fn the_tag_of_a_page_says_nothing_about_the_others() {
    let mut scene = Scene::start();
    let first = Reply::json(200, &environment()).header("ETag", "\"1\"");
    scene.upstream.answer(PATH, first.clone().header("Link", "</pages/2>; rel=\"next\""));
    scene.upstream.answer("/pages/2", Reply::json(200, &json!({})));
    replaced(scene.look(0));
    scene.look(10);
    assert!(!has_field(&scene.upstream.requests_to(PATH)[1], "If-None-Match"));
    scene.upstream.answer(PATH, first);
    scene.look(20);
    scene.look(30);
    assert!(has_field(&scene.upstream.requests_to(PATH)[3], "If-None-Match"));
}

#[test]
fn what_is_no_document_is_a_failure() {
    for (body, kind) in
        [("{}", "malformed"), ("null", "malformed"), ("", "malformed"), ("[]", "malformed")]
    {
        let mut scene = Scene::start();
        scene.upstream.answer(PATH, Reply::status(200).body(body.to_owned()));
        assert_eq!(failure(scene.look(0)).0, kind, "{body:?}");
    }
    for (status, kind) in
        [(401, "unauthorized"), (403, "unauthorized"), (404, "status_4xx"), (503, "status_5xx")]
    {
        let mut scene = Scene::start();
        scene.upstream.answer(PATH, Reply::status(status));
        let (found, message) = failure(scene.look(0));
        assert_eq!(found, kind);
        assert!(!message.contains("ser.key"), "{message}");
    }
}
