//! What a request's head asks for, as far as answers depend on it.
//!
//! Looking a field up costs a hash of its name. Nearly every request needs several that are mostly
//! not there, so one pass over the few fields that are finds them all.

use hyper::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};

/// The fields of a request that count, as they were sent. Of several of one name the first, as a
/// look-up gives.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadFields<'a> {
    /// `Accept-Encoding`
    pub accept_encoding: Option<&'a [u8]>,
    /// `Authorization`
    pub authorization: Option<&'a [u8]>,
    /// `Content-Encoding`
    pub content_encoding: Option<&'a [u8]>,
    /// `Content-Length`
    pub content_length: Option<&'a [u8]>,
    /// `Content-Type`
    pub content_type: Option<&'a [u8]>,
    /// `If-Modified-Since`
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-None-Match`; there may be more of them.
    pub if_none_match: Option<&'a [u8]>,
    /// `Last-Event-ID`
    pub last_event_id: Option<&'a [u8]>,
    /// `Origin`
    pub origin: Option<&'a [u8]>,
    /// `Reflag-SDK-Version`
    pub sdk_version: Option<&'a [u8]>,
    /// `Transfer-Encoding`; there may be more of them.
    pub transfer_encoding: Option<&'a [u8]>,
    /// `X-API-Key`
    pub api_key: Option<&'a [u8]>,
    /// `X-Environment-Key`
    pub environment_key: Option<&'a [u8]>,
    /// Where the rest of several `If-None-Match` is.
    more_tags: Option<&'a HeaderMap>,
}

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It counts.
    First,
    /// There is one of that name already.
    Again,
    /// Nothing depends on it.
    Ignored,
}

impl<'a> HeadFields<'a> {
    /// Looks at every field of a head once.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            if fields.note(name.as_str(), value.as_bytes()) == Noted::Again
                && *name == IF_NONE_MATCH
            {
                fields.more_tags = Some(headers);
            }
        }
        fields
    }

    /// Looks at one field; letter case does not matter in its name.
    #[inline]
    pub fn note(&mut self, name: &str, value: &'a [u8]) -> Noted {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let place = match name.len() {
            6 if is("origin") => &mut self.origin,
            9 if is("x-api-key") => &mut self.api_key,
            12 if is("content-type") => &mut self.content_type,
            13 if is("authorization") => &mut self.authorization,
            13 if is("if-none-match") => &mut self.if_none_match,
            13 if is("last-event-id") => &mut self.last_event_id,
            14 if is("content-length") => &mut self.content_length,
            15 if is("accept-encoding") => &mut self.accept_encoding,
            16 if is("content-encoding") => &mut self.content_encoding,
            17 if is("x-environment-key") => &mut self.environment_key,
            17 if is("transfer-encoding") => &mut self.transfer_encoding,
            17 if is("if-modified-since") => &mut self.if_modified_since,
            18 if is("reflag-sdk-version") => &mut self.sdk_version,
            _ => return Noted::Ignored,
        };
        match place {
            Some(_) => Noted::Again,
            place => {
                *place = Some(value);
                Noted::First
            }
        }
    }

    /// All values of `If-None-Match`.
    pub fn tags(&self) -> impl Iterator<Item = &'a [u8]> {
        let more = self.more_tags.map(|headers| headers.get_all(IF_NONE_MATCH).iter().skip(1));
        self.if_none_match.into_iter().chain(more.into_iter().flatten().map(HeaderValue::as_bytes))
    }
}

#[cfg(test)]
impl<'a> HeadFields<'a> {
    /// All of them, by their names' order.
    pub(super) fn each(&self) -> [Option<&'a [u8]>; 13] {
        [
            self.accept_encoding,
            self.authorization,
            self.content_encoding,
            self.content_length,
            self.content_type,
            self.if_modified_since,
            self.if_none_match,
            self.last_event_id,
            self.origin,
            self.sdk_version,
            self.transfer_encoding,
            self.api_key,
            self.environment_key,
        ]
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    #[test]
    fn each_field_is_what_a_look_up_finds() {
        let names = [
            "accept-encoding",
            "authorization",
            "content-encoding",
            "content-length",
            "content-type",
            "if-modified-since",
            "if-none-match",
            "last-event-id",
            "origin",
            "reflag-sdk-version",
            "transfer-encoding",
            "x-api-key",
            "x-environment-key",
        ];
        let mut headers = HeaderMap::new();
        for name in names.iter().chain(&["host", "x-environment-keys"]) {
            let field = HeaderName::from_static(name);
            headers.append(&field, HeaderValue::from_static(name));
            headers.append(&field, HeaderValue::from_static("second"));
        }
        let fields = HeadFields::of(&headers);
        assert_eq!(fields.each().map(Option::unwrap), names.map(str::as_bytes));
        assert_eq!(fields.tags().collect::<Vec<_>>(), [&b"if-none-match"[..], b"second"]);
        assert!(HeadFields::of(&HeaderMap::new()).origin.is_none());
    }

    #[test]
    fn names_count_in_any_letter_case() {
        let mut fields = HeadFields::default();
        assert_eq!(fields.note("X-ENVIRONMENT-Key", b"a"), Noted::First);
        assert_eq!(fields.note("x-environment-key", b"b"), Noted::Again);
        assert_eq!(fields.note("X-Environment_Key", b"c"), Noted::Ignored);
        assert_eq!(fields.environment_key, Some(&b"a"[..]));
    }
}
