//! What changed: told after each commit, to whoever follows an environment.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::origin::model::EnvironmentId;

/// The numbers of one environment's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// `flagStateVersion`
    pub state: u64,
    /// Grows with each change of its keys.
    pub keys: u64,
}

/// The numbers of all environments. A value, not a queue: who looks late sees the last one.
#[derive(Clone, Debug)]
pub struct Feed(watch::Receiver<BTreeMap<EnvironmentId, Numbers>>);

impl Feed {
    pub(super) fn channel(
        numbers: BTreeMap<EnvironmentId, Numbers>,
    ) -> (watch::Sender<BTreeMap<EnvironmentId, Numbers>>, Self) {
        let (sender, receiver) = watch::channel(numbers);
        (sender, Self(receiver))
    }

    /// An environment's numbers now; none when there is no such environment.
    pub fn numbers(&self, environment: &EnvironmentId) -> Option<Numbers> {
        self.0.borrow().get(environment).copied()
    }

    /// Whether nothing will be told any more.
    pub fn is_closed(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// Waits until an environment's numbers are other ones than `known`. Never done when the store
    /// is closed.
    pub async fn changed(&mut self, environment: &EnvironmentId, known: Option<Numbers>) {
        let other = |all: &BTreeMap<_, _>| all.get(environment).copied() != known;
        if self.0.wait_for(other).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
