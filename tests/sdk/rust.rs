//! Rust, and crates from a registry, with the cargo that runs the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::run_installer;

/// Builds the program in a folder that has a manifest and a lock file; where it is then.
///
/// Cargo knows by itself what is built already. What it builds is below the target folder, in a
/// place of its own: nothing of it is shared with the proxy, and it would wait for the proxy's build.
pub(super) fn build(sources: &Path, target: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(cargo);
    cargo
        .args(["build", "--locked", "--manifest-path"])
        .arg(sources.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        // Set for whoever checks the proxy, and not for what others wrote.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    run_installer(&mut cargo).map_err(|reason| {
        // It indents what it does, and says at the margin why it cannot.
        let errors: Vec<_> = reason.lines().filter(|line| !line.starts_with(' ')).collect();
        format!("no crates, they cannot be built: {}", errors.join("\n"))
    })?;
    Ok(target.join("debug").join(PROGRAM))
}

/// What the manifest calls it.
const PROGRAM: &str = "burgee-tests-sdk-openfeature";
