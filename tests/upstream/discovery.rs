//! Environments that Flagsmith lists for a proxy: they appear, rotate and disappear without a
//! restart, and a mishap upstream takes nobody out (flagsmith.md section 14).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_upstream::flagsmith::{DOCUMENT, LIST, Listed, PROXY_KEY, ServerKey};
use crate::fake_upstream::{Answer, Document, Reply as Answered, Step, Upstream};
use crate::following::for_each_row;
use crate::support::events::Block;
use crate::support::wire::{Caller, Reply};
use crate::support::{Edge, Environment, Setup, logged, until};

fn upstream(listed: &[Listed]) -> Upstream {
    let upstream = Upstream::serving(Document::empty(0));
    upstream.list(listed);
    upstream
}

/// What stands below `[[discover]]`.
fn settings(upstream: &Upstream, more: &str) -> String {
    let url = upstream.url();
    format!(
        "url = \"{url}/api/v1\"\nproxy_key = {PROXY_KEY:?}\ntimeout = \"60s\"\npush = false\n{more}"
    )
}

fn setup(upstream: &Upstream) -> Setup {
    Setup::discovering(settings(upstream, ""))
}

fn start(upstream: &Upstream) -> Edge {
    setup(upstream).start()
}

fn with_key(edge: &Edge, key: &str) -> Caller {
    edge.anonymous().with("X-Environment-Key", key)
}

fn flags(edge: &Edge, key: &str) -> Reply {
    with_key(edge, key).get("/api/v1/flags/")
}

fn document(edge: &Edge, key: &str) -> Reply {
    with_key(edge, key).get("/api/v1/environment-document/")
}

/// Waits until a client key is answered with this value.
#[track_caller]
fn until_served(edge: &Edge, key: &str, value: &str) {
    let served = || {
        let reply = flags(edge, key);
        (reply.status == 200 && reply.json()[0]["feature_state_value"] == value).then_some(())
    };
    until(&format!("{value} for {key}"), served);
}

/// Waits until a key is known no more.
#[track_caller]
fn until_unknown(edge: &Edge, key: &str) {
    until(&format!("{key} is unknown"), || (flags(edge, key).status == 401).then_some(()));
}

fn status(edge: &Edge) -> Value {
    edge.admin().get("/status").json()
}

/// The only list in `GET /status`.
fn list(edge: &Edge) -> Value {
    status(edge)["discover"][0].clone()
}

