//! Node, and modules from `npm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::{Language, output_of, run_installer};

/// The oldest release with what programs and SDKs use.
const OLDEST: u32 = 18;

pub(super) const LANGUAGE: Language = Language {
    extension: "mjs",
    package_files: &[".npmrc", "package-lock.json", "package.json"],
    check,
    install,
    // Modules are found from where programs are.
    interpreter: |_| PathBuf::from("node"),
};

fn check() -> Result<(), String> {
    let version = output_of(Command::new("node").arg("--version")).ok_or("no node")?;
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    match major.parse::<u32>() {
        Ok(major) if major >= OLDEST => Ok(()),
        _ => Err(format!("no node of release {OLDEST} or later, only {}", version.trim())),
    }
}

/// Nothing that is installed is run.
fn install(folder: &Path) -> Result<(), String> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--prefer-offline", "--no-progress", "--fetch-retries=1", "--loglevel=error"])
        .env_remove("NODE_ENV")
        .current_dir(folder);
    run_installer(&mut npm)
        .map_err(|reason| format!("no node modules, they cannot be installed: {reason}"))
}
