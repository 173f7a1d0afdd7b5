//! Hostile input costs no more memory than its own size allows, and nobody else anything.

use std::sync::atomic::{AtomicBool, Ordering};

use burgee::compile::{Policy, compile};
use burgee::dialect::reflag::tracking::Post;
use burgee::dialect::reflag::{definitions, mapping, tracking};
use burgee::evaluate::{EvaluationContext, Program};
use burgee::model::Generation;
use bytes::Bytes;
use serde_json::json;

use crate::support::Edge;
use crate::support::rules::{context, document, flag, is, when};
use crate::support::wire::percent_encoded;

const MIB: usize = 1 << 20;

/// Rules that read text, a number, an element of a list and names that are array indexes.
fn program(generation: Generation) -> Program {
    let filters = [
        is("user.id", "u"),
        is("company.id", "acme"),
        is("user.tags.1", "b"),
        context("user.tags", "ANY_OF", &["a", "b"]),
        context("other.n", "GT", &["7"]),
        is("a", "x"),
        is("0.0.0", "x"),
    ];
    let document = document(1, &[flag("probe", &filters)]);
    let ruleset = definitions::read(&Bytes::from(document)).expect("a document");
    compile(&ruleset, &Policy { generation, ..Policy::default() }).program
}

/// `unit` as often as it fits into 1 MiB between two texts.
fn filled(before: &str, unit: &str, after: &str) -> String {
    let count = (MIB - before.len() - after.len()) / unit.len();
    format!("{before}{}{after}", unit.repeat(count))
}

/// JSON texts of about 1 MiB that are meant to hurt.
fn hostile_contexts() -> Vec<(&'static str, String)> {
    let member = "\"a\":1,";
    vec![
        ("deep objects", filled("", "{\"a\":", "")),
        ("deep objects below a name that rules read", filled("", "{\"0\":", "")),
        ("deep arrays", filled("{\"user\":{\"tags\":", "[", "")),
        ("deep and closed", {
            let depth = MIB / 7;
            format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth))
        }),
        ("many members", filled("{", member, "\"b\":1}")),
        ("many members below", filled("{\"user\":{", member, "\"b\":1}}")),
        (
            "many members with values that rules read",
            filled("{", "\"a\":\"yyyyyyyy\",", "\"b\":1}"),
        ),
        ("many elements", filled("{\"user\":{\"tags\":[", "1,", "1]}}")),
        ("many lists", filled("{\"user\":{\"tags\":[", "[],", "1]}}")),
        ("many members in elements", filled("{\"user\":{\"tags\":[{", member, "\"b\":1}]}}")),
        ("a long text that rules read", filled("{\"user\":{\"id\":\"", "x", "\"}}")),
        ("a long text that nobody reads", filled("{\"user\":{\"bio\":\"", "x", "\"}}")),
        ("a long text of escapes", filled("{\"user\":{\"id\":\"", "\\u0000", "\"}}")),
        ("a long text of short escapes", filled("{\"user\":{\"id\":\"", "\\n", "\"}}")),
        ("a long text in a list", filled("{\"user\":{\"tags\":[\"", "\\n", "\"]}}")),
        (
            "a long text in an object in a list",
            filled("{\"user\":{\"tags\":[{\"x\":\"", "\u{1}", "\"}]}}").replace('\u{1}', "\\u0001"),
        ),
        ("texts that rules read, again and again", {
            let text = "y".repeat(1_020);
            let members = vec![format!("\"a\":\"{text}\""); 999];
            format!("{{{}}}", members.join(","))
        }),
        ("a long name", filled("{\"", "n", "\":1}")),
        ("a long name of escapes", filled("{\"", "\\u0061", "\":1}")),
        ("a long name of dots", filled("{\"", "a.", "\":1}")),
        ("a long number", filled("{\"user\":{\"id\":", "9", "}}")),
        ("a number of digits after the point", filled("{\"other\":{\"n\":0.", "1", "}}")),
        ("numbers that print long", {
            let members = vec!["\"a\":1e20"; 999];
            filled(&format!("{{{},\"b\":", members.join(",")), " ", "1}")
        }),
        ("blanks", filled("{\"user\":", " ", "{}}")),
        ("a text without end", filled("{\"user\":{\"id\":\"", "x", "")),
        ("many backslashes", filled("{\"user\":{\"id\":\"", "\\\\", "\"}}")),
    ]
}