fn names(edge: &Edge) -> Vec<String> {
    let status = status(edge);
    let all = status["environments"].as_array().unwrap();
    let mut names: Vec<_> =
        all.iter().map(|environment| environment["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn until_list(edge: &Edge, wanted: impl Fn(&Value) -> bool) -> Value {
    until("a status of the list", || Some(list(edge)).filter(&wanted))
}

/// Waits for so many more looks at the list, whatever comes of them. The last of them is asked for when those before it were dealt with.
fn until_more_lists(upstream: &Upstream, count: usize) {
    let asked = upstream.requests_to(LIST).len();
    upstream.until_requests(LIST, asked + count);
}

fn looks(edge: &Edge, outcome: &str) -> u64 {
    let labels = [("discover", "discovered"), ("outcome", outcome)];
    edge.metrics().count("burgee_discoveries_total", &labels)
}

/// Series of a metric that have this environment's name.
fn series_of(edge: &Edge, environment: &str) -> usize {
    let label = format!("environment=\"{environment}\"");
    edge.admin().get("/metrics").text().lines().filter(|line| line.contains(&label)).count()
}

const PROD: &str = "discovered/35/prod";
const STAGING: &str = "discovered/35/staging";

fn both() -> [Listed; 2] {
    [Listed::new(30, "prod"), Listed::new(31, "staging")]
}

// Appearing.

#[test]
fn listed_environments_appear_and_answer() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    until_served(&edge, "client-staging", "staging");
    assert_eq!(names(&edge), [PROD, STAGING]);
    // Server keys see the rules, client keys do not.
    assert_eq!(document(&edge, "ser.prod").json()["name"], "prod");
    assert_eq!(document(&edge, "client-prod").status, 401);
    // What is sent upstream: the proxy's key with the list and with every document.
    let requests = upstream.requests();
    assert!(requests.iter().all(|request| request.header("x-proxy-key") == Some(PROXY_KEY)));
    let of_documents = requests.iter().filter(|request| request.path() == DOCUMENT);
    assert!(of_documents.clone().count() >= 2);
    for request in of_documents {
        let key = request.header("x-environment-key").unwrap();
        assert!(["ser.prod", "ser.staging"].contains(&key), "{key}");
    }
    let shown = edge.status(PROD);
    assert_eq!(shown["source"]["type"], "flagsmith");
    assert_eq!(shown["source"]["url"], format!("{}/api/v1", upstream.url()));
    let discovered = json!({"by": "discovered", "id": 30, "project_id": 35, "name": "prod"});
    assert_eq!(shown["discovered"], discovered);
    assert!(series_of(&edge, PROD) > 5);
    let seen = until_list(&edge, |list| list["environments"] == 2);
    assert_eq!(seen["name"], "discovered");
    assert_eq!(seen["last_error"], Value::Null);
    assert!(seen["last_success_at"].is_string());

    // One more, and nothing happens to those that are there.
    let before = edge.status(PROD)["version"].clone();
    let mut listed = both().to_vec();
    listed.insert(0, Listed::new(29, "new"));
    upstream.list(&listed);
    until_served(&edge, "client-new", "new");
    assert_eq!(edge.status(PROD)["version"], before);
    let gauge = || edge.metrics().find("burgee_discovered_environments", &[]);
    until("the count", || (gauge() == Some(3.0)).then_some(()));
}

#[test]
fn an_edge_that_has_discovered_nothing_yet_knows_no_key_and_is_not_ready() {
    let upstream = upstream(&both());
    let gate = upstream.gate();
    let whole: Vec<_> = both().iter().map(Listed::entry).collect();
    upstream.answer_once(LIST, Answer::from(Answered::json(200, &json!(whole))).after(&gate));
    let edge = setup(&upstream).begin();
    upstream.until_requests(LIST, 1);
    assert_eq!(flags(&edge, "client-prod").status, 401);
    assert_eq!(edge.anonymous().bearer("client-prod").get("/features").status, 403);
    let ready = edge.admin().get("/health/ready");
    assert_eq!((ready.status, &ready.json()["environments"]), (503, &json!({})));
    gate.open();
    until_served(&edge, "client-prod", "prod");
    until("readiness", || (edge.admin().get("/health/ready").status == 200).then_some(()));
    let one = edge.admin().get("/health/ready/discovered%2F35%2Fprod");
    assert_eq!(one.status, 200, "{one}");
}

#[test]
fn who_is_listed_but_has_no_document_yet_is_not_loaded() {
    let upstream = upstream(&both());
    upstream.answer(DOCUMENT, Answered::status(500));
    let edge = start(&upstream);
    let loaded = || flags(&edge, "client-prod");
    let reply = until("the environment", || Some(loaded()).filter(|r| r.status != 401));
    assert_eq!(reply.status, 503, "{reply}");
    assert_eq!(edge.admin().get("/health/ready").status, 503);
    upstream.recover();
    until_served(&edge, "client-prod", "prod");
}

#[test]
fn settings_of_a_discovery_hold_for_each_of_its_environments() {
    let upstream = upstream(&both());
    let more = "name = \"vendor\"\nmax_staleness = \"1m\"\non_stale = \"refuse\"\n\
                [discover.cors]\norigins = [\"https://shop.example\"]";
    let edge = Setup::discovering(settings(&upstream, more)).start();
    until_served(&edge, "client-prod", "prod");
    let page = |origin: &str| with_key(&edge, "client-prod").with("Origin", origin);
    let allowed = "access-control-allow-origin";
    let theirs = page("https://shop.example").get("/api/v1/flags/");
    assert_eq!(theirs.header(allowed), Some("https://shop.example"));
    assert_eq!(page("https://other.example").get("/api/v1/flags/").header(allowed), None);
    assert_eq!(edge.status("vendor/35/prod")["max_staleness_seconds"], 60);
    upstream.answer(DOCUMENT, Answered::status(500));
    edge.until_status("vendor/35/prod", |status| status["source"]["last_error"].is_object());
    edge.now_is("2026-06-01T12:02:00Z");
    assert_eq!(flags(&edge, "client-prod").status, 503);
}

// Rotating.

#[test]
fn a_client_key_is_rotated_while_the_environment_stays() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    let [prod, staging] = both();
    upstream.list(&[staging, prod.client_key("renewed")]);
    // With the rules that are held: there is no moment without any.
    until("the new key", || (flags(&edge, "renewed").status != 401).then_some(()));
    until_served(&edge, "renewed", "prod");
    assert_eq!(flags(&edge, "client-prod").status, 401);
    assert_eq!(names(&edge), [PROD, STAGING]);
}

