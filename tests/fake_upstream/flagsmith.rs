//! Flagsmith's routes for proxies (flagsmith.md sections 3.5 and 14), answered from a list of
//! environments with one feature each.

use serde_json::{Value, json};

use super::{Answer, Reply, Request, Shared};

/// The only key that opens the list.
pub(crate) const PROXY_KEY: &str = "pk.upstream_0123456789";

/// Where the list is.
pub(crate) const LIST: &str = "/api/v1/proxy/config/";
/// Where documents are.
pub(crate) const DOCUMENT: &str = "/api/v1/environment-document/";

/// An environment of the list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) client_key: String,
    pub(crate) server_keys: Vec<ServerKey>,
    /// The value of its only feature, `flag`.
    pub(crate) value: String,
}

/// A server-side key of the list.
#[derive(Clone, Debug)]
pub(crate) struct ServerKey {
    pub(crate) key: String,
    pub(crate) active: bool,
    pub(crate) expires_at: Option<String>,
    /// Whether the service itself takes it, whatever the list says.
    pub(crate) works: bool,
}

impl ServerKey {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), active: true, expires_at: None, works: true }
    }

    pub(crate) fn inactive(self) -> Self {
        Self { active: false, works: false, ..self }
    }

    pub(crate) fn until(self, moment: &str) -> Self {
        Self { expires_at: Some(moment.to_owned()), ..self }
    }

    pub(crate) fn refused(self) -> Self {
        Self { works: false, ..self }
    }
}

impl Listed {
    /// Named `NAME`, with the keys `client-NAME` and `ser.NAME` and the value `NAME`.
    pub(crate) fn new(id: u64, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            client_key: format!("client-{name}"),
            server_keys: vec![ServerKey::new(&format!("ser.{name}"))],
            value: name.to_owned(),
        }
    }

    pub(crate) fn client_key(self, key: &str) -> Self {
        Self { client_key: key.to_owned(), ..self }
    }

    pub(crate) fn server_keys(self, keys: &[ServerKey]) -> Self {
        Self { server_keys: keys.to_vec(), ..self }
    }

    /// As the list has it.
    pub(crate) fn entry(&self) -> Value {
        let keys = self
            .server_keys
            .iter()
            .map(|key| json!({"key": key.key, "active": key.active, "expires_at": key.expires_at}));
        json!({
            "id": self.id, "name": self.name, "client_side_key": self.client_key,
            "server_side_keys": keys.collect::<Vec<_>>(),
            "updated_at": "2026-05-01T10:00:00.311081Z", "project_id": 35, "organisation_id": 82,
        })
    }

    /// Its environment document.
    pub(crate) fn document(&self) -> Value {
        json!({
            "id": self.id, "api_key": self.client_key, "name": self.name,
            "updated_at": "2026-05-01T10:00:00+00:00",
            "project": {
                "id": 35, "name": "Shop", "segments": [], "organisation": {"id": 82, "name": "A"},
            },
            "feature_states": [{
                "feature": {"id": 7, "name": "flag", "type": "STANDARD"}, "enabled": true,
                "feature_state_value": self.value, "django_id": 1, "featurestate_uuid": "u",
                "multivariate_feature_state_values": []
            }],
            "identity_overrides": []
        })
    }
}

impl Shared {
    /// None for other services' routes.
    pub(super) fn answer_from_list(&self, request: &Request) -> Option<Answer> {
        let (path, state) = (request.path(), self.lock());
        if path != LIST && path != DOCUMENT {
            return None;
        }
        if request.header("x-proxy-key") != Some(PROXY_KEY) {
            return Some(Reply::status(401).into());
        }
        if path == LIST {
            let entries: Vec<_> = state.listed.iter().map(Listed::entry).collect();
            return Some(Reply::json(200, &json!(entries)).into());
        }
        let sent = request.header("x-environment-key").unwrap_or_default();
        let opens = |listed: &&Listed| listed.server_keys.iter().any(|k| k.works && k.key == sent);
        let reply = match state.listed.iter().find(opens) {
            Some(listed) => Reply::json(200, &listed.document()),
            None => Reply::status(403),
        };
        Some(reply.into())
    }
}
