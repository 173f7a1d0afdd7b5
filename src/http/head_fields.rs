//! What a request's head asks for, as far as answers depend on it.
//!
//! Looking a field up costs a hash of its name. Nearly every request needs several that are mostly
//! not there, so one pass over the few fields that are finds them all.

use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
    IF_NONE_MATCH, ORIGIN, TRANSFER_ENCODING,
};

/// The fields of a request that count. Of several of one name the first, as a look-up gives.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadFields<'a> {
    /// `Authorization`
    pub authorization: Option<&'a HeaderValue>,
    /// `X-Environment-Key`
    pub environment_key: Option<&'a HeaderValue>,
    /// `X-API-Key`
    pub api_key: Option<&'a HeaderValue>,
    /// `Accept-Encoding`
    pub accept_encoding: Option<&'a HeaderValue>,
    /// `Content-Encoding`
    pub content_encoding: Option<&'a HeaderValue>,
    /// `Content-Type`
    pub content_type: Option<&'a HeaderValue>,
    /// `If-None-Match`; there may be more of them.
    pub if_none_match: Option<&'a HeaderValue>,
    /// `Origin`
    pub origin: Option<&'a HeaderValue>,
    /// `Transfer-Encoding`; there may be more of them.
    pub transfer_encoding: Option<&'a HeaderValue>,
}

impl<'a> HeadFields<'a> {
    /// Looks at every field of a head once.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut sent = Self::default();
        for (name, value) in headers {
            let place = match *name {
                AUTHORIZATION => &mut sent.authorization,
                ACCEPT_ENCODING => &mut sent.accept_encoding,
                CONTENT_ENCODING => &mut sent.content_encoding,
                CONTENT_TYPE => &mut sent.content_type,
                IF_NONE_MATCH => &mut sent.if_none_match,
                ORIGIN => &mut sent.origin,
                TRANSFER_ENCODING => &mut sent.transfer_encoding,
                _ => match name.as_str() {
                    "x-environment-key" => &mut sent.environment_key,
                    "x-api-key" => &mut sent.api_key,
                    _ => continue,
                },
            };
            place.get_or_insert(value);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    #[test]
    fn each_field_is_what_a_look_up_finds() {
        let names = [
            "authorization",
            "x-environment-key",
            "x-api-key",
            "accept-encoding",
            "content-encoding",
            "content-type",
            "if-none-match",
            "origin",
            "transfer-encoding",
        ];
        let mut headers = HeaderMap::new();
        for name in names.iter().chain(&["host", "x-environment-keys"]) {
            let field = HeaderName::from_static(name);
            headers.append(&field, HeaderValue::from_static(name));
            headers.append(&field, HeaderValue::from_static("second"));
        }
        let sent = HeadFields::of(&headers);
        let found = [
            sent.authorization,
            sent.environment_key,
            sent.api_key,
            sent.accept_encoding,
            sent.content_encoding,
            sent.content_type,
            sent.if_none_match,
            sent.origin,
            sent.transfer_encoding,
        ];
        assert_eq!(found.map(Option::unwrap), names.map(|name| &headers[name]));
        assert!(HeadFields::of(&HeaderMap::new()).origin.is_none());
    }
}
