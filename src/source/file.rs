//! Rules from a file, re-read when it changes.
//!
//! The file is looked at, not watched: that works the same for edits in place, for a rename over
//! it, for the symbolic links that Kubernetes swaps, and on network file systems.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Look, Sight, Source};
use crate::dialect::flagsmith::document;
use crate::dialect::reflag::definitions;
use crate::model::flagsmith::UpdatedAt;
use crate::model::{Confirmed, Failure, FailureKind, Rules, Update};
use crate::time::Timestamp;

/// Larger files are refused: no environment comes near.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// A file younger than this is read again even when it looks the same: two writes within the
/// resolution of the file system's clock cannot be told apart otherwise.
const RACY_MILLIS: i64 = 2_000;

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// A Reflag features document.
    #[default]
    Reflag,
    /// A Flagsmith environment document.
    Flagsmith,
}

/// A document in a file.
#[derive(Debug, Default)]
pub struct FileSource {
    path: PathBuf,
    format: FileFormat,
    seen: Option<Seen>,
    /// Hash of the last content that was good.
    good: Option<[u8; 32]>,
}

/// What the file looked like when it was last read, and what came of it.
#[derive(Debug)]
struct Seen {
    identity: Identity,
    failure: Option<(FailureKind, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified_seconds: i64,
    modified_nanos: i64,
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified_seconds: metadata.mtime(),
            modified_nanos: metadata.mtime_nsec(),
        }
    }

    fn modified(self) -> Timestamp {
        Timestamp(self.modified_seconds.saturating_mul(1_000) + self.modified_nanos / 1_000_000)
    }
}

impl FileSource {
    /// Follows `path`; nothing is read yet.
    pub fn new(path: PathBuf, format: FileFormat) -> Self {
        Self { path, format, seen: None, good: None }
    }

    fn read(&mut self, now: Timestamp) -> Result<Option<Rules>, (FailureKind, String)> {
        let unreadable = |error: io::Error| {
            (FailureKind::Network, format!("cannot read {}: {error}", self.path.display()))
        };
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        // Before it is opened: opening a pipe waits for somebody to write.
        if !metadata.is_file() {
            return Err((FailureKind::Network, format!("{} is not a file", self.path.display())));
        }
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let identity = Identity::of(&metadata);
        if let Some(seen) = &self.seen
            && seen.identity == identity
            && now.since(identity.modified()) > RACY_MILLIS
        {
            return match &seen.failure {
                None => Ok(None),
                Some(failure) => Err(failure.clone()),
            };
        }
        self.seen = None;
        if identity.length > MAX_BYTES {
            let what = format!("{} is larger than {MAX_BYTES} bytes", self.path.display());
            return Err((FailureKind::Malformed, what));
        }
        let mut content = Vec::with_capacity(identity.length as usize);
        file.by_ref().take(MAX_BYTES).read_to_end(&mut content).map_err(unreadable)?;
        let hash: [u8; 32] = Sha256::digest(&content).into();
        if self.good == Some(hash) {
            self.seen = Some(Seen { identity, failure: None });
            return Ok(None);
        }
        match self.parse(&Bytes::from(content), identity.modified()) {
            Ok(rules) => {
                self.seen = Some(Seen { identity, failure: None });
                self.good = Some(hash);
                Ok(Some(rules))
            }
            Err(error) => {
                let failure = (FailureKind::Malformed, format!("{}: {error}", self.path.display()));
                self.seen = Some(Seen { identity, failure: Some(failure.clone()) });
                Err(failure)
            }
        }
    }
}

impl FileSource {
    /// Without a version of its own a document has its file's time of change.
    fn parse(&self, content: &Bytes, modified: Timestamp) -> Result<Rules, String> {
        match self.format {
            FileFormat::Reflag => {
                let mut ruleset = definitions::read(content).map_err(|error| error.to_string())?;
                ruleset.source_version.get_or_insert(u64::try_from(modified.0).unwrap_or(0));
                Ok(Rules::Reflag(ruleset))
            }
            FileFormat::Flagsmith => {
                let mut environment = document::read(content).map_err(|error| error.to_string())?;
                environment.updated_at.get_or_insert(UpdatedAt(modified.0.saturating_mul(1_000)));
                Ok(Rules::Flagsmith(environment))
            }
        }
    }

