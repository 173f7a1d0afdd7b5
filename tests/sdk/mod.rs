//! What tests of published SDKs share: the binary, and the programs that use the SDKs.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unused_imports,
    reason = "test code of which each target uses its own part"
)]

mod burgee;
mod edge;
pub(crate) mod flagsmith_rules;
mod node;
mod programs;
mod python;
pub(crate) mod reflag_rules;
mod rust;

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::burgee::time::Stopwatch;

pub(crate) use self::burgee::{Burgee, get_json};
pub(crate) use self::edge::{Edge, FLAGSMITH_KEYS, REFLAG_KEYS, Rules};
pub(crate) use self::programs::Programs;

/// Longest wait for something that is bound to come. Nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until there is something to see.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(watch.elapsed() < PATIENCE, "still waiting for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a child process has written to a stream so far, for failures.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<String>>);

impl Written {
    fn so_far(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }
}

/// Reads a child's stream line by line as long as it is open, so that the child never waits for us.
fn lines_of(stream: impl Read + Send + 'static) -> (Receiver<String>, Written) {
    let (sender, lines) = channel();
    let written = Written::default();
    let kept = written.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            kept.push(&line);
            // Nobody may be interested any more.
            let _ = sender.send(line);
        }
    });
    (lines, written)
}
