//! Programs for Node that use published SDKs, and the modules that they need.
//!
//! Modules are installed below the target folder, not beside the programs: the source tree stays
//! as it is, `cargo clean` takes them away, and what is there is always what the lock file says,
//! since the folder is named after a digest of it. A folder is filled under another name and then
//! renamed, so that test processes that run side by side never see half of one. The programs are
//! put beside the modules, where Node looks for them, in the same way.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{PATIENCE, Written, lines_of};

/// Set to 1 where SDKs must be tested: what would be skipped fails.
const REQUIRED: &str = "BURGEE_REQUIRE_SDKS";

/// What `npm` installs from.
const PACKAGE_FILES: [&str; 3] = [".npmrc", "package-lock.json", "package.json"];

/// The oldest release of Node with what programs and SDKs use.
const OLDEST_NODE: u32 = 18;

/// Time to download some seventy megabytes.
const INSTALLATION: Duration = Duration::from_secs(300);

/// Programs that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The programs of `tests/sdk/reflag`, with their modules installed.
    ///
    /// None, with a line that says why, where there is no Node or the modules cannot be had.
    pub(crate) fn for_reflag() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        match READY.get_or_init(|| Self::prepare("reflag")) {
            Ok(programs) => Some(programs.clone()),
            Err(reason) if is_required() => panic!("{REQUIRED} is set, but: {reason}"),
            Err(reason) => {
                // Not by a macro: what those print is only seen when a test fails.
                let reason = reason.lines().next().unwrap_or_default();
                let _ = writeln!(io::stderr(), "skipped: {reason}");
                None
            }
        }
    }

    fn prepare(name: &str) -> Result<Self, String> {
        check_node()?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(name);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));

        let package = PACKAGE_FILES.map(|file| sources.join(file));
        let modules = target.join(format!("sdk-{name}-{}", digest(&package)));
        place(&modules, |folder| copy(&package, folder).and_then(|()| install(folder)))?;

        let programs: Vec<PathBuf> = fs::read_dir(&sources)
            .map_err(|error| format!("no programs: {error}"))?
            .map(|entry| entry.expect("the folder can be read").path())
            .filter(|path| path.extension() == Some(OsStr::new("mjs")))
            .collect();
        let folder = modules.join(format!("programs-{}", digest(&programs)));
        place(&folder, |folder| copy(&programs, folder))?;
        Ok(Self { folder })
    }

    /// Starts a program, which gets `told` as its argument.
    pub(crate) fn start(&self, program: &str, told: &Value) -> Program {
        let mut child = Command::new("node")
            .arg(self.folder.join(program))
            .arg(told.to_string())
            // SDKs read variables, and with NODE_ENV=test one of them never asks anybody.
            .env_clear()
            .envs(path())
            // Dates without an offset are local time.
            .env("TZ", "UTC")
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node was there a moment ago");
        let input = child.stdin.take().expect("its stdin is piped");
        let (lines, _) = lines_of(child.stdout.take().expect("its stdout is piped"));
        let (_, errors) = lines_of(child.stderr.take().expect("its stderr is piped"));
        Program { name: program.to_owned(), child, input, lines, errors }
    }
}

/// A program that runs. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: Written,
}

impl Program {
    /// What the program saw before it began to wait for [`Self::go_on`].
    #[track_caller]
    pub(crate) fn seen(&mut self) -> Value {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{}: {error} in {line:?}", self.name)),
            Err(error) => self.fail(&format!("says nothing ({error})")),
        }
    }

    /// Tells the program that it need not wait any longer.
    #[track_caller]
    pub(crate) fn go_on(&mut self) {
        if let Err(error) = self.input.write_all(b"\n") {
            self.fail(&format!("does not listen ({error})"));
        }
    }

    /// What the program saw last. It must end then, and well.
    #[track_caller]
    pub(crate) fn seen_in_the_end(mut self) -> Value {
        let seen = self.seen();
        match self.lines.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => self.fail("does not end"),
            Ok(line) => self.fail(&format!("has more to say: {line}")),
        }
        let status = self.child.wait().expect("it is our child");
        if !status.success() {
            self.fail(&format!("ended with {status} after {seen}"));
        }
        seen
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!("{} {what}\n{}", self.name, self.errors.so_far());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_required() -> bool {
    std::env::var_os(REQUIRED).is_some_and(|value| value == "1")
}

fn path() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os("PATH").map(|path| ("PATH", path))
}

fn check_node() -> Result<(), String> {
    let output = Command::new("node").arg("--version").stdin(Stdio::null()).output();
    let version = match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => return Err("no node".to_owned()),
    };
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    match major.parse::<u32>() {
        Ok(major) if major >= OLDEST_NODE => Ok(()),
        _ => Err(format!("no node of release {OLDEST_NODE} or later, only {}", version.trim())),
    }
}

/// Installs what the lock file in a folder says. Nothing that is installed is run.
fn install(folder: &Path) -> Result<(), String> {
    let mut child = Command::new("npm")
        .args(["ci", "--prefer-offline", "--no-progress", "--fetch-retries=1", "--loglevel=error"])
        .env_remove("NODE_ENV")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("no node modules: npm: {error}"))?;
    let (lines, errors) = lines_of(child.stderr.take().expect("its stderr is piped"));
    // The stream ends when npm does.
    let waited = std::iter::repeat_with(|| lines.recv_timeout(INSTALLATION)).find_map(Result::err);
    if waited == Some(RecvTimeoutError::Timeout) {
        let _ = child.kill();
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("no node modules, they cannot be installed: {}", errors.so_far())),
    }
}

/// Makes sure of a folder: fills a new one and gives it its name, unless there is one of the name.
fn place(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if folder.exists() {
        return Ok(());
    }
    let parent = folder.parent().expect("folders are below the target folder");
    let failed = |error: io::Error| format!("no place for node modules: {error}");
    let new = tempfile::tempdir_in(parent).map_err(failed)?;
    fill(new.path())?;
    match fs::rename(new.path(), folder) {
        // Somebody else was faster, with the same.
        Err(_) if folder.exists() => Ok(()),
        result => result.map_err(failed),
    }
}

fn copy(files: &[PathBuf], folder: &Path) -> Result<(), String> {
    for file in files {
        let name = file.file_name().expect("files have names");
        fs::copy(file, folder.join(name))
            .map_err(|error| format!("no {}: {error}", file.display()))?;
    }
    Ok(())
}

/// A name for what files hold.
fn digest(files: &[PathBuf]) -> String {
    let mut files = files.to_vec();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.file_name().expect("files have names").as_encoded_bytes());
        let content = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    hash.finalize()[..8].iter().fold(String::new(), |mut name, byte| {
        write!(name, "{byte:02x}").expect("text grows");
        name
    })
}