#[test]
fn a_server_key_is_rotated_through_a_time_with_both() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    let [prod, staging] = both();
    let (old, new) = (ServerKey::new("ser.prod"), ServerKey::new("ser.new"));
    let both_keys = prod.clone().server_keys(&[new.clone(), old.clone()]);
    upstream.list(&[both_keys, staging.clone()]);
    until("the new key", || (document(&edge, "ser.new").status == 200).then_some(()));
    assert_eq!(document(&edge, "ser.prod").status, 200);
    upstream.list(&[prod.clone().server_keys(&[new.clone(), old.inactive()]), staging.clone()]);
    until("the end of the old key", || (document(&edge, "ser.prod").status == 401).then_some(()));
    assert_eq!(document(&edge, "ser.new").status, 200);
    assert_eq!(flags(&edge, "client-prod").status, 200);
    // From now on the document is asked for with the new one only.
    upstream.forget_requests();
    upstream.until_requests(DOCUMENT, 4);
    let sent = upstream.requests_to(DOCUMENT).into_iter();
    let sent: Vec<_> = sent.filter(|r| r.header("x-environment-key") == Some("ser.prod")).collect();
    assert!(sent.is_empty(), "{sent:?}");
    edge.until_status(PROD, |status| status["state"] == "live");
    // The last one goes: browsers are still answered, from what is held.
    upstream.list(&[prod.server_keys(&[new.inactive()]), staging]);
    until("the end of the new key", || (document(&edge, "ser.new").status == 401).then_some(()));
    edge.until_status(PROD, |status| status["state"] == "unauthorized");
    assert_eq!(flags(&edge, "client-prod").status, 200);
}

#[test]
fn a_server_key_ends_at_its_moment_and_the_next_one_is_used() {
    let [prod, staging] = both();
    let ending = ServerKey::new("ser.a").until("2026-06-01T12:00:30+00:00");
    let prod = prod.server_keys(&[ServerKey::new("ser.b"), ending]);
    let upstream = upstream(&[prod, staging]);
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    assert_eq!(document(&edge, "ser.a").status, 200);
    // The upstream cannot tell any more: what it said holds.
    upstream.answer(LIST, Answered::status(500));
    edge.now_is("2026-06-01T12:00:29Z");
    assert_eq!(document(&edge, "ser.a").status, 200);
    edge.now_is("2026-06-01T12:00:30Z");
    until("the end of the key", || (document(&edge, "ser.a").status == 401).then_some(()));
    assert_eq!(document(&edge, "ser.b").status, 200);
    assert_eq!(flags(&edge, "client-prod").status, 200);
    upstream.forget_requests();
    upstream.until_requests(DOCUMENT, 4);
    let is_over =
        |r: &crate::fake_upstream::Request| r.header("x-environment-key") == Some("ser.a");
    assert!(!upstream.requests_to(DOCUMENT).iter().any(is_over));
}

#[test]
fn a_server_key_that_is_refused_makes_way_for_the_next_one() {
    let [prod, staging] = both();
    let keys = [ServerKey::new("ser.a").refused(), ServerKey::new("ser.b")];
    let upstream = upstream(&[prod.server_keys(&keys), staging]);
    let more = "on_unauthorized = \"refuse\"";
    let edge = Setup::discovering(settings(&upstream, more)).start();
    until_served(&edge, "client-prod", "prod");
    edge.until_status(PROD, |status| status["state"] == "live");
    let refused = [("environment", PROD), ("outcome", "unauthorized")];
    assert_eq!(edge.metrics().count("burgee_source_fetches_total", &refused), 0);
    // The one that works is kept, whatever comes before it.
    upstream.forget_requests();
    upstream.until_requests(DOCUMENT, 6);
    let sent = upstream.requests_to(DOCUMENT).into_iter();
    assert_eq!(sent.filter(|r| r.header("x-environment-key") == Some("ser.a")).count(), 0);
}

