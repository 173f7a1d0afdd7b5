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
    mut source: impl Source + Send + 'static,
    interval: Duration,
    clock: Clock,
    reports: mpsc::Sender<Report>,
) {
    loop {
        let watch = Stopwatch::start();
        let now = clock.now();
        // On a thread of its own: a file system that hangs must hold up nobody else's rules.
        let look = tokio::task::spawn_blocking(move || {
            let update = source.look(now);
            (source, update)
        });
        let Ok((returned, update)) = look.await else { return };
        source = returned;
        let report = Report { environment, update, took: watch.elapsed() };
        if reports.send(report).await.is_err() {
            return;
        }
        tokio::time::sleep(interval).await;
    }
}