    /// Looks at the file, with calls that block.
    pub fn look_blocking(&mut self, now: Timestamp) -> Update {
        match self.read(now) {
            Ok(Some(rules)) => Update::Replace(Box::new(rules), Confirmed::At(now)),
            Ok(None) => Update::Unchanged(Confirmed::At(now)),
            Err((kind, message)) => Update::Unavailable(Failure::new(kind, message, now)),
        }
    }
}

impl Source for FileSource {
    async fn look(&mut self, look: Look) -> Sight {
        let path = self.path.clone();
        let mut source = std::mem::take(self);
        // On a thread of its own: a file system that hangs must hold up nobody else's rules.
        let looked = tokio::task::spawn_blocking(move || {
            let update = source.look_blocking(look.now);
            (source, update)
        });
        if let Ok((source, update)) = looked.await {
            *self = source;
            update.into()
        } else {
            self.path = path;
            let message = format!("reading {} failed", self.path.display());
            Update::Unavailable(Failure::new(FailureKind::Malformed, message, look.now)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const LONG_AGO: Timestamp = Timestamp(i64::MAX / 2);

    fn document(version: u32) -> String {
        format!(r#"{{"success":true,"flagStateVersion":{version},"features":[]}}"#)
    }

    fn seen(source: &mut FileSource, now: Timestamp) -> String {
        match source.look_blocking(now) {
            Update::Replace(rules, _) => format!("version {:?}", rules.source_version().unwrap()),
            Update::Unchanged(_) => "unchanged".to_owned(),
            Update::Unavailable(failure) => failure.kind.label().to_owned(),
        }
    }

    #[test]
    fn a_file_is_read_once_per_change_of_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.json");
        let mut source = FileSource::new(path.clone(), FileFormat::Reflag);
        assert_eq!(seen(&mut source, LONG_AGO), "network");
        fs::write(&path, document(1)).unwrap();
        assert_eq!(seen(&mut source, LONG_AGO), "version 1");
        assert_eq!(seen(&mut source, LONG_AGO), "unchanged");
        // Same length, perhaps the same tick of the file system's clock: told apart while young.
        fs::write(&path, document(2)).unwrap();
        assert_eq!(seen(&mut source, Timestamp(0)), "version 2");
        // A rename over it.
        fs::write(folder.path().join("new"), document(3)).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(seen(&mut source, LONG_AGO), "version 3");
    }

    #[test]
    fn a_broken_file_stays_a_failure_until_it_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.json");
        let mut source = FileSource::new(path.clone(), FileFormat::Reflag);
        fs::write(&path, document(1)).unwrap();
        assert_eq!(seen(&mut source, LONG_AGO), "version 1");
        fs::write(&path, &document(2)[..20]).unwrap();
        assert_eq!(seen(&mut source, LONG_AGO), "malformed");
        assert_eq!(seen(&mut source, LONG_AGO), "malformed");
        fs::write(&path, document(1)).unwrap();
        assert_eq!(seen(&mut source, Timestamp(0)), "unchanged", "the good content is back");
        fs::remove_file(&path).unwrap();
        assert_eq!(seen(&mut source, LONG_AGO), "network");
    }

    #[test]
    fn symbolic_links_that_are_swapped_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        // The way Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> ..<time>.
        for version in [1, 2] {
            let data = folder.path().join(format!("..v{version}"));
            fs::create_dir(&data).unwrap();
            fs::write(data.join("flags.json"), document(version)).unwrap();
        }
        symlink("..v1", folder.path().join("..data")).unwrap();
        symlink("..data/flags.json", folder.path().join("flags.json")).unwrap();
        let mut source = FileSource::new(folder.path().join("flags.json"), FileFormat::Reflag);
        assert_eq!(seen(&mut source, LONG_AGO), "version 1");
        symlink("..v2", folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        assert_eq!(seen(&mut source, LONG_AGO), "version 2");
    }

    #[test]
    fn without_a_version_of_its_own_the_time_of_the_change_is_the_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.json");
        fs::write(&path, r#"{"features":[]}"#).unwrap();
        let modified = Identity::of(&fs::metadata(&path).unwrap()).modified();
        let mut source = FileSource::new(path, FileFormat::Reflag);
        assert_eq!(seen(&mut source, LONG_AGO), format!("version {}", modified.0));
    }
}