#[test]
fn another_order_of_the_list_is_no_change() {
    let [prod, staging] = both();
    let [a, b] = [ServerKey::new("ser.a"), ServerKey::new("ser.b")];
    let one = [prod.clone().server_keys(&[a.clone(), b.clone()]), staging.clone()];
    let upstream = upstream(&one);
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    until_served(&edge, "client-staging", "staging");
    upstream.list(&[staging, prod.server_keys(&[b, a])]);
    let before = looks(&edge, "unchanged");
    until("more looks", || (looks(&edge, "unchanged") > before + 3).then_some(()));
    assert_eq!(looks(&edge, "changed"), 1);
}

#[test]
fn a_key_may_go_from_one_environment_to_another() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    until_served(&edge, "client-staging", "staging");
    let [prod, staging] = both();
    upstream.list(&[prod.client_key("client-staging"), staging.client_key("client-prod")]);
    until_served(&edge, "client-staging", "prod");
    until_served(&edge, "client-prod", "staging");
}

// Disappearing.

#[test]
fn an_environment_that_is_gone_from_the_list_is_gone_at_once_with_all_that_is_its() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    until_served(&edge, "client-staging", "staging");
    assert!(series_of(&edge, STAGING) > 5);
    let [prod, _] = both();
    upstream.list(&[prod]);
    until_unknown(&edge, "client-staging");
    assert_eq!(document(&edge, "ser.staging").status, 401);
    assert_eq!(names(&edge), [PROD]);
    assert_eq!(series_of(&edge, STAGING), 0);
    assert_eq!(edge.admin().get("/health/ready/discovered%2F35%2Fstaging").status, 404);
    // Nobody asks for its document any more.
    upstream.forget_requests();
    upstream.until_requests(DOCUMENT, 4);
    let sent = upstream.requests_to(DOCUMENT).into_iter();
    assert_eq!(sent.filter(|r| r.header("x-environment-key") == Some("ser.staging")).count(), 0);
    assert_eq!(flags(&edge, "client-prod").status, 200);
    assert!(logged().contains("not served any more"));

    // It comes back as new as it was: in a place of its own, with counters from zero.
    upstream.list(&both());
    until_served(&edge, "client-staging", "staging");
    let evaluated = [("environment", STAGING), ("dialect", "flagsmith")];
    let count = || edge.metrics().count("burgee_evaluations_total", &evaluated);
    let before = count();
    assert!(before < 100, "{before}");
    flags(&edge, "client-staging");
    assert_eq!(count(), before + 1);
    assert_eq!(edge.status(STAGING)["state"], "live");
}

#[test]
fn environments_come_and_go_many_times_without_running_out_of_places() {
    let upstream = upstream(&both());
    let edge = Setup::discovering(settings(&upstream, "max_environments = 3")).start();
    until_served(&edge, "client-prod", "prod");
    for round in 0..20_u64 {
        let name = format!("round-{round}");
        let [prod, _] = both();
        upstream.list(&[prod, Listed::new(100 + round, &name)]);
        until_served(&edge, &format!("client-{name}"), &name);
        let evaluated = [("environment", &*format!("discovered/35/{name}"))];
        let count = edge.metrics().count("burgee_evaluations_total", &evaluated);
        assert!((1..50).contains(&count), "counts of another one: {count}");
    }
    let drops = [("what", "discovered_environments")];
    assert_eq!(edge.metrics().count("burgee_bounded_dropped_total", &drops), 0);
}

#[test]
fn requests_under_way_during_changes_lose_nothing() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = with_key(&edge, "client-prod").connect();
                    let mut asked = 0;
                    while !over.load(Ordering::Relaxed) {
                        let reply = session.get("/api/v1/flags/");
                        assert_eq!(reply.json()[0]["feature_state_value"], "prod", "{reply}");
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for round in 0..10 {
            let [prod, staging] = both();
            let key = format!("ser.{round}");
            let prod = prod.server_keys(&[ServerKey::new("ser.prod"), ServerKey::new(&key)]);
            let others = [Listed::new(50 + round, &format!("other-{round}")), staging];
            upstream.list(&[&[prod][..], &others[..usize::try_from(round % 3).unwrap()]].concat());
            until("the round's key", || (document(&edge, &key).status == 200).then_some(()));
        }
        over.store(true, Ordering::Relaxed);
        for asked in asking {
            assert!(asked.join().unwrap() > 0);
        }
    });
}

