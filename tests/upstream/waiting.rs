//! `waitForVersion`: requests that are held until a version is here.

use std::thread::JoinHandle;
use std::time::Duration;

use crate::fake_upstream::{Reply as Answered, Request, Upstream};
use crate::following::{Following, SHOP, document, for_each_row, served_version, until_well};
use crate::support::rules::on;
use crate::support::wire::{Caller, Reply};
use crate::support::{Edge, Setup, until};

/// Longer than any test waits: whoever is held for this long makes his test fail.
const LONG: Duration = Duration::from_secs(60);

/// So short that a test can wait for the end of it.
const SHORT: Duration = Duration::from_millis(300);

/// An edge that asks the upstream once and then only when it is woken. The upstream holds requests
/// for as long as any test may take: one that it answers without a new version leads to another.
fn setup(upstream: &Upstream) -> Setup {
    upstream.hold_for(LONG);
    let following = Following::upstream(upstream).every("10m");
    Setup::of(following.named(SHOP)).looking_as_configured().patience(LONG, LONG)
}

fn start(setup: Setup) -> Edge {
    let edge = setup.start();
    until_well(&edge, 7);
    edge
}

/// All that can be asked for with `waitForVersion`: who asks, and where.
fn routes(edge: &Edge) -> [(Caller, &'static str); 5] {
    let (publishable, secret) = (edge.publishable(), edge.secret());
    [
        (secret.clone(), "/features?"),
        (secret, "/features/evaluated?"),
        (publishable.clone(), "/features/evaluated?"),
        (publishable.clone(), "/features/enabled?"),
        (publishable, "/features/evaluated?context.company.id=acme&key=open&"),
    ]
}

/// Asks without waiting for the answer.
fn ask(caller: &Caller, target: impl Into<String>) -> JoinHandle<Reply> {
    let (caller, target) = (caller.clone(), target.into());
    std::thread::spawn(move || caller.get(&target))
}

fn answer_to(asked: JoinHandle<Reply>) -> Reply {
    asked.join().expect("an answer")
}

/// Requests that the upstream was sent because somebody waits.
fn woken(upstream: &Upstream) -> Vec<Request> {
    let requests = upstream.requests_to("/features");
    requests.into_iter().filter(|request| request.query("waitForVersion").is_some()).collect()
}

fn until_woken(upstream: &Upstream, times: usize) -> Vec<Request> {
    until("a request that was woken", || Some(woken(upstream)).filter(|w| w.len() >= times))
}

/// How many requests were held so far, and for how many seconds together.
fn held(edge: &Edge) -> (u64, f64) {
    let (metrics, labels) = (edge.metrics(), [("environment", SHOP)]);
    let count = metrics.count("burgee_wait_seconds_count", &labels);
    (count, metrics.find("burgee_wait_seconds_sum", &labels).unwrap_or(0.0))
}

fn refused(edge: &Edge) -> u64 {
    edge.metrics().count("burgee_bounded_dropped_total", &[("what", "waiters")])
}

// Being held, and for how long.

#[test]
fn a_request_is_held_until_its_version_is_here_and_then_answered_with_it() {
    for_each_row(
        &[0, 1, 2, 3, 4],
        |_| "a route",
        |&route| {
            let upstream = Upstream::serving(document(7));
            let edge = start(setup(&upstream));
            let (caller, target) = routes(&edge)[route].clone();
            // For a conditional request, a 304 would be an answer too early as well.
            let tag = caller.get(target.trim_end_matches(['?', '&'])).etag();
            let target = format!("{target}waitForVersion=8");
            let callers = [caller.clone(), caller.with("If-None-Match", &tag)];
            let asked = callers.map(|caller| ask(&caller, &*target));
            // The upstream holds our request in its turn.
            let woken = until_woken(&upstream, 1);
            assert_eq!(woken[0].query("waitForVersion"), Some("8"));
            assert!(!asked.iter().any(JoinHandle::is_finished), "{target}");
            upstream.publish(document(8));
            for asked in asked {
                let reply = answer_to(asked);
                assert_eq!(served_version(&reply), 8, "{target}");
                assert!(target.contains("key=") || reply.text().contains("since-8"), "{reply}");
            }
            assert_eq!(held(&edge).0, 2);
        },
    );
}

#[test]
fn a_version_that_is_here_is_not_waited_for() {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream));
    let asked = upstream.requests().len();
    for (caller, target) in routes(&edge) {
        for version in [0, 1, 6, 7] {
            let reply = caller.get(&format!("{target}waitForVersion={version}"));
            assert_eq!(served_version(&reply), 7);
        }
    }
    assert_eq!(held(&edge).0, 0);
    assert_eq!(upstream.requests().len(), asked, "nobody was woken");
}

