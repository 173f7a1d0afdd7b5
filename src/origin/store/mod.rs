//! The database. The only module with SQL in it.
//!
//! ```text
//! handlers --jobs, bounded--> writer thread: BEGIN, job, job, ..., COMMIT --> replies, Feed
//! handlers --> one of a few readers, each a consistent look
//! ```
//!
//! SQLite with a write-ahead log. One connection writes, on a thread of its own; what waits there is
//! done in one transaction, each change in a savepoint, so one flush to the disk serves all who came
//! meanwhile. Nobody is told of success before that flush (`synchronous = FULL`): what was
//! acknowledged survives a power cut.
//!
//! Another process may write the same file, as the `burgee origin` commands do: a few times a second
//! the writer asks whether anybody did, and tells the [`Feed`].

mod changes;
mod error;
mod extents;
mod feed;
mod reader;
mod seal;
mod writer;
mod writing;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::Semaphore;
use tracing::warn;

pub use changes::{
    FlagChange, NewFlag, NewKeys, SegmentChange, StageChange, TargetChange, TargetingChange,
};
pub use error::{Issues, StoreError, Stored};
use extents::{Extents, Judged};
pub use feed::{Feed, Numbers};
pub use reader::Reader;
pub use seal::Seal;
pub use writer::Writer;
pub(in crate::origin) use writer::{ALL_COMPANIES, STAGES};

use crate::origin::model::{Actor, EnvironmentId};
use crate::telemetry::metrics::OriginMetrics;
use crate::time::{Clock, Stopwatch};

/// Looks at the database at once.
const READERS: usize = 4;
/// Prepared statements that each connection keeps.
const STATEMENTS: usize = 128;
/// Pages that each connection keeps at most, and what SQLite takes beside them.
const CACHE_KIB: i64 = 8 * 1024;
/// What all connections take at most.
pub(crate) const MEMORY: u64 = (READERS as u64 + 1) * 10 * 1024 * 1024;
/// How long a writer waits for one in another process.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What brings an older database up to date: each file once, in order. A database remembers how many
/// it has had in `user_version`.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_control_plane.sql")];

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder or file cannot be made or read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// It is no database, or a damaged one.
    #[error("{path}: {error}")]
    Database {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        error: rusqlite::Error,
    },
    /// A later Burgee wrote it.
    #[error("{path} was written by a later version of Burgee (schema {found}, this one knows {})", MIGRATIONS.len())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
    /// It can be opened, and not be relied on.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// The first thing that SQLite found.
        what: String,
    },
    /// The key beside it is none.
    #[error(
        "{path}: this is no sealing key of Burgee's; put the right file back, or remove it: secret keys go on working but cannot be shown until they are rotated"
    )]
    Seal {
        /// Which.
        path: PathBuf,
    },
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// The way to a database. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    feed: Feed,
}