// Mishaps.

#[test]
fn a_list_that_cannot_be_fetched_or_read_changes_nothing() {
    let hang = || Answer::nothing().then(Step::Hang);
    let body = |body: &str| Answer::from(Answered::status(200).body(body.to_owned()));
    let whole: Vec<_> = both().iter().map(Listed::entry).collect();
    let whole = Answered::json(200, &json!(whole));
    let rows: [(&str, Answer, &str); 14] = [
        ("500", Answered::status(500).into(), "status_5xx"),
        ("503", Answered::status(503).into(), "status_5xx"),
        ("401", Answered::status(401).into(), "unauthorized"),
        ("403", Answered::status(403).into(), "unauthorized"),
        ("404", Answered::status(404).into(), "status_4xx"),
        ("a redirect", Answered::status(302).header("Location", "//x/").into(), "malformed"),
        ("204", Answered::status(204).into(), "malformed"),
        ("nothing in it", body(""), "malformed"),
        ("an object", body("{}"), "malformed"),
        ("a list in an object", body("{\"results\": []}"), "malformed"),
        ("null", body("null"), "malformed"),
        ("a page", body("<html>maintenance</html>"), "malformed"),
        ("half of it", Answer::beginning_of(&whole, 200).then(Step::Close), "network"),
        ("silence", hang(), "timeout"),
    ];
    for_each_row(
        &rows,
        |(name, ..)| name,
        |(_, answer, kind)| {
            let upstream = upstream(&both());
            let timeout = if *kind == "timeout" { "300ms" } else { "60s" };
            let more = settings(&upstream, "").replace("60s", timeout);
            let edge = Setup::discovering(more).start();
            until_served(&edge, "client-prod", "prod");
            until_served(&edge, "client-staging", "staging");
            upstream.answer(LIST, answer.clone());
            // What the service knows by now does not count.
            upstream.list(&[]);
            let failing = until_list(&edge, |list| {
                list["consecutive_failures"].as_u64().is_some_and(|failures| failures >= 3)
            });
            assert_eq!(failing["last_error"]["kind"], *kind, "{failing}");
            until("three failures", || (looks(&edge, kind) >= 3).then_some(()));
            for name in ["prod", "staging"] {
                assert_eq!(flags(&edge, &format!("client-{name}")).status, 200);
                assert_eq!(document(&edge, &format!("ser.{name}")).status, 200);
            }
            assert_eq!(edge.admin().get("/health/ready").status, 200);
            upstream.list(&both());
            upstream.recover();
            until_list(&edge, |list| list["consecutive_failures"] == 0);
            assert_eq!(names(&edge), [PROD, STAGING]);
        },
    );
}

#[test]
fn a_list_that_lacks_nearly_all_is_believed_when_it_comes_three_times_in_a_row() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    until_served(&edge, "client-staging", "staging");
    let nobody = Answered::json(200, &json!([]));
    for _ in 0..2 {
        upstream.answer_once(LIST, nobody.clone());
    }
    until("it was held back", || (looks(&edge, "rejected") == 2).then_some(()));
    until_list(&edge, |list| list["last_error"] == Value::Null);
    assert_eq!(names(&edge), [PROD, STAGING]);
    assert!(logged().contains("the list lacks 2 of 2 environments"));
    // A list that means it.
    upstream.answer(LIST, nobody);
    until_unknown(&edge, "client-prod");
    until_unknown(&edge, "client-staging");
    assert_eq!(looks(&edge, "rejected"), 4);
    let list = until_list(&edge, |list| list["environments"] == 0);
    assert_eq!(list["last_error"], Value::Null);
    assert_eq!(edge.admin().get("/health/ready").status, 503);
    upstream.recover();
    until_served(&edge, "client-prod", "prod");
}

#[test]
fn an_entry_that_cannot_be_read_costs_nobody_else_and_takes_nobody_out() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    until_served(&edge, "client-staging", "staging");
    let broken = json!([
        both()[0].entry(), Listed::new(32, "third").entry(), {"id": "31", "name": "staging"},
    ]);
    upstream.answer(LIST, Answered::json(200, &broken));
    upstream.list(&[&both()[..], &[Listed::new(32, "third")]].concat());
    until_served(&edge, "client-third", "third");
    until_list(&edge, |list| list["last_error"]["kind"] == "malformed");
    until_more_lists(&upstream, 4);
    assert_eq!(flags(&edge, "client-staging").status, 200);
    let diagnostics = list(&edge)["diagnostics"].to_string();
    assert!(diagnostics.contains("entry 3"), "{diagnostics}");
}

