//! Event streams of OFREP's clients (ofrep.md section 6).

use crate::dialect::event_stream::Message;
use crate::dialect::query::Parameters;
use crate::time::Timestamp;

/// How long a page that nobody looks at keeps its stream, in seconds: what clients take by default.
const INACTIVITY_SECONDS: u32 = 120;

/// Flags may be other ones since `moment`: clients ask for all of them again. The validator is the
/// version, which comes back as `flagConfigEtag`. `jitter` is within how many milliseconds a client
/// should ask, at a moment of its choice: so many of them are told. Published providers wait 50 ms.
pub fn refetch_evaluation(version: u64, moment: Timestamp, jitter: u64) -> Message {
    let seconds = moment.0.div_euclid(1_000);
    let data = format!(
        r#"{{"type":"refetchEvaluation","etag":"{version}","lastModified":{seconds},"jitterMs":{jitter}}}"#
    );
    Message::event(version, "message", &data)
}

/// The member of an answer about all flags that says where changes are told. The URL is the same for
/// as long as the key is: clients keep it for weeks, and connect anew when it is another one.
pub fn write_event_streams(path: &str, key: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(b",\"eventStreams\":[{\"type\":\"sse\",\"endpoint\":{\"requestUri\":\"");
    body.extend_from_slice(path.as_bytes());
    body.extend_from_slice(b"?publishableKey=");
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            body.push(byte);
        } else {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
            body.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    body.extend_from_slice(b"\"},\"inactivityDelaySec\":");
    body.extend_from_slice(itoa::Buffer::new().format(INACTIVITY_SECONDS).as_bytes());
    body.extend_from_slice(b"}]");
}

/// The version that the query names as the one that a client was told of. What is no version of
/// ours is not looked at, as the protocol asks for.
pub fn told_version(query: &str) -> Option<u64> {
    let told = Parameters(query).find(|parameter| parameter.name == "flagConfigEtag")?;
    told.value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_version() {
        let expected = "id: 42\nevent: message\ndata: {\"type\":\"refetchEvaluation\",\
                        \"etag\":\"42\",\"lastModified\":1771622940,\"jitterMs\":250}\n\n";
        assert_eq!(refetch_evaluation(42, Timestamp(1_771_622_940_999), 250).text(), expected);
        assert_eq!(told_version("a=1&flagConfigEtag=42&flagConfigLastModified=x"), Some(42));
        for other in ["", "flagConfigEtag=", "flagConfigEtag=cfg-42", "xflagConfigEtag=42"] {
            assert_eq!(told_version(other), None, "{other}");
        }
    }

    #[test]
    fn the_url_holds_the_key_whatever_is_in_it() {
        let mut body = Vec::new();
        write_event_streams("/edge/ofrep/v1/sse", b"pub_a-1 \"&%", &mut body);
        let expected = ",\"eventStreams\":[{\"type\":\"sse\",\"endpoint\":{\"requestUri\":\
                        \"/edge/ofrep/v1/sse?publishableKey=pub_a-1%20%22%26%25\"},\
                        \"inactivityDelaySec\":120}]";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}
