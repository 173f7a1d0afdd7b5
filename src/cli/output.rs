//! What is written to the terminal.

use std::io::{self, ErrorKind, Write};

use super::Failure;

/// Writes to standard output. That nobody reads on (`burgee check | head -1`) is no error.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Refused(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes one message to standard error, if anybody reads it.
pub(super) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
