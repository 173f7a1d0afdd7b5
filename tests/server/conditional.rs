//! Conditional requests: a tag changes exactly when the answer does.

use std::io::Read;

use serde_json::json;

use crate::support::rules::{
    constant, context, document, flag, is, off, on, secret, when, with_payload,
};
use crate::support::wire::{Caller, Reply};
use crate::support::{Edge, Environment, Setup, until};

fn edge() -> Edge {
    Edge::serving(document(
        7,
        &[
            on("open"),
            when("acme-only", &is("company.id", "acme")),
            // `user.joined` lies more than seven days back.
            when("settled", &context("user.joined", "BEFORE", &["7"])),
        ],
    ))
}

/// A document long enough to be worth compressing.
fn long_document(version: u64) -> String {
    let flags: Vec<_> = (0..200).map(|n| on(&format!("flag-{n}"))).collect();
    document(version, &flags)
}

fn asking(caller: &Caller, tag: &str) -> Caller {
    caller.clone().with("If-None-Match", tag)
}

#[test]
fn an_answer_that_the_client_holds_is_304_without_a_body_and_with_the_rest_of_the_head() {
    let edge = edge();
    for (caller, target) in [
        (edge.secret(), "/features"),
        (edge.secret(), "/features/evaluated?context.company.id=acme"),
        (edge.publishable(), "/features/evaluated?context.company.id=acme"),
        (edge.publishable(), "/features/enabled"),
        (edge.publishable(), "/features/evaluated?key=open"),
    ] {
        let mut session = caller.connect();
        let full = session.get(target);
        let tag = full.etag();
        assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        let held = asking(&caller, &tag).get(target);
        assert_eq!((held.status, held.body.len()), (304, 0), "{target}");
        for name in [
            "etag",
            "cache-control",
            "vary",
            "age",
            "burgee-version",
            "burgee-fingerprint",
            "access-control-allow-origin",
        ] {
            assert_eq!(held.header(name), full.header(name), "{name} of {target}");
        }
        assert_eq!(held.header("burgee-version"), Some("7"));
        if target == "/features" {
            assert_eq!(held.header("content-type"), None, "it tells of a body that is not there");
        }
    }
}

#[test]
fn tags_are_compared_weakly_and_may_stand_in_a_list_and_a_star_stands_for_all() {
    let edge = edge();
    for target in ["/features", "/features/evaluated?context.company.id=acme"] {
        let caller = edge.secret();
        let tag = caller.get(target).etag();
        let bare = tag.trim_matches('"');
        for held in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            format!("\"other\",W/{tag} , \"third\""),
            "*".to_owned(),
        ] {
            assert_eq!(asking(&caller, &held).get(target).status, 304, "{held}");
        }
        for other in [
            "\"other\"".to_owned(),
            bare.to_owned(),
            format!("\"{bare}x\""),
            format!("W/\"x{bare}\""),
            String::new(),
        ] {
            let reply = asking(&caller, &other).get(target);
            assert_eq!(reply.status, 200, "{other}");
            assert_eq!(reply.etag(), tag);
        }
    }
}

#[test]
fn a_head_request_is_conditional_too() {
    let edge = edge();
    let tag = edge.secret().get("/features").etag();
    assert_eq!(asking(&edge.secret(), &tag).ask("HEAD", "/features", "").status, 304);
}

fn inflated(reply: &Reply) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut plain).expect("gzip");
    plain
}

/// The compressed form, which is made a little after the publish.
fn compressed(caller: &Caller, target: &str) -> Reply {
    until("the compressed form", || {
        let reply = caller.clone().with("Accept-Encoding", "gzip, deflate").get(target);
        (reply.header("content-encoding") == Some("gzip")).then_some(reply)
    })
}

