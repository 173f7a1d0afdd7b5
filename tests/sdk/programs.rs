//! Programs that use published SDKs, and what they run on: an interpreter, and packages.
//!
//! Packages are installed below the target folder, not beside the programs: the source tree stays
//! as it is, `cargo clean` takes them away, and what is there is always what the lock file says,
//! since the folder is named after a digest of it. A folder is filled under another name and then
//! renamed, so that test processes that run side by side never see half of one. The programs are
//! put below the packages, where Node looks for them, in the same way.

use std::ffi::{OsStr, OsString};
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

use super::{PATIENCE, Written, lines_of, node, python, rust};

/// Set to 1 where SDKs must be tested: what would be skipped fails.
const REQUIRED: &str = "BURGEE_REQUIRE_SDKS";

/// Time to download some seventy megabytes, or to build the largest of crates.
const INSTALLATION: Duration = Duration::from_secs(300);

/// What programs of one language need.
pub(super) struct Language {
    /// How their files end.
    pub(super) extension: &'static str,
    /// What packages are installed from, beside the programs.
    pub(super) package_files: &'static [&'static str],
    /// Says why there is no interpreter that will do.
    pub(super) check: fn() -> Result<(), String>,
    /// Installs what the lock file in a folder says, into this folder.
    pub(super) install: fn(&Path) -> Result<(), String>,
    /// The interpreter, with a folder that packages were installed into.
    pub(super) interpreter: fn(&Path) -> PathBuf,
}

/// Programs that can be run.
#[derive(Clone, Debug)]
pub(crate) enum Programs {
    /// Files for an interpreter.
    Scripts { interpreter: PathBuf, folder: PathBuf, extension: &'static str },
    /// A binary, which takes the name of one as its first argument.
    Binary(PathBuf),
}

impl Programs {
    /// The programs of `tests/sdk/reflag`, with their modules installed.
    ///
    /// None, as for the others, with a line that says why, where there is no interpreter or the
    /// packages cannot be had.
    pub(crate) fn for_reflag() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        Self::or_skip(READY.get_or_init(|| Self::prepare("reflag", &node::LANGUAGE)))
    }