#[test]
fn a_hostile_context_allocates_no_more_than_four_times_its_size() {
    for generation in [Generation::V1_0, Generation::V1_1] {
        let program = program(generation);
        for (name, text) in hostile_contexts() {
            let mut context = EvaluationContext::new();
            context.reset(&program);
            let info = allocation_counter::measure(|| {
                let _ = context.set_json(&program, &text);
            });
            let bound = 4 * text.len() as u64;
            assert!(info.bytes_max <= bound, "{name}, {generation:?}: {info:?}");
        }
    }
}

#[test]
fn of_hostile_contexts_the_oversized_ones_are_refused() {
    for generation in [Generation::V1_0, Generation::V1_1] {
        let program = program(generation);
        for (name, text) in hostile_contexts() {
            let mut context = EvaluationContext::new();
            context.reset(&program);
            let outcome = context.set_json(&program, &text);
            let oversized = ["deep", "many", "a long name", "a text without end"];
            let expected = oversized.iter().any(|start| name.starts_with(start));
            let accepted = name == "many backslashes";
            assert_eq!(outcome.is_err(), expected && !accepted, "{name}: {outcome:?}");
        }
    }
}

#[test]
fn a_context_gives_back_what_one_hostile_request_made_it_take() {
    let program = program(Generation::V1_0);
    let text = filled("{\"user\":{\"id\":\"", "x", "\"}}");
    let mut context = EvaluationContext::new();
    let info = allocation_counter::measure(|| {
        context.reset(&program);
        context.set_json(&program, &text).expect("long, but a context");
        context.reset(&program);
    });
    assert!(info.bytes_current <= 128 * 1024, "{info:?}");
}

#[test]
fn a_hostile_query_allocates_no_more_than_four_times_its_size() {
    let program = program(Generation::V1_0);
    let mut queries = vec![
        ("many parameters", filled("", "context.user.id=x&", "")),
        ("many unknown parameters", filled("", "a&", "")),
        ("ampersands", filled("", "&", "")),
        ("equals signs", filled("context.user.id=", "=", "")),
        ("a long path", filled("context.", "a.", "=1")),
        ("a long path without dots", filled("context.", "a", "=1")),
        ("a long value", filled("context.user.id=", "x", "")),
        ("a long value of escapes", filled("context.user.id=", "%41", "")),
        ("a long value of blanks", filled("context.user.id=", "+", "")),
        ("a long value that is no UTF-8", filled("context.user.id=", "%ff", "")),
        ("a long key", filled("key=", "%41", "")),
        ("a long name with a broken value", filled("", "n", "=%zz&context.user.id=%zz")),
        ("a long name of an attribute with a broken value", filled("context.", "n", "=%zz")),
        ("many contexts", filled("", "contextJson={}&", "")),
        ("values that are read, again and again", {
            vec![format!("context.user.id={}", "y".repeat(1_000)); 999].join("&")
        }),
    ];
    for (name, text) in hostile_contexts() {
        queries.push((name, format!("contextJson={}", percent_encoded(&text))));
    }
    for (name, query) in queries {
        let mut context = EvaluationContext::new();
        context.reset(&program);
        let info = allocation_counter::measure(|| {
            let _ = mapping::read_query(&query, &program, &mut context);
        });
        let bound = 4 * query.len() as u64;
        assert!(info.bytes_max <= bound, "{name}: {info:?}");
    }
}

const POSTS: [Post; 5] = [Post::Bulk, Post::User, Post::Company, Post::Event, Post::FlagEvent];