struct Shared {
    jobs: writing::Jobs,
    readers: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
    seal: Seal,
    clock: Clock,
    path: PathBuf,
    metrics: OnceLock<OriginMetrics>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens a database file, makes it where there is none, and brings it up to date. Only whoever
    /// runs this process can read what is made.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, OpenError> {
        let refused = |error| OpenError::Database { path: path.to_owned(), error };
        if path.exists() && !is_there(path) && seal::path_beside(path).exists() {
            warn!(
                database = %path.display(),
                "the file is empty, though the key beside it says that there was a database: a new \
                 one is made; if it was lost, stop and put a backup in its place"
            );
        }
        make_private(path)?;
        let seal = Seal::open(path)?;
        let mut writer = connect(path).map_err(refused)?;
        migrate(&mut writer, path)?;
        warn_of_unreadable_keys(&Reader::new(&writer, &seal), path);
        let readers = (0..READERS).map(|_| {
            let reader = connect(path)?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(reader)
        });
        let readers = readers.collect::<Result<Vec<_>, _>>().map_err(refused)?;
        let numbers = Reader::new(&writer, &seal).numbers();
        let numbers = numbers.map_err(|error| match error {
            StoreError::Database(error) => refused(error),
            _ => refused(rusqlite::Error::InvalidQuery),
        })?;
        let (telling, feed) = Feed::channel(numbers);
        let jobs = writing::start(writer, seal.clone(), telling, clock.clone(), path)
            .map_err(OpenError::Thread)?;
        let readers = Mutex::new(readers);
        let free = Arc::new(Semaphore::new(READERS));
        let (path, metrics) = (path.to_owned(), OnceLock::new());
        let shared = Shared { jobs, readers, free, seal, clock, path, metrics };
        Ok(Self { shared: Arc::new(shared), feed })
    }

    /// Whether a database can be used, without making or changing one: where there is none, one can
    /// be made.
    pub fn examine(path: &Path) -> Result<(), OpenError> {
        if !is_there(path) {
            return Ok(());
        }
        let refused = |error| OpenError::Database { path: path.to_owned(), error };
        Seal::examine(path)?;
        let connection = look_only(path).map_err(refused)?;
        schema_of(&connection, path)?;
        let found: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
        if found == "ok" {
            return Ok(());
        }
        Err(OpenError::Damaged { path: path.to_owned(), what: found })
    }

    /// What a change would give: it is done to a copy in memory. Nothing is made, changed or locked.
    pub fn rehearse<T>(
        path: &Path,
        clock: &Clock,
        actor: &Actor,
        change: impl FnOnce(&mut Writer<'_>) -> Stored<T>,
    ) -> Result<Stored<T>, OpenError> {
        let refused = |error| OpenError::Database { path: path.to_owned(), error };
        let mut copy = Connection::open_in_memory().map_err(refused)?;
        if is_there(path) {
            look_only(path).and_then(|source| copy_all(&source, &mut copy)).map_err(refused)?;
        }
        copy.pragma_update(None, "foreign_keys", true).map_err(refused)?;
        migrate(&mut copy, path)?;
        let seal = Seal::random()?;
        let extents = Extents::of(path);
        let reader = Reader::new(&copy, &seal);
        let mut writer = Writer::new(reader, &extents, actor, clock.now());
        let outcome = change(&mut writer);
        Ok(outcome.and_then(|outcome| writer.definitions_fit().map(|()| outcome)))
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Counts writes here from now on.
    pub(crate) fn count_in(&self, metrics: OriginMetrics) {
        // There is one process, so there is one place.
        let _ = self.shared.metrics.set(metrics);
    }

    /// What changes.
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Where "now" comes from.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// One consistent look at everything, on a thread that may block.
    pub async fn read<T, F>(&self, look: F) -> Stored<T>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Stored<T> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let place = Arc::clone(&self.shared.free).acquire_owned().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        let looked = tokio::task::spawn_blocking(move || {
            let readers = || shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
            let mut connection = readers().pop().ok_or(StoreError::Busy)?;
            let result = look_at(&mut connection, &shared.seal, look);
            readers().push(connection);
            // Not before: whoever asked may have gone long ago.
            drop(place);
            result
        });
        looked.await.map_err(|_| StoreError::Panicked)?
    }

    /// Does one change as a whole or not at all, and answers when it is safe on the disk.
    pub async fn write<T, F>(&self, actor: Actor, change: F) -> Stored<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer<'_>) -> Stored<T> + Send + 'static,
    {
        let watch = Stopwatch::start();
        let outcome = match self.shared.jobs.send(actor, change) {
            Ok(reply) => reply.await.unwrap_or(Err(StoreError::Closed)),
            Err(error) => Err(error),
        };
        if let Some(metrics) = self.shared.metrics.get() {
            match &outcome {
                Ok(_) => metrics.wrote("done", watch.elapsed()),
                Err(error) if error.is_the_callers() => metrics.wrote("refused", watch.elapsed()),
                Err(StoreError::Busy) => metrics.write_dropped(),
                Err(_) => metrics.wrote("failed", watch.elapsed()),
            }
        }
        outcome
    }
}

fn look_at<T>(
    connection: &mut Connection,
    seal: &Seal,
    look: impl FnOnce(&Reader<'_>) -> Stored<T>,
) -> Stored<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        look(&Reader::new(&transaction, seal))
    }))
    .unwrap_or(Err(StoreError::Panicked))
}

/// The folder, and the file before SQLite makes it in its own way: its log and index files take
/// over who may read it.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::File { path, error }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused(folder))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path).map_err(refused(path))?;
    Ok(())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Negative numbers are KiB.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // What was deleted is overwritten: an old name does not linger in the file.
    connection.pragma_update(None, "secure_delete", "fast")?;
    Ok(connection)
}

/// Whether a file holds anything.
fn is_there(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.len() > 0)
}

/// A connection that changes nothing.
fn look_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn copy_all(source: &Connection, copy: &mut Connection) -> rusqlite::Result<()> {
    // Of a database with a write-ahead log nobody waits for a writer.
    if Backup::new(source, copy)?.step(-1)? == StepResult::Done {
        return Ok(());
    }
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    Err(rusqlite::Error::SqliteFailure(busy, None))
}

/// Says so when secret keys cannot be shown: a key file that is not there is made, and opens nothing.
fn warn_of_unreadable_keys(reader: &Reader<'_>, path: &Path) {
    match reader.unreadable_keys() {
        Ok(0) => {}
        Ok(count) => warn!(
            database = %path.display(),
            count,
            "secret keys cannot be shown: `{}` is not the file that they were sealed with. They go \
             on working; put the right file back, or rotate them",
            seal::path_beside(path).display()
        ),
        // Whoever asks for one is told.
        Err(error) => warn!(%error, "the origin's keys cannot be read"),
    }
}

/// How many migrations a database has had.
fn schema_of(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let refused = |error| OpenError::Database { path: path.to_owned(), error };
    let found: u32 = connection
        .query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))
        .map_err(refused)?;
    if found as usize > MIGRATIONS.len() {
        return Err(OpenError::Newer { path: path.to_owned(), found });
    }
    Ok(found as usize)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let refused = |error| OpenError::Database { path: path.to_owned(), error };
    // Whoever has nothing to write waits for no writer.
    if schema_of(connection, path)? == MIGRATIONS.len() {
        return Ok(());
    }
    // Two processes that start at once do it one after the other.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused)?;
    let done = schema_of(&transaction, path)?;
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration).map_err(refused)?;
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", known).map_err(refused)?;
    transaction.commit().map_err(refused)
}

/// What one transaction changed, by environment.
type Raised = BTreeMap<EnvironmentId, Numbers>;

/// What a change that is kept leaves behind beside its result.
#[derive(Debug, Default)]
struct Left {
    raised: Raised,
    extents: Judged,
}

#[cfg(test)]
mod tests;
