//! Log lines on standard error, as text or JSON.

use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
}

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(level: Level, format: Format) {
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_span_events(FmtSpan::NONE)
        // It would complain on the very stream that nobody reads any more, and panic over that.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // Fails only when logging has been started before, as in tests.
    let _ = match format {
        Format::Text => lines.with_ansi(is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