#[test]
fn what_collides_with_the_configuration_is_skipped_and_said_once() {
    let [prod, staging] = both();
    let taken = [
        prod.client_key("pub_shop"),
        staging,
        Listed::new(32, "third").server_keys(&[ServerKey::new("ser.mine")]),
        Listed::new(33, "fourth").client_key("client-staging"),
        Listed::new(34, "fifth").server_keys(&[ServerKey::new("ser.x").inactive()]),
    ];
    let upstream = upstream(&taken);
    let document = json!({"flagStateVersion": 7, "features": []}).to_string();
    let shop = Environment::named("shop").holding(document).says("");
    let mine = Environment::named("mine").source(format!(
        "type = \"flagsmith\"\nurl = \"{}/mine\"\nserver_key = \"ser.mine\"\npush = false",
        upstream.url()
    ));
    let mine = mine.says("max_staleness = \"1h\"");
    let edge = Setup::of(shop).and(mine).and_discovering(settings(&upstream, "")).start();
    until_served(&edge, "client-staging", "staging");
    until_more_lists(&upstream, 3);
    assert_eq!(names(&edge), [STAGING, "mine", "shop"]);
    // The configuration's own keys lead where they always did.
    assert_eq!(edge.publishable().get("/features/evaluated").status, 200);
    let seen = list(&edge);
    assert_eq!(seen["diagnostics"].as_array().unwrap().len(), 4, "{seen}");
    assert_eq!(seen["last_error"], Value::Null);
    let said = logged().matches("environment 33 (\"fourth\"): one of its keys").count();
    assert_eq!(said, 1, "{}", logged());
}

#[test]
fn of_a_thousand_environments_those_within_the_bound_are_served() {
    let listed: Vec<_> = (0..1_000).map(|id| Listed::new(id, &format!("e{id}"))).collect();
    let upstream = upstream(&listed);
    let more = settings(&upstream, "max_environments = 20\npoll_interval = \"200ms\"");
    let edge = Setup::discovering(more).looking_as_configured().start();
    for id in [0, 19] {
        until_served(&edge, &format!("client-e{id}"), &format!("e{id}"));
    }
    assert_eq!(flags(&edge, "client-e20").status, 401);
    let drops = [("what", "discovered_environments")];
    let dropped = || edge.metrics().count("burgee_bounded_dropped_total", &drops);
    assert_eq!(dropped(), 980);
    until_more_lists(&upstream, 3);
    assert_eq!(dropped(), 980, "each is counted once");
    let seen = list(&edge);
    assert_eq!(seen["environments"], 20);
    assert!(seen["diagnostics"].to_string().contains("980 above max_environments"), "{seen}");
    // Whoever leaves makes room for the next.
    upstream.list(&listed[1..]);
    until_served(&edge, "client-e20", "e20");
    until_unknown(&edge, "client-e0");
}

#[test]
fn names_of_the_upstream_are_made_safe_and_stay() {
    let odd = [
        Listed::new(1, "QA 2\n\"west\"").client_key("one"),
        Listed::new(2, "QA 2 west").client_key("two"),
        Listed::new(3, "…").client_key("three").server_keys(&[ServerKey::new("ser.three")]),
    ];
    let keys = |listed: &Listed, key: &str| listed.clone().server_keys(&[ServerKey::new(key)]);
    let odd = [keys(&odd[0], "ser.one"), keys(&odd[1], "ser.two"), odd[2].clone()];
    let upstream = upstream(&odd);
    let edge = start(&upstream);
    until_served(&edge, "three", "…");
    let expected = ["discovered/35/QA-2-west", "discovered/35/id/2", "discovered/35/id/3"];
    assert_eq!(names(&edge), expected);
    let [one, two, three] = odd;
    upstream.list(&[Listed { name: "Other".to_owned(), ..one }, two, three]);
    let renamed = || edge.status("discovered/35/QA-2-west")["discovered"]["name"] == "Other";
    until("the new name", || renamed().then_some(()));
    assert_eq!(names(&edge), expected);
}