#[test]
fn at_the_end_of_its_patience_a_request_is_answered_with_what_is_here() {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream).patience(SHORT, SHORT));
    for_each_row(
        &routes(&edge),
        |row| row.1,
        |(caller, target)| {
            let plain = caller.get(target.trim_end_matches(['?', '&'])).without_date();
            let held_one = caller.get(&format!("{target}waitForVersion=8")).without_date();
            assert_eq!(held_one, plain);
        },
    );
    let (count, seconds) = held(&edge);
    assert_eq!(count, 5);
    assert!(seconds >= 5.0 * SHORT.as_secs_f64(), "{seconds}");
}

#[test]
fn publishable_and_secret_keys_have_a_patience_of_their_own() {
    for_each_row(
        &[(SHORT, LONG), (LONG, SHORT)],
        |_| "a pair",
        |&(publishable, secret)| {
            let upstream = Upstream::serving(document(7));
            let edge = start(setup(&upstream).patience(publishable, secret));
            let by_publishable = ask(&edge.publishable(), "/features/evaluated?waitForVersion=8");
            let by_secret = ask(&edge.secret(), "/features?waitForVersion=8");
            let (first, second) = if publishable < secret {
                (by_publishable, by_secret)
            } else {
                (by_secret, by_publishable)
            };
            assert_eq!(served_version(&answer_to(first)), 7);
            assert!(!second.is_finished());
            upstream.publish(document(8));
            assert_eq!(served_version(&answer_to(second)), 8);
        },
    );
}

#[test]
fn nobody_waits_for_a_version_that_is_too_far_ahead() {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream).patience(SHORT, SHORT));
    for (caller, target) in routes(&edge) {
        for version in [7 + 1_000_001, 1 << 53, u64::MAX] {
            let reply = caller.get(&format!("{target}waitForVersion={version}"));
            assert_eq!(served_version(&reply), 7);
        }
    }
    assert_eq!(held(&edge).0, 0);
    let reply = edge.secret().get(&format!("/features?waitForVersion={}", 7 + 1_000_000));
    assert_eq!(served_version(&reply), 7);
    assert_eq!(held(&edge).0, 1, "this one is just near enough");
}

#[test]
fn what_is_no_version_is_refused() {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream));
    for (caller, target) in routes(&edge) {
        for version in
            ["", "-1", "1.5", "8a", "eight", "1e3", "0x8", "%208", "18446744073709551616"]
        {
            let reply = caller.get(&format!("{target}waitForVersion={version}"));
            reply.assert_error(400, "INVALID_REQUEST");
        }
    }
    assert_eq!(held(&edge).0, 0);
}

#[test]
fn before_there_is_data_nobody_is_held() {
    let upstream = Upstream::serving(document(7));
    upstream.answer("/features", Answered::status(500));
    let edge = Setup::of(Following::upstream(&upstream).named(SHOP)).patience(LONG, LONG).start();
    for (caller, target) in routes(&edge) {
        let reply = caller.get(&format!("{target}waitForVersion=8"));
        reply.assert_error(503, "NOT_READY");
    }
}

