//! What Reflag's SDKs are told on event streams (reflag-runtime.md section 7.3).

use crate::dialect::event_stream::Message;

/// There is another version. The envelope's `data` is JSON text, as the vendor's is; SDKs take the
/// object itself, too.
pub fn flags_updated(version: u64) -> Message {
    let data = format!(r#"{{"name":"flags-updated","data":"{{\"flagStateVersion\":{version}}}"}}"#);
    Message::event(version, "message", &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_the_vendors() {
        let expected = "id: 413\nevent: message\n\
                        data: {\"name\":\"flags-updated\",\"data\":\"{\\\"flagStateVersion\\\":413}\"}\n\n";
        assert_eq!(flags_updated(413).text(), expected);
    }
}
