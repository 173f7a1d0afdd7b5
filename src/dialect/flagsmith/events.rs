//! What Flagsmith's SDKs are told on event streams (flagsmith.md section 15).

use crate::dialect::event_stream::Message;

/// The environment is another one since this moment, in microseconds of the epoch. SDKs fetch it if
/// that is later than the moment of what they have, which they know to the microsecond.
pub fn environment_updated(version: u64, moment: i64) -> Message {
    let (seconds, micros) = (moment.div_euclid(1_000_000), moment.rem_euclid(1_000_000));
    let data = format!(r#"{{"updated_at": {seconds}.{micros:06}}}"#);
    Message::event(version, "environment_updated", &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_in_seconds_with_their_fraction() {
        let expected =
            "id: 5\nevent: environment_updated\ndata: {\"updated_at\": 1771234567.123456}\n\n";
        assert_eq!(environment_updated(5, 1_771_234_567_123_456).text(), expected);
    }
}