#[test]
fn who_has_no_right_to_an_answer_is_refused_at_once() {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream));
    edge.anonymous().get("/features?waitForVersion=8").assert_error(403, "INVALID_API_KEY");
    let reply = edge.publishable().get("/features?waitForVersion=8");
    reply.assert_error(403, "FORBIDDEN_KEY");
    assert!(woken(&upstream).is_empty());
}

// What the upstream sees of it.

/// One after the other these would take long, and do nothing most of the time.
#[test]
fn the_upstream_is_woken_when_it_must_be_and_no_more_often() {
    side_by_side(&[
        ("secret keys", secret_keys_wake_the_upstream_once_a_second_at_most),
        ("publishable keys", publishable_keys_wake_the_upstream_once_in_five_seconds_at_most),
        ("both", a_secret_key_is_not_held_up_by_what_publishable_keys_have_used),
        ("distant", who_waits_for_a_distant_version_keeps_none_before_it_from_others),
        ("gone", who_has_left_wakes_nobody),
    ]);
}

fn side_by_side(checks: &[(&str, fn())]) {
    for_each_row(checks, |(name, _)| name, |(_, check)| check());
}

#[test]
fn many_who_wait_are_one_request_to_the_upstream_and_in_nobody_s_way() {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream));
    let asked: Vec<_> =
        (0..20).map(|_| ask(&edge.secret(), "/features?waitForVersion=8")).collect();
    until_woken(&upstream, 1);
    for _ in 0..50 {
        assert_eq!(served_version(&edge.publishable().get("/features/evaluated")), 7);
    }
    upstream.publish(document(8));
    for asked in asked {
        assert_eq!(served_version(&answer_to(asked)), 8);
    }
    // A machine on which somebody leaves late may see one for the next version.
    let woken = woken(&upstream).into_iter();
    assert_eq!(woken.filter(|woken| woken.query("waitForVersion") == Some("8")).count(), 1);
}

fn who_waits_for_a_distant_version_keeps_none_before_it_from_others() {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream));
    let asked = ask(&edge.secret(), "/features?waitForVersion=9");
    let woken = until_woken(&upstream, 1);
    assert_eq!(woken[0].query("waitForVersion"), Some("8"), "the very next one");
    upstream.publish(document(8));
    edge.until_status(SHOP, |status| status["version"] == 8);
    assert!(!asked.is_finished());
    // And is not forgotten.
    assert_eq!(until_woken(&upstream, 2)[1].query("waitForVersion"), Some("9"));
    upstream.publish(document(9));
    assert_eq!(served_version(&answer_to(asked)), 9);
}

#[test]
fn who_waits_counts_our_versions_and_the_upstream_its_own() {
    let upstream = Upstream::serving(document(7));
    let edge = Setup::of(Following::upstream(&upstream).named(SHOP)).patience(LONG, LONG).start();
    until_well(&edge, 7);
    // The same number with another meaning: from here on we are ahead.
    upstream.publish(document(7).flag(on("more")));
    until_well(&edge, 8);
    let asked = ask(&edge.secret(), "/features?waitForVersion=9");
    let woken = until_woken(&upstream, 1);
    assert_eq!(woken[0].query("waitForVersion"), Some("8"));
    upstream.publish(document(8));
    assert_eq!(served_version(&answer_to(asked)), 9);
}

fn secret_keys_wake_the_upstream_once_a_second_at_most() {
    // It does not hold requests, and nothing ever changes.
    let upstream = Upstream::serving(document(7));
    upstream.answer("/features", Answered::json(200, &document(7).definitions()));
    let edge = start(setup(&upstream));
    let asked = ask(&edge.secret(), "/features?waitForVersion=8");
    until_woken(&upstream, 1);
    // Whoever waits is not forgotten because the first try was too early.
    assert!(!asked.is_finished());
    upstream.recover();
    upstream.publish(document(8));
    assert_eq!(served_version(&answer_to(asked)), 8);
    let woken = woken(&upstream);
    assert_eq!(woken.len(), 2);
    assert_apart(&upstream.requests_to("/features")[..1], &woken[..1], Duration::from_secs(1));
    assert_apart(&woken[..1], &woken[1..], Duration::from_secs(1));
}

