//! Who asks: the key, from the head alone (DESIGN section 3).

use std::borrow::Cow;

use super::head_fields::HeadFields;
use crate::dialect::flagsmith::routes::key_of_stream;
use crate::dialect::reflag::mapping;
use crate::dialect::{Dialect, Forbidden, Rejection};
use crate::model::KeyClass;
use crate::snapshot::{Credential, KeyTable};

/// Finds what the request's key gives access to. The first key in the dialect's order decides;
/// another one behind it is not tried.
pub fn authenticate(
    keys: &KeyTable,
    dialect: Dialect,
    sent: &HeadFields<'_>,
    query: Option<&str>,
) -> Result<Credential, Rejection> {
    match sent_key(dialect, sent, query) {
        Some(Sent::Head(key)) => match keys.find(key) {
            Some(credential) => Ok(credential),
            None => Err(Rejection::UnknownKey),
        },
        Some(Sent::Url(key)) => match keys.find(key.as_bytes()) {
            Some(Credential { class: KeyClass::Secret, .. }) => {
                Err(Rejection::Forbidden(Forbidden::SecretInUrl))
            }
            Some(credential) => Ok(credential),
            None => Err(Rejection::UnknownKey),
        },
        None => Err(Rejection::UnknownKey),
    }
}

/// Finds who opens an event stream, and the digest of its key. Browsers cannot send a header when
/// they open one, so a publishable key may stand in the URL in every dialect: in the path of
/// Flagsmith's, and in the query of the others.
pub fn authenticate_stream(
    keys: &KeyTable,
    dialect: Dialect,
    sent: &HeadFields<'_>,
    (path, query): (&str, Option<&str>),
) -> Result<(u128, Credential), Rejection> {
    let (sent, unknown) = match dialect {
        // There is no such path (flagsmith.md section 15).
        Dialect::Flagsmith => (key_of_stream(path).map(Sent::Url), Rejection::UnknownPath),
        Dialect::Reflag | Dialect::Ofrep => {
            let in_query = || query.and_then(mapping::publishable_key).map(Sent::Url);
            let sent = sent_key(dialect, sent, query);
            (sent.or_else(in_query), Rejection::UnknownKey)
        }
    };
    let (key, is_in_url) = match &sent {
        Some(Sent::Head(key)) => (*key, false),
        Some(Sent::Url(key)) => (key.as_bytes(), true),
        None => return Err(unknown),
    };
    match keys.find_with_digest(key) {
        Some((_, Credential { class: KeyClass::Secret, .. })) if is_in_url => {
            Err(Rejection::Forbidden(Forbidden::SecretInUrl))
        }
        found => found.ok_or(unknown),
    }
}

/// The environment whose secret key stands in the URL, for the log line that asks to replace it.
pub fn exposed_secret(keys: &KeyTable, path: &str, query: Option<&str>) -> Option<u32> {
    let in_query = || query.and_then(mapping::publishable_key);
    let key = key_of_stream(path).or_else(in_query)?;
    let credential = keys.find(key.as_bytes())?;
    (credential.class == KeyClass::Secret).then_some(credential.environment)
}

/// The key that a head has for a dialect, as it was sent.
pub fn key_of_head<'a>(dialect: Dialect, sent: &HeadFields<'a>) -> Option<&'a [u8]> {
    match sent_key(dialect, sent, None) {
        Some(Sent::Head(key)) => Some(key),
        _ => None,
    }
}

enum Sent<'a> {
    Head(&'a [u8]),
    Url(Cow<'a, str>),
}

fn sent_key<'a>(
    dialect: Dialect,
    sent: &HeadFields<'a>,
    query: Option<&'a str>,
) -> Option<Sent<'a>> {
    let text = |field: Option<&'a [u8]>| field.map(<[u8]>::trim_ascii);
    let authorization = || text(sent.authorization);
    let bearer = || authorization().and_then(bearer_token);
    let bare_or_bearer = || authorization().map(|value| bearer_token(value).unwrap_or(value));
    let either = || text(sent.environment_key.or(sent.api_key));
    match dialect {
        Dialect::Reflag => match bearer().or_else(either) {
            Some(key) => Some(Sent::Head(key)),
            None => query.and_then(mapping::publishable_key).map(Sent::Url),
        },
        Dialect::Flagsmith => either().or_else(bare_or_bearer).map(Sent::Head),
        Dialect::Ofrep => text(sent.api_key)
            .or_else(bare_or_bearer)
            .or_else(|| text(sent.environment_key))
            .map(Sent::Head),
    }
}

/// What follows `Bearer`, in any letter case.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::KeyDigests;

    fn keys() -> KeyTable {
        let mut keys = KeyTable::new(KeyDigests::random().unwrap());
        keys.insert("pub_a", Credential { environment: 0, class: KeyClass::Publishable });
        keys.insert("sec_a", Credential { environment: 0, class: KeyClass::Secret });
        keys.insert("pub_b", Credential { environment: 1, class: KeyClass::Publishable });
        keys
    }

    fn environment(
        dialect: Dialect,
        fields: &[(&'static str, &'static str)],
        query: Option<&str>,
    ) -> Result<u32, Rejection> {
        let mut sent = HeadFields::default();
        for (name, value) in fields {
            sent.note(name, value.as_bytes());
        }
        authenticate(&keys(), dialect, &sent, query).map(|credential| credential.environment)
    }

    #[test]
    fn the_first_key_in_the_order_of_the_dialect_decides() {
        let bearer_a = ("authorization", "BEARER  pub_a");
        let (environment_b, api_b) = (("x-environment-key", "pub_b"), ("x-api-key", "pub_b"));
        let both = [bearer_a, environment_b];
        assert_eq!(environment(Dialect::Reflag, &both, None), Ok(0));
        assert_eq!(environment(Dialect::Flagsmith, &both, None), Ok(1));
        assert_eq!(environment(Dialect::Ofrep, &both, None), Ok(0));
        let unknown_first = [("x-environment-key", "nope"), api_b];
        assert_eq!(
            environment(Dialect::Reflag, &unknown_first, Some("publishableKey=pub_a")),
            Err(Rejection::UnknownKey),
            "no fall-through"
        );
        assert_eq!(environment(Dialect::Reflag, &[api_b], Some("publishableKey=pub_a")), Ok(1));
        assert_eq!(environment(Dialect::Reflag, &[], Some("x=1&publishableKey=pub%5Fa")), Ok(0));
        assert_eq!(
            environment(Dialect::Flagsmith, &[], Some("publishableKey=pub_a")),
            Err(Rejection::UnknownKey)
        );
    }

    #[test]
    fn a_secret_key_in_the_url_is_refused() {
        assert_eq!(
            environment(Dialect::Reflag, &[], Some("publishableKey=sec_a")),
            Err(Rejection::Forbidden(Forbidden::SecretInUrl))
        );
        assert_eq!(exposed_secret(&keys(), "/", Some("publishableKey=sec_a")), Some(0));
        assert_eq!(exposed_secret(&keys(), "/", Some("publishableKey=pub_a")), None);
    }

    #[test]
    fn other_schemes_of_authorization_are_no_key() {
        let basic = ("authorization", "Basic cHViX2E6");
        assert_eq!(environment(Dialect::Reflag, &[basic], Some("publishableKey=pub_b")), Ok(1));
    }
}