#[test]
fn the_compressed_form_is_the_same_body_under_a_tag_of_its_own() {
    let edge = Edge::serving(long_document(1));
    for (caller, target) in
        [(edge.secret(), "/features"), (edge.publishable(), "/features/evaluated")]
    {
        let plain = caller.get(target);
        assert_eq!(plain.header("content-encoding"), None);
        let gzip = compressed(&caller, target);
        assert!(gzip.body.len() < plain.body.len());
        assert_eq!(inflated(&gzip), plain.body);
        assert_ne!(gzip.etag(), plain.etag());
        for reply in [&plain, &gzip] {
            let vary = reply.header("vary").expect("Vary");
            assert!(vary.contains("Accept-Encoding"), "{vary}");
        }
        let known = asking(&caller, &gzip.etag());
        assert_eq!(known.with("Accept-Encoding", "gzip").get(target).status, 304);
        assert_eq!(asking(&caller, &plain.etag()).get(target).status, 304);
    }
}

#[test]
fn who_does_not_take_gzip_gets_the_plain_form() {
    let edge = Edge::serving(long_document(1));
    compressed(&edge.secret(), "/features");
    for accepted in
        ["identity", "br", "gzip;q=0", "gzip; q=0.0", "deflate, gzip;q=0", "gzipped", ""]
    {
        let reply = edge.secret().with("Accept-Encoding", accepted).get("/features");
        assert_eq!(reply.header("content-encoding"), None, "{accepted}");
        assert_eq!(reply.text(), long_document(1));
    }
    for accepted in ["gzip", "GZIP", "br, gzip", "gzip;q=0.5", "deflate;q=1, gzip; q=0.1"] {
        let reply = edge.secret().with("Accept-Encoding", accepted).get("/features");
        assert_eq!(reply.header("content-encoding"), Some("gzip"), "{accepted}");
    }
}

#[test]
fn a_new_document_has_new_tags_in_both_forms() {
    let edge = Edge::serving(long_document(1));
    let plain = edge.secret().get("/features").etag();
    let gzip = compressed(&edge.secret(), "/features").etag();
    let flags: Vec<_> = (0..200).map(|n| off(&format!("flag-{n}"))).collect();
    edge.publish("shop", &document(2, &flags));
    assert_ne!(edge.secret().get("/features").etag(), plain);
    assert_ne!(compressed(&edge.secret(), "/features").etag(), gzip);
    for tag in [plain, gzip] {
        let caller = asking(&edge.secret(), &tag).with("Accept-Encoding", "gzip");
        assert_eq!(caller.get("/features").status, 200);
    }
}

#[test]
fn the_tag_of_an_answer_follows_the_answer_and_not_the_context() {
    let edge = edge();
    let tag = |context: &str| {
        let reply = edge.publishable().get(&format!("/features/evaluated?{context}"));
        (reply.etag(), reply.body)
    };
    let contexts = [
        "",
        "context.company.id=acme",
        "context.company.id=globex",
        "context.company.id=initech",
        "context.company.id=acme&context.user.id=ada",
        "contextJson=%7B%22company%22:%7B%22id%22:%22acme%22%7D%7D",
        "context.user.joined=2026-01-01",
        "context.user.joined=2026-05-31",
        "context.company.id=acme&context.user.joined=2026-01-01",
        "context.company.id=acme&context.user.joined=2026-02-02",
    ];
    for one in contexts {
        for other in contexts {
            let ((one_tag, one_body), (other_tag, other_body)) = (tag(one), tag(other));
            assert_eq!(one_tag == other_tag, one_body == other_body, "{one} and {other}");
        }
    }
}

#[test]
fn the_tag_changes_at_the_very_instant_at_which_a_time_rule_does() {
    let edge = edge();
    let target = "/features/evaluated?context.user.joined=2026-05-25T12:00:00Z";
    let ask = || {
        let reply = edge.publishable().get(target);
        (reply.etag(), reply.flags()["settled"]["isEnabled"] == true)
    };
    let (before, settled) = ask();
    assert!(!settled, "seven days to the millisecond: not yet");
    edge.now_is("2026-06-01T11:59:59.999Z");
    assert_eq!(ask(), (before.clone(), false));
    edge.now_is("2026-06-01T12:00:00.001Z");
    let (after, settled) = ask();
    assert!(settled);
    assert_ne!(after, before);
    assert_eq!(asking(&edge.publishable(), &before).get(target).status, 200);
    assert_eq!(asking(&edge.publishable(), &after).get(target).status, 304);
    edge.now_is("2027-06-01T12:00:00Z");
    assert_eq!(ask(), (after, true));
}

