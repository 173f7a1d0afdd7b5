//! What Reflag's event stream says (reflag-runtime.md section 7.3).

use serde_json::Value;

use super::Word;
use super::events::Event;

/// Number of versions that SDKs can tell apart.
const VERSIONS: u64 = 1 << 53;

/// Reads an event; none when it is about something else. An error when it is no JSON.
///
/// The envelope's `data` is an object or a text with one, and the version a number or a text with
/// one. An envelope that is not named `flags-updated` counts where it has a version; one that is
/// counts in any case.
pub(in crate::source) fn read(event: &Event) -> Result<Option<Word>, serde_json::Error> {
    if !event.is_message() {
        return Ok(None);
    }
    let envelope: Value = serde_json::from_str(&event.data)?;
    let inside = match envelope.get("data") {
        Some(Value::String(text)) => {
            serde_json::from_str(text).ok().and_then(|data| version_of(&data))
        }
        Some(data) => version_of(data),
        None => None,
    };
    let version = inside.or_else(|| version_of(&envelope));
    let is_named = ["name", "event"].iter().any(|member| envelope[*member] == "flags-updated");
    Ok(version.map(Word::Announced).or(is_named.then_some(Word::Changed)))
}

fn version_of(value: &Value) -> Option<u64> {
    let version = match value.get("flagStateVersion")? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (version < VERSIONS).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(data: &str) -> Option<Word> {
        read(&Event { name: String::new(), data: data.to_owned() }).unwrap()
    }

    #[test]
    fn a_version_is_read_in_every_form_that_the_vendor_gives_it() {
        for data in [
            r#"{"name":"flags-updated","data":"{\"flagStateVersion\":413}"}"#,
            r#"{"name":"flags-updated","data":{"flagStateVersion":413}}"#,
            r#"{"name":"flags-updated","data":{"flagStateVersion":"413"}}"#,
            r#"{"event":"flags-updated","data":{"flagStateVersion":413}}"#,
            r#"{"data":{"flagStateVersion":413}}"#,
            r#"{"flagStateVersion":413}"#,
            r#"{"id":"x:0","timestamp":1,"channel":"c","encoding":"json","name":"flags-updated",
                "data":"{\"flagStateVersion\":413,\"more\":[]}"}"#,
        ] {
            assert_eq!(word(data), Some(Word::Announced(413)), "{data}");
        }
    }

    #[test]
    fn an_announcement_without_a_version_says_that_something_changed() {
        for data in [
            r#"{"name":"flags-updated"}"#,
            r#"{"name":"flags-updated","data":"gibberish"}"#,
            r#"{"name":"flags-updated","data":{"flagStateVersion":-1}}"#,
            r#"{"name":"flags-updated","data":{"flagStateVersion":1.5}}"#,
            r#"{"name":"flags-updated","data":{"flagStateVersion":9007199254740992}}"#,
            r#"{"name":"flags-updated","data":{"flagStateVersion":null}}"#,
        ] {
            assert_eq!(word(data), Some(Word::Changed), "{data}");
        }
    }

    #[test]
    fn what_is_about_something_else_says_nothing() {
        for data in ["{}", "null", "7", "[]", r#"{"name":"prompt","data":{"question":"?"}}"#] {
            assert_eq!(word(data), None, "{data}");
        }
        let named =
            Event { name: "other".to_owned(), data: r#"{"flagStateVersion":1}"#.to_owned() };
        assert_eq!(read(&named).unwrap(), None);
        assert!(read(&Event { data: "{".to_owned(), ..Event::default() }).is_err());
        let deep = Event { data: "[".repeat(60_000), ..Event::default() };
        assert!(read(&deep).is_err(), "and no stack is used up");
    }
}
