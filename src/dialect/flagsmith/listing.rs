//! The list of environments that a proxy may serve: `GET /proxy/config/` (flagsmith.md section 14).
//!
//! Unknown members are passed over. An entry that cannot be read is named and left out; whether that
//! changes anything for whoever is there is not decided here. Of several server-side keys, those that
//! can be read are enough. No key is ever part of an error.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::read_moment;
use crate::config::Key;
use crate::time::Timestamp;

/// One environment of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `id`
    pub id: u64,
    /// `project_id`, if there is one.
    pub project_id: Option<u64>,
    /// `name`, at most [`LONGEST_NAME`] bytes of it.
    pub name: String,
    /// `client_side_key`
    pub client_side_key: Key,
    /// `server_side_keys` by their text, each once.
    pub server_side_keys: Vec<ServerSideKey>,
}

/// A server-side key with what the vendor says of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerSideKey {
    /// `key`
    pub key: Key,
    /// `active`; one that does not say is.
    pub active: bool,
    /// `expires_at`; one that cannot be read is long past.
    pub expires_at: Option<Timestamp>,
}

impl ServerSideKey {
    /// Whether it opens anything.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.active && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A list that could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// By number, then by client key: the vendor keeps no order.
    pub entries: Vec<Entry>,
    /// Entries that could not be read, a line for each, but for a hundred at most.
    pub unreadable: Vec<String>,
    /// What is odd about entries that could be read, likewise.
    pub warnings: Vec<String>,
}

/// Why a whole list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// No bytes at all.
    #[error("the list of environments is empty text")]
    Empty,
    /// Broken off, no JSON, or no list.
    #[error("this is no JSON list of environments (line {line}, column {column})")]
    NotList {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// More environments than anybody has.
    #[error("the list has more than {MOST_ENTRIES} environments")]
    TooLong,
}

/// Most environments of a list.
pub const MOST_ENTRIES: usize = 20_000;
/// No more entries than this are named because they cannot be read, nor because they are odd.
const MOST_NAMED: usize = 100;

/// No more of a name is kept.
pub const LONGEST_NAME: usize = 200;
/// No key is longer.
const LONGEST_KEY: usize = 256;

/// Reads a whole list.
pub fn read(list: &[u8]) -> Result<Listing, ListingError> {
    if list.trim_ascii().is_empty() {
        return Err(ListingError::Empty);
    }
    // The error's own text could quote a key, so only its place is taken over.
    let items: Vec<&RawValue> = serde_json::from_slice(list)
        .map_err(|error| ListingError::NotList { line: error.line(), column: error.column() })?;
    if items.len() > MOST_ENTRIES {
        return Err(ListingError::TooLong);
    }
    let mut listing = Listing::default();
    for (place, item) in items.into_iter().enumerate() {
        match entry(item) {
            Ok((entry, warning)) => {
                listing.entries.push(entry);
                name(&mut listing.warnings, place, warning);
            }
            Err(what) => name(&mut listing.unreadable, place, Some(what)),
        }
    }
    let order = |entry: &Entry| (entry.id, entry.client_side_key.clone());
    listing.entries.sort_by_cached_key(order);
    Ok(listing)
}

fn name(lines: &mut Vec<String>, place: usize, what: Option<String>) {
    let what = what.filter(|_| lines.len() < MOST_NAMED);
    lines.extend(what.map(|what| format!("entry {}: {what}", place + 1)));
}

#[derive(Deserialize)]
struct WireEntry<'a> {
    id: u64,
    #[serde(default)]
    project_id: Option<u64>,
    #[serde(default)]
    name: Option<String>,
    client_side_key: String,
    #[serde(borrow, default)]
    server_side_keys: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct WireKey {
    key: String,
    #[serde(default)]
    active: Option<bool>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// An entry, and what is odd about it.
fn entry(item: &RawValue) -> Result<(Entry, Option<String>), String> {
    let wire: WireEntry<'_> = serde_json::from_str(item.get()).map_err(|_| {
        "not an environment with a number `id`, a text `client_side_key` and a list \
         `server_side_keys`"
            .to_owned()
    })?;
    let id = wire.id;
    let client_side_key = wire.client_side_key.trim().to_owned();
    if !is_key(&client_side_key) || client_side_key.starts_with("ser.") {
        return Err(format!("environment {id}: its client_side_key is no such key"));
    }
    let listed = wire.server_side_keys.unwrap_or_default();
    let mut server_side_keys: Vec<_> =
        listed.iter().filter_map(|key| server_side_key(key)).collect();
    let odd = listed.len() - server_side_keys.len();
    let warning = (odd > 0)
        .then(|| format!("environment {id}: {odd} of its server_side_keys cannot be read"));
    if let (Some(what), []) = (&warning, &server_side_keys[..]) {
        return Err(what.clone());
    }
    server_side_keys.sort();
    // Of two that differ in what is said of them, neither is more true: the one that opens less.
    server_side_keys.dedup_by(|next, kept| {
        let is_same = next.key == kept.key;
        if is_same {
            kept.active &= next.active;
            kept.expires_at = match (kept.expires_at, next.expires_at) {
                (Some(kept), Some(next)) => Some(kept.min(next)),
                (one, other) => one.or(other),
            };
        }
        is_same
    });
    let mut name = wire.name.unwrap_or_default();
    let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    name.truncate(end.unwrap_or(0));
    let client_side_key = Key::new(client_side_key);
    let entry = Entry { id, project_id: wire.project_id, name, client_side_key, server_side_keys };
    Ok((entry, warning))
}

