//! What Flagsmith's event stream says (flagsmith.md section 15).

use serde_json::Value;

use super::Word;
use super::events::Event;

/// Reads an event; none when it is about something else. An error when it is no JSON.
///
/// `updated_at` counts seconds, with a fraction; some documentation has milliseconds, which no
/// number of seconds of these ten thousand years can be. What is announced is in microseconds, as
/// [`UpdatedAt`](crate::model::flagsmith::UpdatedAt) is.
pub(in crate::source) fn read(event: &Event) -> Result<Option<Word>, serde_json::Error> {
    if event.name != "environment_updated" {
        return Ok(None);
    }
    let data: Value = serde_json::from_str(&event.data)?;
    let updated_at = data.get("updated_at").and_then(Value::as_f64);
    Ok(Some(updated_at.and_then(micros).map_or(Word::Changed, Word::Announced)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range was checked, and microseconds are as exact as it gets"
)]
fn micros(updated_at: f64) -> Option<u64> {
    /// Seconds until the year 5138, and milliseconds until 1973.
    const SECONDS: f64 = 1e11;
    let micros = if updated_at < SECONDS { updated_at * 1e6 } else { updated_at * 1e3 };
    (0.0..SECONDS * 1e6).contains(&micros).then(|| micros.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(data: &str) -> Option<Word> {
        let name = "environment_updated".to_owned();
        read(&Event { name, data: data.to_owned() }).unwrap()
    }

    #[test]
    fn a_moment_is_read_to_the_microsecond() {
        for (updated_at, micros) in [
            ("1771234567.123456", 1_771_234_567_123_456),
            ("1771234567.999999", 1_771_234_567_999_999),
            ("1771234567", 1_771_234_567_000_000),
            ("1771234567123", 1_771_234_567_123_000),
            ("0", 0),
        ] {
            let data = format!("{{\"updated_at\": {updated_at}}}");
            assert_eq!(word(&data), Some(Word::Announced(micros)), "{data}");
        }
    }

    #[test]
    fn an_announcement_without_a_moment_says_that_something_changed() {
        for data in [
            "{}",
            "[]",
            r#"{"updated_at":null}"#,
            r#"{"updated_at":-1}"#,
            r#"{"updated_at":1e300}"#,
        ] {
            assert_eq!(word(data), Some(Word::Changed), "{data}");
        }
    }

    #[test]
    fn what_is_about_something_else_says_nothing() {
        let data = r#"{"updated_at": 1771234567.0}"#.to_owned();
        for name in ["", "message", "queue-change"] {
            let event = Event { name: name.to_owned(), data: data.clone() };
            assert_eq!(read(&event).unwrap(), None, "{name}");
        }
        let name = "environment_updated".to_owned();
        assert!(read(&Event { name, data: "gibberish".to_owned() }).is_err());
    }
}
