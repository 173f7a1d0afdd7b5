//! Documents in several pages.

use serde_json::{Value, json};

use super::{
    PATH, answers, document, good, identity, moment, number, overridden, server, serving, start,
    state, until_well, value_for,
};
use crate::fake_upstream::{Answer, Reply, Step, Upstream};
use crate::following::{
    SHOP, failures_since, for_each_row, outcomes, until_failing, until_more_fetches,
};
use crate::support::Setup;

/// Where the second and the third page are.
const SECOND: &str = "/api/v1/pages/2";
const THIRD: &str = "/api/v1/pages/3";

fn page(version: u32, overrides: Value) -> Value {
    let mut document = document(version);
    document["identity_overrides"] = overrides;
    document
}

/// A page, and a link to the next one.
fn linked(page: &Value, target: &str) -> Reply {
    Reply::json(200, page).header("Link", &format!("<{target}>; rel=\"next\""))
}

/// The first page of two.
fn first(version: u32) -> Reply {
    linked(&page(version, json!([overridden("ada", "hers")])), SECOND)
}

fn second(version: u32) -> Reply {
    Reply::json(200, &page(version, json!([overridden("bob", "his")])))
}

fn serve_two_pages(upstream: &Upstream, version: u32) {
    upstream.answer(SECOND, second(version));
    upstream.answer(PATH, first(version));
}

#[test]
fn pages_are_one_document_for_clients() {
    let upstream = serving(7);
    upstream.answer(PATH, first(7));
    upstream.answer(SECOND, linked(&page(7, json!([overridden("bob", "his")])), THIRD));
    upstream.answer(THIRD, Reply::json(200, &page(7, json!([overridden("eve", "also hers")]))));
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let values = ["ada", "bob", "eve", "dan"].map(|identifier| value_for(&edge, identifier));
    assert_eq!(values, ["hers", "his", "also hers", "for gold"]);
    let whole = server(&edge).get("/api/v1/environment-document/");
    assert_eq!(whole.header("link"), None);
    assert_eq!(whole.json()["identity_overrides"].as_array().map(Vec::len), Some(3));
    assert_eq!(edge.status(SHOP)["identity_overrides"], 3);
    // A tag or a date speaks of the first page only.
    for path in [SECOND, THIRD] {
        for request in upstream.requests_to(path) {
            assert_eq!(request.header("if-modified-since"), None);
            assert_eq!(request.header("if-none-match"), None);
        }
    }
}

#[test]
fn an_identity_may_be_on_several_pages() {
    let upstream = serving(7);
    let other = |name: &str, value: &str| json!({"identifier": "ada", "identity_features": [state(3, name, &json!(value))]});
    let twice = json!([overridden("ada", "too late"), other("since-7", "hers, too")]);
    upstream.answer(PATH, first(7));
    upstream.answer(SECOND, Reply::json(200, &page(7, twice)));
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let flags = identity(&server(&edge), "ada").json()["flags"].clone();
    let values: Vec<&Value> =
        flags.as_array().expect("flags").iter().map(|flag| &flag["feature_state_value"]).collect();
    assert_eq!(values, ["hers", "treasure", "hers, too"], "of two the first counts");
}

#[test]
fn links_are_read_in_all_their_spellings() {
    let upstream = serving(7);
    let origin = upstream.url();
    let shouted = origin.replace("http", "HTTP");
    let authority = origin.strip_prefix("http:").expect("a scheme");
    for link in [
        format!("<{SECOND}>; rel=\"next\""),
        format!("<{SECOND}?page_id=identity_override%3A60074%3Aabc>; rel=\"next\""),
        format!("<{SECOND}?page_id=a,b;c>; rel=next; title=\"x, y\""),
        format!("<{origin}{SECOND}>; rel=\"next\""),
        format!("<{shouted}{SECOND}#top>; rel=\"next\""),
        format!("<{authority}{SECOND}>; rel=\"next\""),
        "</style.css>; rel=preload; as=style, <../pages/2?x>; rel=\"last next\"".to_owned(),
        "<./../pages/2>;rel=\"NEXT\";foo".to_owned(),
    ] {
        upstream.answer(PATH, Reply::json(200, &page(7, json!([]))).header("Link", &link));
        upstream.answer(SECOND, second(7));
        let edge = start(&upstream);
        until_well(&edge, number(7));
        assert_eq!(value_for(&edge, "bob"), "his", "{link}");
    }
    let targets: Vec<_> = upstream.requests_to(SECOND).into_iter().map(|r| r.target).collect();
    let encoded = format!("{SECOND}?page_id=identity_override%3A60074%3Aabc");
    assert!(targets.contains(&encoded), "a cursor is sent as it came: {targets:?}");
    assert!(targets.contains(&format!("{SECOND}?page_id=a,b;c")), "{targets:?}");
}