#[test]
fn several_environments_may_have_one_number() {
    let upstream = upstream(&[
        Listed::new(30, "a"),
        Listed::new(30, "b"),
        Listed::new(30, "a").client_key("c").server_keys(&[ServerKey::new("ser.c")]),
    ]);
    let edge = start(&upstream);
    until_served(&edge, "client-a", "a");
    until_served(&edge, "client-b", "b");
    until_served(&edge, "c", "a");
    assert_eq!(names(&edge), ["discovered/35/a", "discovered/35/b", "discovered/35/id/30"]);
    upstream.list(&[Listed::new(30, "b"), Listed::new(30, "a")]);
    until_unknown(&edge, "c");
    // The first one by its key had the name, and the others keep theirs.
    assert_eq!(names(&edge), ["discovered/35/b", "discovered/35/id/30"]);
}

#[test]
fn a_failing_list_is_one_line_in_the_log_and_no_key_is_ever_told() {
    let upstream = upstream(&[Listed::new(77, "solitary")]);
    let more = "name = \"quiet\"\ngate = { max_shrink = 0 }";
    let edge = Setup::discovering(settings(&upstream, more)).start();
    until_served(&edge, "client-solitary", "solitary");
    upstream.answer(LIST, Answered::status(502));
    until_list(&edge, |list| list["consecutive_failures"].as_u64() > Some(3));
    upstream.recover();
    until_list(&edge, |list| list["consecutive_failures"] == 0);
    // With the gate off one list is enough.
    upstream.answer_once(LIST, Answered::json(200, &json!([])));
    until_unknown(&edge, "client-solitary");
    let log = logged();
    let lines = |text: &str| {
        log.lines().filter(|line| line.contains("discover=quiet") && line.contains(text)).count()
    };
    assert_eq!(lines("the list cannot be read"), 1);
    assert_eq!(lines("the list is read"), 2);
    let told = [status(&edge).to_string(), edge.admin().get("/metrics").text(), log];
    for text in told {
        for key in [PROXY_KEY, "client-solitary", "ser.solitary"] {
            assert!(!text.contains(key), "{key} is told");
        }
    }
}

#[test]
fn waiting_requests_are_let_go_when_their_environment_is() {
    let upstream = upstream(&both());
    let long = Duration::from_secs(60);
    let edge = setup(&upstream).patience(long, long).start();
    until_served(&edge, "client-staging", "staging");
    let version = edge.status(STAGING)["version"].as_u64().unwrap();
    let caller = edge.anonymous().bearer("ser.staging");
    let asked = std::thread::spawn(move || {
        caller.get(&format!("/features?waitForVersion={}", version + 1))
    });
    until_more_lists(&upstream, 5);
    assert!(!asked.is_finished(), "it waits");
    upstream.list(&[both()[0].clone()]);
    until("the end of the wait", || asked.is_finished().then_some(()));
    asked.join().unwrap().assert_error(403, "INVALID_API_KEY");
    // What it waited for is shown for nobody.
    assert_eq!(series_of(&edge, STAGING), 0);
}

#[test]
fn streams_end_with_their_key_or_their_environment_and_others_stay() {
    let upstream = upstream(&both());
    let edge = start(&upstream);
    until_served(&edge, "client-prod", "prod");
    until_served(&edge, "client-staging", "staging");
    let listen = |key: &str| {
        let stream = edge.anonymous().listen(&format!("/sse/environments/{key}/stream"));
        let mut stream = stream.unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!(stream.event().1, "environment_updated");
        stream
    };
    let (of_prod, of_staging) = (listen("client-prod"), listen("client-staging"));
    let mut of_server = edge.anonymous().bearer("ser.prod").listen("/sse/server").unwrap();
    of_server.event();
    let [prod, _] = both();
    upstream.list(&[prod.client_key("renewed")]);
    for stream in [of_prod, of_staging] {
        // The document holds the key too, so word of the new document may come before the end.
        let rest = stream.until_end();
        assert!(matches!(rest.last(), Some(Block::Retry(_))), "{rest:?}");
    }
    // This one's key holds.
    let clients = || edge.metrics().find("burgee_stream_clients", &[]);
    until("one listens", || (clients() == Some(1.0)).then_some(()));
    listen("renewed");
}