/// Bodies of about 1 MiB that are meant to hurt and are no events.
fn hostile_bodies() -> Vec<(&'static str, String)> {
    vec![
        ("numbers", filled("[", "1,", "1]")),
        ("empty lists", filled("[", "[],", "[]]")),
        ("empty objects", filled("[", "{},", "{}]")),
        ("deep arrays", filled("", "[", "")),
        ("deep arrays, closed", format!("{}{}", "[".repeat(MIB / 2), "]".repeat(MIB / 2))),
        ("deep objects", filled("", "{\"a\":", "")),
        ("an id that is a deep array", {
            let half = MIB / 2 - 20;
            format!("{{\"userId\":{}{},\"event\":1}}", "[".repeat(half), "]".repeat(half))
        }),
        ("a long name", filled("{\"", "n", "\":1}")),
        ("a long name of escapes", filled("[{\"", "\\u0041", "\":1}]")),
        ("a long text", filled("[\"", "x", "\"]")),
        ("a long text of escapes", filled("[\"", "\\n", "\"]")),
        ("a text without end", filled("[{\"type\":\"", "\\n", "")),
        ("a long number", filled("[", "9", "]")),
        ("blanks", filled("[", " ", "]")),
        ("many events", filled("[", "{\"type\":\"user\"},", "{\"type\":\"user\"}]")),
        ("no JSON", filled("", "x", "")),
        ("nulls", "\0".repeat(MIB)),
    ]
}

/// And those that are events.
fn large_events() -> Vec<(&'static str, String)> {
    vec![
        ("many members", filled("{\"userId\":\"u\",", "\"a\":1,", "\"event\":\"e\"}")),
        ("a long id", filled("{\"event\":\"e\",\"userId\":\"", "\\n", "\"}")),
        ("a long type", filled("[{\"type\":\"", "\\n", "\"}]")),
        ("deep attributes", {
            let half = MIB / 2 - 40;
            let attributes = format!("{}{}", "[".repeat(half), "]".repeat(half));
            format!("{{\"userId\":\"u\",\"event\":\"e\",\"attributes\":{attributes}}}")
        }),
    ]
}

#[test]
fn a_hostile_tracking_body_allocates_no_more_than_four_times_its_size() {
    for (name, body) in hostile_bodies().into_iter().chain(large_events()) {
        for post in POSTS {
            let info = allocation_counter::measure(|| {
                let _ = tracking::check(post, body.as_bytes());
            });
            let bound = 4 * body.len() as u64;
            assert!(info.bytes_max <= bound, "{name}, {post:?}: {info:?}");
        }
    }
}

#[test]
fn each_hostile_request_gets_its_400_while_other_clients_are_answered() {
    let edge = Edge::serving(document(1, &[when("probe", &is("user.id", "u"))]));
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut session = edge.publishable().connect();
            let mut answered = 0_u32;
            while !finished.load(Ordering::Relaxed) {
                let reply = session.get("/features/evaluated?context.user.id=u");
                assert_eq!(reply.flags()["probe"]["isEnabled"], json!(true));
                answered += 1;
            }
            answered
        });
        for (name, body) in hostile_bodies() {
            for route in ["/bulk", "/user", "/company", "/event", "/features/events"] {
                let reply = edge.publishable().post(route, &body);
                assert_eq!(reply.status, 400, "{name} to {route}: {reply}");
                reply.assert_error(400, "INVALID_REQUEST");
            }
        }
        let deep = "%7B%22a%22:".repeat(2_000);
        let members = "%221%22:1,".repeat(2_000);
        for query in [
            format!("contextJson={deep}1"),
            format!("contextJson=%7B{members}%221%22:1%7D"),
            format!("contextJson=%7B%22user%22:{}", "[".repeat(20_000)),
            format!("contextJson=%7B%22{}%22:1%7D", "n".repeat(20_000)),
            format!("context.{}=1", "n".repeat(20_000)),
            format!("context.{}=1", "a.".repeat(10_000)),
            "context.a=1&".repeat(1_001),
        ] {
            let reply = edge.publishable().get(&format!("/features/evaluated?{query}"));
            reply.assert_error(400, "INVALID_REQUEST");
        }
        finished.store(true, Ordering::Relaxed);
        assert!(others.join().expect("the other client got its answers") > 0);
    });
}