#[test]
fn the_tag_changes_when_a_snapshot_changes_the_answer() {
    let edge = edge();
    let target = "/features/evaluated?context.company.id=acme";
    let before = edge.publishable().get(target);
    edge.publish(
        "shop",
        &document(8, &[on("open"), when("acme-only", &is("company.id", "globex"))]),
    );
    let after = edge.publishable().get(target);
    assert_ne!((after.etag(), &after.body), (before.etag(), &before.body));
    assert_eq!(asking(&edge.publishable(), &before.etag()).get(target).status, 200);
    assert_eq!(asking(&edge.publishable(), &after.etag()).get(target).status, 304);
}

#[test]
fn a_payload_that_changes_changes_the_tag() {
    let document = |version, size: u32| {
        let flag = with_payload(when("k", &is("user.id", "u")), "v", &json!({ "size": size }));
        document(version, &[flag])
    };
    let edge = Edge::serving(document(1, 1));
    let before = edge.publishable().get("/features/evaluated").etag();
    edge.publish("shop", &document(2, 2));
    assert_ne!(edge.publishable().get("/features/evaluated").etag(), before);
}

#[test]
fn the_two_classes_of_keys_and_two_environments_do_not_share_tags() {
    let rules = document(1, &[when("k", &is("user.id", "u"))]);
    let edge = Setup::of(Environment::named("north").holding(&*rules))
        .and(Environment::named("south").holding(&*rules))
        .start();
    let target = "/features/evaluated";
    let replies = [
        edge.publishable_of("north").get(target),
        edge.secret_of("north").get(target),
        edge.publishable_of("south").get(target),
        edge.secret_of("south").get(target),
    ];
    for (at, one) in replies.iter().enumerate() {
        for other in &replies[at + 1..] {
            assert_eq!(one.body, other.body);
            assert_ne!(one.etag(), other.etag());
        }
    }
}

#[test]
fn each_flag_s_part_in_an_answer_counts_for_its_tag() {
    // Many flags of every kind: joined constants, long rule lists, missing attributes, variants.
    let flags: Vec<_> = (0..12)
        .map(|n| {
            let rule = is("user.group", &n.to_string());
            let key = format!("flag-{n}");
            match n % 4 {
                0 => when(&key, &rule),
                1 => flag(&key, &[constant(false), rule.clone(), rule.clone(), rule.clone(), rule]),
                2 => with_payload(when(&key, &rule), "v", &json!(n)),
                _ => on(&key),
            }
        })
        .collect();
    let edge = Edge::serving(document(1, &flags));
    let mut session = edge.publishable().connect();
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    for group in 0..14 {
        let reply = session.get(&format!("/features/evaluated?context.user.group={group}"));
        seen.push((reply.etag(), reply.body));
    }
    seen.push({
        let reply = session.get("/features/evaluated");
        (reply.etag(), reply.body)
    });
    for one in &seen {
        for other in &seen {
            assert_eq!(one.0 == other.0, one.1 == other.1);
        }
    }
}

#[test]
fn a_change_to_a_secret_flag_alone_leaves_the_publishable_flags_as_they_were() {
    let edge = Edge::serving(document(1, &[on("open"), secret(on("hidden"))]));
    let before = edge.publishable().get("/features/evaluated").flags();
    edge.publish("shop", &document(2, &[on("open"), secret(off("hidden"))]));
    assert_eq!(edge.publishable().get("/features/evaluated").flags(), before);
}

#[test]
fn replicas_give_the_same_answers_under_the_same_tags() {
    let rules = document(7, &[on("open"), when("acme-only", &is("company.id", "acme"))]);
    let replicas = [Edge::serving(&*rules), Edge::serving(&*rules)];
    for target in [
        "/features",
        "/features/evaluated",
        "/features/evaluated?context.company.id=acme",
        "/features/enabled?key=open",
    ] {
        let [one, other] = replicas.each_ref().map(|edge| edge.secret().get(target).without_date());
        assert_eq!(one, other);
    }
}
