//! Why something was not read or not changed.

/// What is wrong with what was sent: a dotted path into it, and words for people. The empty path is
/// the whole.
pub type Issues = Vec<(String, String)>;

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something that the call names is not there. The words say what.
    #[error("{0}")]
    NotFound(String),
    /// What was sent does not fit what is stored.
    #[error("{}", describe(.0))]
    Invalid(Issues),
    /// It is well-formed, and yet cannot be done.
    #[error("{0}")]
    NotPossible(String),
    /// More changes wait than are kept waiting.
    #[error("too many changes at once")]
    Busy,
    /// The thread that writes is gone: the process ends, or could not start.
    #[error("the database is closed")]
    Closed,
    /// A fault of ours, in the middle of one change: nothing of it was kept.
    #[error("a change panicked")]
    Panicked,
    /// The database cannot be read or written.
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// What is stored is not what we store.
    #[error("the database holds something that cannot be read: {0}")]
    Stored(#[from] serde_json::Error),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl StoreError {
    /// Something that the call names is not there.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound(what.into())
    }

    /// Whether it is what was asked for that cannot be done.
    pub(crate) fn is_the_callers(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Invalid(_) | Self::NotPossible(_))
    }

    /// Whether the same may well be done later: another process holds the database, or its disk is
    /// full.
    pub(crate) fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        match self {
            Self::Busy | Self::Closed => true,
            Self::Database(error) => {
                matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull))
            }
            _ => false,
        }
    }

    /// One member of what was sent does not fit.
    pub(crate) fn issue(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![(path.into(), message.into())])
    }
}

fn describe(issues: &Issues) -> String {
    let line = |(path, message): &(String, String)| match path.as_str() {
        "" => message.clone(),
        path => format!("{path}: {message}"),
    };
    issues.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What most functions of the store give.
pub type Stored<T> = Result<T, StoreError>;