fn server_side_key(raw: &RawValue) -> Option<ServerSideKey> {
    let WireKey { key, active, expires_at } = serde_json::from_str(raw.get()).ok()?;
    let key = key.trim().to_owned();
    if !is_key(&key) || !key.starts_with("ser.") {
        return None;
    }
    let expires_at = expires_at.map(|text| {
        let moment = read_moment(&text);
        Timestamp(moment.map_or(i64::MIN, |moment| moment.0.div_euclid(1_000)))
    });
    Some(ServerSideKey { key: Key::new(key), active: active.unwrap_or(true), expires_at })
}

/// What can be sent in a header, and cannot be mistaken for two.
fn is_key(text: &str) -> bool {
    (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"[
        {"id": 31, "name": "Staging", "client_side_key": "def", "server_side_keys": [
            {"key": "ser.b", "active": false, "expires_at": "2026-06-01T12:00:00.5Z"},
            {"key": "ser.a", "active": true, "expires_at": null}], "updated_at": "…"},
        {"id": 30, "name": "Prod", "client_side_key": "abc", "server_side_keys": [],
         "project_id": 35, "organisation_id": 82}]"#;

    #[test]
    fn a_list_is_read_and_put_in_an_order_of_its_own() {
        let listing = read(WHOLE.as_bytes()).unwrap();
        assert!(listing.unreadable.is_empty());
        let [first, second] = &listing.entries[..] else { panic!("two environments") };
        assert_eq!((first.id, first.project_id, &*first.name), (30, Some(35), "Prod"));
        assert_eq!((second.id, second.project_id), (31, None));
        let key = |key: &str, active, expires_at| ServerSideKey {
            key: Key::new(key.to_owned()),
            active,
            expires_at,
        };
        let keys =
            [key("ser.a", true, None), key("ser.b", false, Some(Timestamp(1_780_315_200_500)))];
        assert_eq!(second.server_side_keys, keys);
    }

    #[test]
    fn what_is_no_list_is_no_list() {
        for text in
            ["", " \n", "{}", "null", "[", "[{]", "7", "<html>", "\"ser.key\"", "[\"", "[1] x"]
        {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("ser."), "{error}");
        }
        assert_eq!(read(b"[]").unwrap(), Listing::default());
    }

    #[test]
    fn what_is_kept_of_a_hostile_list_has_bounds() {
        let list = |count, entry: &str| format!("[{}]", vec![entry; count].join(","));
        let good = r#"{"id":1,"client_side_key":"k"}"#;
        assert_eq!(read(list(20_000, good).as_bytes()).unwrap().entries.len(), 20_000);
        let error = read(list(20_001, good).as_bytes()).unwrap_err();
        assert!(matches!(error, ListingError::TooLong));
        assert_eq!(read(list(20_000, "1").as_bytes()).unwrap().unreadable.len(), 100);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_named_without_its_keys() {
        for entry in [
            "7",
            r#"{"id": 1}"#,
            r#"{"id": "1", "client_side_key": "lemon"}"#,
            r#"{"id": -1, "client_side_key": "lemon"}"#,
            r#"{"id": 1, "client_side_key": ""}"#,
            r#"{"id": 1, "client_side_key": "ser.lemon"}"#,
            r#"{"id": 1, "client_side_key": "le mon"}"#,
            r#"{"id": 1, "client_side_key": "k", "server_side_keys": "ser.lemon"}"#,
            r#"{"id": 1, "client_side_key": "k", "server_side_keys": [{"key": "lemon"}]}"#,
            r#"{"id": 1, "client_side_key": "k", "server_side_keys": [{"key": "ser.le\nmon"}]}"#,
        ] {
            let list = format!("[{entry}, {{\"id\": 2, \"client_side_key\": \"good\"}}]");
            let listing = read(list.as_bytes()).unwrap();
            assert_eq!((listing.entries.len(), listing.unreadable.len()), (1, 1), "{entry}");
            assert!(!listing.unreadable[0].contains("mon"), "{}", listing.unreadable[0]);
        }
    }

    #[test]
    fn a_server_side_key_that_cannot_be_read_leaves_the_others_alone() {
        let list = r#"[{"id": 1, "client_side_key": "k", "server_side_keys": [
            {"key": "lemon"}, {"key": "ser.a"}, 7, {"key": "ser.b", "active": "no"}]}]"#;
        let listing = read(list.as_bytes()).unwrap();
        let [entry] = &listing.entries[..] else { panic!("one environment") };
        let [key] = &entry.server_side_keys[..] else { panic!("one key") };
        assert_eq!(key.key.expose(), "ser.a");
        assert_eq!(listing.unreadable, [""; 0]);
        let warning = "entry 1: environment 1: 3 of its server_side_keys cannot be read";
        assert_eq!(listing.warnings, [warning]);
    }

    #[test]
    fn an_end_that_cannot_be_read_has_come_and_of_two_ends_the_first_counts() {
        let list = r#"[{"id": 1, "client_side_key": "k", "server_side_keys": [
            {"key": "ser.a", "expires_at": "soon"},
            {"key": "ser.b", "expires_at": "2026-06-01T12:00:00Z"},
            {"key": "ser.b", "active": true}, {"key": "ser.b", "active": false}]}]"#;
        let listing = read(list.as_bytes()).unwrap();
        let [a, b] = &listing.entries[0].server_side_keys[..] else { panic!("two keys") };
        assert_eq!((a.active, a.expires_at), (true, Some(Timestamp(i64::MIN))));
        assert_eq!((b.active, b.expires_at), (false, Some(Timestamp(1_780_315_200_000))));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = "é".repeat(150);
        let list = format!("[{{\"id\": 1, \"client_side_key\": \"k\", \"name\": \"{name}\"}}]");
        assert_eq!(read(list.as_bytes()).unwrap().entries[0].name, "é".repeat(100));
    }
}