/// A way in which pages can fail: what is at the first page's place and at the second's.
struct Row {
    upstream: &'static str,
    first: Reply,
    second: Answer,
    kind: &'static str,
}

fn row(upstream: &'static str, second: impl Into<Answer>, kind: &'static str) -> Row {
    Row { upstream, first: first(9), second: second.into(), kind }
}

/// A first page whose link leads astray.
fn astray(upstream: &'static str, target: &str) -> Row {
    let link = format!("<{target}>; rel=\"next\"");
    misled(upstream, &link)
}

fn misled(upstream: &'static str, link: &str) -> Row {
    let first = Reply::json(200, &page(9, json!([]))).header("Link", link);
    Row { upstream, first, second: second(9).into(), kind: "malformed" }
}

fn second_pages_that_are_none(elsewhere: &str) -> Vec<Row> {
    let status = Reply::status;
    let rest = status(429).header("Retry-After", "0");
    let redirect = status(302).header("Location", &format!("{elsewhere}{PATH}"));
    let text = |body: &'static str| status(200).body(body);
    let silent = Answer::nothing;
    let mut foreign = page(9, json!([overridden("bob", "his")]));
    foreign["api_key"] = json!("another");
    let mut cut_short = second(9).to_bytes();
    cut_short.truncate(cut_short.len() - 20);
    vec![
        row("has no second page", status(404), "status_4xx"),
        row("fails at the second page", status(500), "status_5xx"),
        row("asks for a rest at the second page", rest, "status_4xx"),
        row("refuses the key at the second page", status(401), "unauthorized"),
        row("redirects from the second page", redirect, "malformed"),
        row("says 304 to the second page", status(304), "malformed"),
        row("never gives the second page", silent().then(Step::Hang), "timeout"),
        row("closes in place of the second page", silent().then(Step::Close), "network"),
        row("cuts the second page short", Answer::raw(cut_short).then(Step::Close), "network"),
        row("gives an empty second page", text(""), "malformed"),
        row("gives null as the second page", text("null"), "malformed"),
        row("gives a list as the second page", text("[]"), "malformed"),
        row("gives HTML as the second page", text("<html>"), "malformed"),
        row("gives another environment's page", Reply::json(200, &foreign), "malformed"),
        row("gives the page of another moment", second(8), "malformed"),
    ]
}

fn pages_without_an_end() -> Vec<Row> {
    let none = page(9, json!([]));
    vec![
        row("leads from the second page to itself", linked(&none, SECOND), "malformed"),
        row("leads from the second page to the first", linked(&none, PATH), "malformed"),
        astray("leads from the first page to itself", PATH),
        astray("leads nowhere", ""),
    ]
}

fn links_that_lead_astray(elsewhere: &str, upstream: &str) -> Vec<Row> {
    let port = upstream.rsplit_once(':').expect("a port").1;
    let host = upstream.strip_prefix("http:").expect("a scheme");
    vec![
        astray("leads to another host", &format!("{elsewhere}{PATH}?page_id=2")),
        astray("leads to another scheme", &format!("https:{host}{SECOND}")),
        astray("leads to another name", &format!("http://localhost:{port}{SECOND}")),
        astray("leads to another port", &format!("http://127.0.0.1:1{SECOND}")),
        astray("leads to another host without a scheme", &format!("{}{PATH}", &elsewhere[5..])),
        astray("leads to a user elsewhere", &format!("http://127.0.0.1@localhost:{port}{SECOND}")),
        astray("leads to a file", "file:///etc/passwd"),
        astray("leads to what is no URL", "/api/v1/pages/2?a b"),
        misled("gives a link without its end", "</api/v1/pages/2; rel=\"next\""),
        misled("gives a link without brackets", "/api/v1/pages/2; rel=\"next\""),
        misled("gives a link without the end of its relation", "</api/v1/pages/2>; rel=\"next"),
    ]
}

#[test]
fn a_document_of_which_a_page_is_missing_is_none() {
    let elsewhere = serving(9);
    for_each_row(&second_pages_that_are_none(&elsewhere.url()), |row| row.upstream, suffer);
    for_each_row(&pages_without_an_end(), |row| row.upstream, suffer);
    assert_eq!(elsewhere.connected(), 0, "another host was asked");
}

