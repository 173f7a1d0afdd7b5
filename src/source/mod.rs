//! Where rules come from: siblings that do not know each other.
//!
//! A source is a state machine that is asked to look and says what it saw; the driver decides when
//! to ask. Neither knows of snapshots: what an [`Update`] means is for the publisher.

mod file;

pub use file::FileSource;
pub(crate) use file::MAX_BYTES as MAX_DOCUMENT;

use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::Update;
use crate::snapshot::publisher::Report;
use crate::time::{Clock, Stopwatch, Timestamp};

/// Something that can be looked at for rules.
pub trait Source {
    /// Looks once.
    fn look(&mut self, now: Timestamp) -> Update;
}

/// Looks at a source now and every `interval`, until nobody takes the reports any more.
pub async fn follow(
    environment: usize,
    mut source: impl Source,
    interval: Duration,
    clock: Clock,
    reports: mpsc::Sender<Report>,
) {
    loop {
        let watch = Stopwatch::start();
        let update = source.look(clock.now());
        let report = Report { environment, update, took: watch.elapsed() };
        if reports.send(report).await.is_err() {
            return;
        }
        tokio::time::sleep(interval).await;
    }
}