fn publishable_keys_wake_the_upstream_once_in_five_seconds_at_most() {
    let upstream = Upstream::serving(document(7));
    upstream.answer("/features", Answered::json(200, &document(7).definitions()));
    let edge = start(setup(&upstream).patience(SHORT, LONG));
    // There is always somebody who waits.
    while woken(&upstream).len() < 2 {
        let reply = edge.publishable().get("/features/evaluated?waitForVersion=8");
        assert_eq!(served_version(&reply), 7);
    }
    let woken = woken(&upstream);
    assert_apart(&woken[..1], &woken[1..], Duration::from_secs(5));
}

fn a_secret_key_is_not_held_up_by_what_publishable_keys_have_used() {
    let upstream = Upstream::serving(document(7));
    upstream.answer("/features", Answered::json(200, &document(7).definitions()));
    let edge = start(setup(&upstream));
    let by_publishable = ask(&edge.publishable(), "/features/evaluated?waitForVersion=8");
    until_woken(&upstream, 1);
    upstream.recover();
    upstream.publish(document(8));
    let by_secret = ask(&edge.secret(), "/features?waitForVersion=8");
    let woken = until_woken(&upstream, 2);
    assert!(woken[1].at < woken[0].at + Duration::from_secs(4), "a second is enough for it");
    for asked in [by_secret, by_publishable] {
        assert_eq!(served_version(&answer_to(asked)), 8);
    }
}

fn who_has_left_wakes_nobody() {
    // A machine that is too busy to be in time gets another try.
    until("two who leave within a second", || leave_before_they_wake_anybody().then_some(()));
}

/// Gives whether all were gone before the second was over that has to pass between two requests.
fn leave_before_they_wake_anybody() -> bool {
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream).patience(SHORT, SHORT));
    for (caller, target) in routes(&edge).into_iter().take(2) {
        assert_eq!(served_version(&caller.get(&format!("{target}waitForVersion=8"))), 7);
    }
    assert_eq!(held(&edge).0, 2);
    let (gone, first) = (upstream.now(), upstream.requests_to("/features")[0].at);
    if gone > first + Duration::from_millis(900) {
        return false;
    }
    let enough = first + Duration::from_millis(1_500);
    until("the moment at which it would be asked", || (upstream.now() > enough).then_some(()));
    assert!(woken(&upstream).is_empty());
    true
}

/// Asserts that each of `later` came so long after its counterpart of `earlier`. The upstream may
/// have noted the earlier one late, by as much as a busy machine makes it.
#[track_caller]
fn assert_apart(earlier: &[Request], later: &[Request], apart: Duration) {
    const LATE: Duration = Duration::from_millis(300);
    for (earlier, later) in earlier.iter().zip(later) {
        assert!(later.at + LATE >= earlier.at + apart, "{:?}, {:?}", earlier.at, later.at);
    }
}

// Bounds.

#[test]
fn places_are_few_and_each_is_free_again_in_the_end() {
    side_by_side(&[
        ("above the bound", above_the_bound_a_request_is_answered_at_once_and_counted),
        ("hanging up", who_hangs_up_leaves_a_place),
        ("environments", each_environment_has_places_of_its_own),
        ("the end", a_server_that_is_to_end_answers_all_who_wait_at_once),
    ]);
}

