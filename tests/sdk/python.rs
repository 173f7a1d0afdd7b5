//! Python, and packages from `pip` in a virtual environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::{Language, output_of, run_installer};

/// The oldest release that all locked packages take.
const OLDEST: (u32, u32) = (3, 11);

/// The virtual environment, below the folder of the lock file. Its interpreter finds it wherever it
/// is moved.
const ENVIRONMENT: &str = "venv";

pub(super) const LANGUAGE: Language =
    Language { extension: "py", package_files: &["requirements.txt"], check, install, interpreter };

fn interpreter(folder: &Path) -> PathBuf {
    folder.join(ENVIRONMENT).join("bin/python")
}

fn check() -> Result<(), String> {
    let print = "import sys; print(*sys.version_info[:2])";
    let version = output_of(Command::new("python3").args(["-c", print])).ok_or("no python")?;
    let mut numbers = version.split_whitespace().map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => {}
        _ => {
            let (major, minor) = OLDEST;
            return Err(format!("no python of release {major}.{minor} or later"));
        }
    }
    // Debian has it in a package of its own.
    output_of(Command::new("python3").args(["-c", "import ensurepip"]))
        .map(drop)
        .ok_or_else(|| "no python that can make virtual environments".to_owned())
}

/// Nothing that is installed is run: wheels are only unpacked.
fn install(folder: &Path) -> Result<(), String> {
    let run = |command: &mut Command| {
        run_installer(command.current_dir(folder))
            .map_err(|reason| format!("no python packages, they cannot be installed: {reason}"))
    };
    run(Command::new("python3").args(["-m", "venv", ENVIRONMENT]))?;
    run(Command::new(interpreter(folder)).args(["-m", "pip", "install", "--quiet"]).args([
        "--disable-pip-version-check",
        "--no-input",
        "--retries=1",
        "--only-binary=:all:",
        "--require-hashes",
        "--requirement=requirements.txt",
    ]))
}