#[test]
fn the_key_stays_on_its_host() {
    let elsewhere = serving(9);
    let home = serving(7);
    let rows = links_that_lead_astray(&elsewhere.url(), &home.url());
    for row in &rows {
        suffer_at(row, &home);
    }
    assert_eq!(elsewhere.connected(), 0, "another host was asked");
}

fn suffer(row: &Row) {
    suffer_at(row, &serving(7));
}

/// Lets the upstream fail from the start, be well, fail again and be well again.
fn suffer_at(row: &Row, upstream: &Upstream) {
    let begin = || {
        upstream.answer(SECOND, row.second.clone());
        upstream.answer(PATH, row.first.clone());
    };
    begin();
    let timeout = if row.kind == "timeout" { "200ms" } else { "60s" };
    let edge = Setup::of(super::following(upstream, "100ms", timeout)).start();
    let status = until_failing(&edge);
    assert_eq!(status["source"]["last_error"]["kind"], row.kind, "{}: {status}", row.upstream);
    assert_eq!(status["version"], 0);
    super::assert_not_ready(&edge);
    assert_eq!(outcomes(&edge).into_keys().collect::<Vec<_>>(), [row.kind], "{}", row.upstream);

    serve_two_pages(upstream, 7);
    until_well(&edge, number(7));
    assert_eq!(value_for(&edge, "bob"), "his");

    let (held, before) = (answers(&edge), outcomes(&edge));
    begin();
    let status = until_failing(&edge);
    assert_eq!(status["source"]["last_error"]["kind"], row.kind, "{}: {status}", row.upstream);
    until_more_fetches(&edge, 1);
    assert_eq!(answers(&edge), held, "an upstream that {}", row.upstream);
    assert_eq!(failures_since(&before, &outcomes(&edge)), [row.kind], "{}", row.upstream);

    serve_two_pages(upstream, 8);
    until_well(&edge, number(8));
}

#[test]
fn a_document_that_changes_between_its_pages_is_fetched_once_more() {
    let upstream = serving(7);
    upstream.answer_once(PATH, first(7));
    serve_two_pages(&upstream, 8);
    let edge = start(&upstream);
    until_well(&edge, number(8));
    assert_eq!((value_for(&edge, "ada"), value_for(&edge, "bob")), (json!("hers"), json!("his")));
    assert!(failures_since(&std::collections::BTreeMap::new(), &outcomes(&edge)).is_empty());
    let asked: Vec<_> = upstream.requests().into_iter().take(4).map(|r| r.target).collect();
    assert_eq!(asked, [PATH, SECOND, PATH, SECOND]);
}

#[test]
fn pages_that_never_end_are_given_up() {
    // Each page has another cursor; a path that is not scripted is answered by no page.
    let upstream = serving(7);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let held = answers(&edge);
    let numbers = |count: u32| {
        (2..count).for_each(|number| {
            let path = format!("/api/v1/pages/{number}");
            let next = format!("/api/v1/pages/{}", number + 1);
            upstream.answer(&path, linked(&json!({"updated_at": moment(9)}), &next));
        });
    };
    numbers(1_100);
    upstream.answer(PATH, first(9));
    let status = until_failing(&edge);
    let error = &status["source"]["last_error"];
    assert_eq!(error["kind"], "malformed");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("no end")), "{error}");
    assert_eq!(answers(&edge), held);
    upstream.answer(PATH, good(8));
    until_well(&edge, number(8));
}

#[test]
fn pages_that_take_for_ever_are_given_up() {
    let upstream = serving(7);
    let edge = Setup::of(super::following(&upstream, "100ms", "200ms")).start();
    until_well(&edge, number(7));
    for number in 2..200 {
        let path = format!("/api/v1/pages/{number}");
        let next = format!("/api/v1/pages/{}", number + 1);
        let slow = linked(&json!({}), &next);
        // Just in time each.
        let pace = std::time::Duration::from_millis(120 / 2);
        let head = slow.to_bytes().len() - 2;
        let slow = Answer::beginning_of(&slow, head).then(Step::Drip(b"{}".to_vec(), pace));
        upstream.answer(&path, slow);
    }
    upstream.answer(PATH, first(9));
    // On a busy machine a page may be late by itself; that is not what this is about.
    edge.until_status(SHOP, |status| {
        let error = &status["source"]["last_error"];
        assert!(error.is_null() || error["kind"] == "timeout", "{error}");
        error["message"].as_str().is_some_and(|m| m.contains("its pages take"))
    });
}