fn above_the_bound_a_request_is_answered_at_once_and_counted() {
    let upstream = Upstream::serving(document(7));
    let setup = setup(&upstream).limits("waiters_per_environment = 1").patience(SHORT, LONG);
    let edge = start(setup);
    let first = ask(&edge.secret(), "/features?waitForVersion=8");
    until_woken(&upstream, 1);
    for (count, (caller, target)) in (1..).zip(routes(&edge)) {
        let reply = caller.get(&format!("{target}waitForVersion=8"));
        assert_eq!(served_version(&reply), 7);
        assert_eq!(refused(&edge), count);
    }
    assert!(!first.is_finished());
    upstream.publish(document(8));
    assert_eq!(served_version(&answer_to(first)), 8);
    // The place is free again.
    let next = edge.publishable().get("/features/evaluated?waitForVersion=9");
    assert_eq!(served_version(&next), 8);
    assert_eq!((held(&edge).0, refused(&edge)), (2, 5));
}

fn who_hangs_up_leaves_a_place() {
    let upstream = Upstream::serving(document(7));
    let setup = setup(&upstream).limits("waiters_per_environment = 1").patience(SHORT, LONG);
    let edge = start(setup);
    let mut gone = edge.secret().connect();
    gone.connection.write(edge.secret().request("GET", "/features?waitForVersion=8", b""));
    until_woken(&upstream, 1);
    assert_eq!(edge.publishable().get("/features/evaluated?waitForVersion=8").status, 200);
    assert_eq!((held(&edge).0, refused(&edge)), (0, 1));
    drop(gone);
    until("a place", || {
        edge.publishable().get("/features/evaluated?waitForVersion=8");
        (held(&edge).0 > 0).then_some(())
    });
}

fn each_environment_has_places_of_its_own() {
    let (north, south) = (Upstream::serving(document(7)), Upstream::serving(document(7)));
    let edge = Setup::of(Following::upstream(&north).every("10m").named("north"))
        .and(Following::upstream(&south).every("10m").named("south"))
        .limits("waiters_per_environment = 1")
        .looking_as_configured()
        .patience(LONG, LONG)
        .start();
    let asked: Vec<_> = ["north", "south"]
        .map(|name| ask(&edge.secret_of(name), "/features?waitForVersion=8"))
        .into();
    for upstream in [&north, &south] {
        until_woken(upstream, 1);
        upstream.publish(document(8));
    }
    for asked in asked {
        assert_eq!(served_version(&answer_to(asked)), 8);
    }
    assert_eq!(refused(&edge), 0);
}

fn a_server_that_is_to_end_answers_all_who_wait_at_once() {
    let upstream = Upstream::serving(document(7));
    let mut edge = start(setup(&upstream).drain("30s"));
    let asked: Vec<_> = routes(&edge)
        .into_iter()
        .map(|(caller, target)| ask(&caller, format!("{target}waitForVersion=8")))
        .collect();
    until_woken(&upstream, 1);
    until("all of them to be held", || {
        let open = asked.iter().filter(|asked| !asked.is_finished()).count();
        (open == asked.len()).then_some(())
    });
    edge.begin_to_stop();
    for asked in asked {
        assert_eq!(served_version(&answer_to(asked)), 7);
    }
    edge.until_stopped();
}

// What is counted.

#[test]
fn a_hold_is_no_time_of_answering() {
    let hold = Duration::from_secs(1);
    let upstream = Upstream::serving(document(7));
    let edge = start(setup(&upstream).patience(hold, hold));
    let asked: Vec<_> = routes(&edge)
        .into_iter()
        .map(|(caller, target)| ask(&caller, format!("{target}waitForVersion=8")))
        .collect();
    for asked in asked {
        assert_eq!(served_version(&answer_to(asked)), 7);
    }
    let (count, seconds) = held(&edge);
    assert_eq!(count, 5);
    assert!(seconds >= 5.0 * hold.as_secs_f64(), "{seconds}");
    let answering = edge.metrics().find("burgee_http_request_duration_seconds_sum", &[]);
    let answering = answering.expect("requests were answered");
    assert!(answering < hold.as_secs_f64(), "{answering}");
}