    /// What runs the command line of `tests/sdk/reflag_cli`, with its modules installed.
    pub(crate) fn for_reflag_cli() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        Self::or_skip(READY.get_or_init(|| Self::prepare("reflag_cli", &node::LANGUAGE)))
    }

    /// Where the modules of scripts for Node are.
    pub(crate) fn modules(&self) -> PathBuf {
        let Self::Scripts { folder, .. } = self else { panic!("a binary has no modules") };
        folder.parent().expect("programs are below their packages").join("node_modules")
    }

    /// The programs of `tests/sdk/flagsmith` for Node, with their modules installed.
    pub(crate) fn for_flagsmith_in_node() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        Self::or_skip(READY.get_or_init(|| Self::prepare("flagsmith", &node::LANGUAGE)))
    }

    /// The programs of `tests/sdk/flagsmith` for Python, with their packages installed.
    pub(crate) fn for_flagsmith_in_python() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        Self::or_skip(READY.get_or_init(|| Self::prepare("flagsmith", &python::LANGUAGE)))
    }

    /// The programs of `tests/sdk/openfeature` for Node, with their modules installed.
    pub(crate) fn for_openfeature_in_node() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        Self::or_skip(READY.get_or_init(|| Self::prepare("openfeature", &node::LANGUAGE)))
    }

    /// The programs of `tests/sdk/openfeature` for Python, with their packages installed.
    pub(crate) fn for_openfeature_in_python() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        Self::or_skip(READY.get_or_init(|| Self::prepare("openfeature", &python::LANGUAGE)))
    }

    /// The program of `tests/sdk/openfeature/rust`, built.
    pub(crate) fn for_openfeature_in_rust() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        let build = || {
            let sources = sources().join("openfeature/rust");
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk-openfeature-rust");
            rust::build(&sources, &target).map(Self::Binary)
        };
        Self::or_skip(READY.get_or_init(build))
    }

    /// The programs of `tests/sdk/contract`, with their packages installed.
    pub(crate) fn for_contract() -> Option<Self> {
        static READY: OnceLock<Result<Programs, String>> = OnceLock::new();
        Self::or_skip(READY.get_or_init(|| Self::prepare("contract", &python::LANGUAGE)))
    }

    fn or_skip(prepared: &Result<Self, String>) -> Option<Self> {
        match prepared {
            Ok(programs) => Some(programs.clone()),
            Err(reason) if is_required() => panic!("{REQUIRED} is set, but: {reason}"),
            Err(reason) => {
                // Not by a macro: what those print is only seen when a test fails. And at once, since
                // other tests write, too.
                let line = format!("skipped: {}\n", reason.lines().next().unwrap_or_default());
                let _ = io::stderr().write_all(line.as_bytes());
                None
            }
        }
    }

    fn prepare(name: &str, language: &Language) -> Result<Self, String> {
        (language.check)()?;
        let shared = sources();
        let sources = shared.join(name);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let extension = language.extension;

        let package: Vec<PathBuf> =
            language.package_files.iter().map(|file| sources.join(file)).collect();
        let packages = target.join(format!("sdk-{name}-{extension}-{}", digest(&package)));
        place(&packages, |folder| {
            copy(&package, folder).and_then(|()| (language.install)(folder))
        })?;

        let mut programs = files(&shared, extension)?;
        programs.extend(files(&sources, extension)?);
        let folder = packages.join(format!("programs-{}", digest(&programs)));
        place(&folder, |folder| copy(&programs, folder))?;
        Ok(Self::Scripts { interpreter: (language.interpreter)(&packages), folder, extension })
    }

    /// Starts a program, named without the ending of its file, which gets `told` as its argument.
    pub(crate) fn start(&self, program: &str, told: &Value) -> Program {
        let mut command = match self {
            Self::Scripts { interpreter, folder, extension } => {
                let mut command = Command::new(interpreter);
                command.arg(folder.join(format!("{program}.{extension}"))).current_dir(folder);
                command
            }
            Self::Binary(binary) => {
                let mut command = Command::new(binary);
                command.arg(program);
                command
            }
        };
        let mut child = command
            .arg(told.to_string())
            // SDKs read variables, and with NODE_ENV=test one of them never asks anybody.
            .env_clear()
            .envs(path())
            // Dates without an offset are local time.
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the interpreter was there a moment ago");
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

/// Where the sources of all programs are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

fn is_required() -> bool {
    std::env::var_os(REQUIRED).is_some_and(|value| value == "1")
}

fn path() -> Option<(&'static str, OsString)> {
    std::env::var_os("PATH").map(|path| ("PATH", path))
}

/// Makes sure of a folder: fills a new one and gives it its name, unless there is one of the name.
fn place(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if folder.exists() {
        return Ok(());
    }
    let parent = folder.parent().expect("folders are below the target folder");
    let failed = |error: io::Error| format!("no place for packages: {error}");
    let new = tempfile::tempdir_in(parent).map_err(failed)?;
    fill(new.path())?;
    match fs::rename(new.path(), folder) {
        // Somebody else was faster, with the same.
        Err(_) if folder.exists() => Ok(()),
        result => result.map_err(failed),
    }
}

/// What a command writes to its standard output, if it ends well.
pub(super) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command that installs something; what it wrote to its standard error if it fails or takes
/// too long.
pub(super) fn run_installer(command: &mut Command) -> Result<(), String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let (lines, errors) = lines_of(child.stderr.take().expect("its stderr is piped"));
    // The stream ends when the command does.
    let waited = std::iter::repeat_with(|| lines.recv_timeout(INSTALLATION)).find_map(Result::err);
    if waited == Some(RecvTimeoutError::Timeout) {
        let _ = child.kill();
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(errors.so_far()),
    }
}

/// The files of a folder that end like this.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("no programs: {error}"))?;
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    Ok(paths.filter(|path| path.extension() == Some(OsStr::new(extension))).collect())
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
