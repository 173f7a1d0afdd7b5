//! The thread that writes: what waits is done in one transaction.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};
use tracing::warn;

use super::extents::Extents;
use super::{Left, Numbers, Raised, Reader, Seal, StoreError, Stored, Writer};
use crate::origin::model::{Actor, EnvironmentId};
use crate::time::{Clock, Stopwatch};

/// Changes that wait for the thread.
const WAITING: usize = 4_096;
/// Changes of one transaction: enough to be worth a flush, few enough that nobody waits long.
const BATCH: usize = 512;
/// How often it is asked whether another process wrote.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

type Telling = watch::Sender<BTreeMap<EnvironmentId, Numbers>>;

/// The way to the thread.
pub(super) struct Jobs(SyncSender<Box<dyn Job>>);

impl Jobs {
    /// Hands a change over; what comes back is its outcome, once it is on the disk.
    pub(super) fn send<T, F>(&self, actor: Actor, change: F) -> Stored<oneshot::Receiver<Stored<T>>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer<'_>) -> Stored<T> + Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        let job = Change { actor, todo: Some(change), outcome: None, reply };
        match self.0.try_send(Box::new(job)) {
            Ok(()) => Ok(outcome),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }
}

/// One change, whatever it gives.
trait Job: Send {
    /// Does it. Gives what it leaves behind, if it is to be kept.
    fn run(&mut self, at: &Place<'_>) -> Option<Left>;

    /// Tells whoever waits. `Err` says that nothing of the transaction was kept.
    fn finish(self: Box<Self>, committed: Result<&(), &rusqlite::Error>);
}

/// Where changes are made.
struct Place<'a> {
    connection: &'a Connection,
    seal: &'a Seal,
    extents: &'a Extents,
    clock: &'a Clock,
}

struct Change<T, F> {
    actor: Actor,
    todo: Option<F>,
    outcome: Option<Stored<T>>,
    reply: oneshot::Sender<Stored<T>>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: FnOnce(&mut Writer<'_>) -> Stored<T> + Send,
{
    fn run(&mut self, at: &Place<'_>) -> Option<Left> {
        let change = self.todo.take()?;
        let reader = Reader::new(at.connection, at.seal);
        let mut writer = Writer::new(reader, at.extents, &self.actor, at.clock.now());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let outcome = change(&mut writer)?;
            writer.definitions_fit()?;
            Ok(outcome)
        }));
        let outcome = outcome.unwrap_or(Err(StoreError::Panicked));
        let left = outcome.is_ok().then(|| writer.into_left());
        self.outcome = Some(outcome);
        left
    }

    fn finish(self: Box<Self>, committed: Result<&(), &rusqlite::Error>) {
        let outcome = match (self.outcome, committed) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(StoreError::Database(copy(error))),
            (Some(outcome), Ok(())) => outcome,
            (None, Ok(())) => Err(StoreError::Panicked),
        };
        // Whoever asked may have gone.
        let _ = self.reply.send(outcome);
    }
}

/// The same failure for all whose changes were in the transaction.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => {
            rusqlite::Error::SqliteFailure(*code, text.clone())
        }
        _ => rusqlite::Error::InvalidQuery,
    }
}

/// Starts the thread. It ends with the last [`Jobs`].
pub(super) fn start(
    connection: Connection,
    seal: Seal,
    telling: Telling,
    clock: Clock,
    database: &Path,
) -> io::Result<Jobs> {
    let (sender, jobs) = sync_channel(WAITING);
    let extents = Extents::of(database);
    let writing = Writing { connection, seal, telling, clock, extents, seen: None };
    std::thread::Builder::new()
        .name("origin-writer".to_owned())
        .spawn(move || writing.run(&jobs))?;
    Ok(Jobs(sender))
}

struct Writing {
    connection: Connection,
    seal: Seal,
    telling: Telling,
    clock: Clock,
    extents: Extents,
    /// SQLite's number for what others wrote.
    seen: Option<i64>,
}

impl Writing {
    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut looked = Stopwatch::start();
        loop {
            let rest = BETWEEN_LOOKS.saturating_sub(looked.elapsed());
            match jobs.recv_timeout(rest) {
                Ok(first) => self.batch(first, jobs),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() >= BETWEEN_LOOKS {
                if let Err(error) = self.look_at_others() {
                    warn!(%error, "the origin's database cannot be read");
                }
                looked = Stopwatch::start();
            }
        }
    }

    /// One transaction for the first change and all that wait behind it.
    fn batch(&mut self, first: Box<dyn Job>, jobs: &Receiver<Box<dyn Job>>) {
        let mut done: Vec<Box<dyn Job>> = Vec::new();
        let mut raised = Raised::new();
        let mut next = Some(first);
        let committed = self.connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
            while let Some(mut job) = next.take() {
                let outcome = self.savepoint(&mut *job, &mut raised);
                done.push(job);
                outcome?;
                if done.len() < BATCH {
                    next = jobs.try_recv().ok();
                }
            }
            self.connection.execute_batch("COMMIT")
        });
        done.extend(next);
        if let Err(error) = &committed {
            warn!(%error, changes = done.len(), "the origin's database cannot be written");
            // The versions that these were found out at will be those of other states.
            self.extents.clear();
            // Nothing to end if it could not begin.
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
        } else if !raised.is_empty() {
            self.telling.send_modify(|numbers| {
                for (environment, new) in raised {
                    if new == Numbers::default() {
                        self.extents.remove(&environment);
                        numbers.remove(&environment);
                    } else {
                        numbers.insert(environment, new);
                    }
                }
            });
        }
        for job in done {
            job.finish(committed.as_ref());
        }
    }

    /// A change that fails leaves the others alone.
    fn savepoint(&mut self, job: &mut dyn Job, raised: &mut Raised) -> rusqlite::Result<()> {
        let Self { connection, seal, clock, extents, .. } = self;
        let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
        run("SAVEPOINT change")?;
        if let Some(left) = job.run(&Place { connection, seal, extents, clock }) {
            run("RELEASE change")?;
            raised.extend(left.raised);
            extents.extend(left.extents);
        } else {
            run("ROLLBACK TO change")?;
            run("RELEASE change")?;
        }
        Ok(())
    }

    /// Tells what another process wrote since the last time.
    fn look_at_others(&mut self) -> Stored<()> {
        let number: i64 = self
            .connection
            .prepare_cached("SELECT data_version FROM pragma_data_version")?
            .query_row([], |row| row.get(0))?;
        if self.seen.replace(number) != Some(number) {
            let numbers = Reader::new(&self.connection, &self.seal).numbers()?;
            self.telling.send_if_modified(|held| {
                let differs = *held != numbers;
                if differs {
                    *held = numbers;
                }
                differs
            });
        }
        Ok(())
    }
}
