//! The `burgee` command.
fn main() {}
