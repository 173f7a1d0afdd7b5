//! When the upstream is asked again.

use std::time::Duration;

use crate::fake_upstream::{Answer, Reply, Request, Upstream};
use crate::following::{Following, SHOP, document, for_each_row, until_failing, until_well};
use crate::support::{Setup, until};

const SECOND: Duration = Duration::from_secs(1);

/// The first request that came after a moment.
fn next_after(upstream: &Upstream, moment: Duration) -> Request {
    until("another request", || upstream.requests().into_iter().find(|request| request.at > moment))
}

/// Who asks for a rest, and with what. Learning which flags are public is no more urgent.
const REFUSALS: [(u16, &str); 5] = [
    (429, "/features"),
    (503, "/features"),
    (401, "/features"),
    (429, "/features/evaluated"),
    (503, "/features/evaluated"),
];

#[test]
fn an_upstream_that_asks_for_a_rest_gets_it_counted_from_its_answer() {
    for_each_row(
        &REFUSALS,
        |row| row.1,
        |&(status, path)| {
            let upstream = Upstream::serving(document(7));
            // It thinks about its answer for most of the time that it then asks for.
            let gate = upstream.gate();
            let reply = Reply::status(status).header("Retry-After", "1");
            upstream.answer_once(path, Answer::from(reply).after(&gate));
            let edge = Setup::of(Following::upstream(&upstream).named(SHOP)).begin();
            let asked = upstream.until_requests(path, 1)[0].at;
            until("most of a second", || (upstream.now() > asked + SECOND * 4 / 5).then_some(()));
            let answered = upstream.now();
            gate.open();
            // Else it would be asked again within 100 ms.
            let next = next_after(&upstream, answered);
            assert!(next.at >= answered + SECOND, "{status} {path}: {answered:?}, {next:?}");
            edge.until_status(SHOP, |status| status["state"] == "live");
        },
    );
}

#[test]
fn nobody_who_waits_for_a_version_shortens_a_rest() {
    let upstream = Upstream::serving(document(7));
    let patience = Duration::from_millis(10);
    let edge =
        Setup::of(Following::upstream(&upstream).named(SHOP)).patience(patience, patience).start();
    until_well(&edge, 7);
    let gate = upstream.gate();
    let reply = Reply::status(429).header("Retry-After", "2");
    upstream.answer_once("/features", Answer::from(reply).after(&gate));
    let answered = upstream.now();
    gate.open();
    until_failing(&edge);
    let failed = upstream.now();
    let asked = upstream.requests().last().expect("a request").at;
    while upstream.requests().last().expect("a request").at == asked {
        for caller in [edge.secret(), edge.publishable()] {
            assert_eq!(caller.get("/features/evaluated?waitForVersion=8").status, 200);
        }
        assert!(upstream.now() < failed + SECOND * 8, "it is asked again in the end");
    }
    let next = next_after(&upstream, asked);
    assert!(next.at >= answered + SECOND * 2, "{answered:?}, {next:?}");
}
