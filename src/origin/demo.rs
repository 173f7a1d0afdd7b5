//! An app to look around in, for an origin that is a demo.
//!
//! It is made once, in a database where no app has its name; what people change of it stays. Its keys
//! are random, as anybody's are, and shown at every start, which nothing but a demo does.

use std::fmt;

use super::document::{Document, apply};
use super::keys::NewKey;
use super::model::{Actor, AppId, EnvironmentId, FlagKeyFormat, Scope, Scopes};
use super::store::{Store, StoreError, Stored, Writer};

/// The app, as a file.
const APP: &str = include_str!("../../config/demo-app.toml");
/// As in the file.
const NAME: &str = "demo";
const ENVIRONMENT: &str = "production";
/// What the API key is called that each start makes.
const API_KEY: &str = "shown when the demo starts";

/// What it takes to try the demo.
pub struct DemoAccess {
    /// The app.
    pub app: AppId,
    /// Its production environment.
    pub environment: EnvironmentId,
    /// That environment's publishable key.
    pub publishable_key: String,
    /// Its secret key; none where the database was separated from what opens it.
    pub secret_key: Option<String>,
    /// A key of the Management API, with every scope. Those of earlier starts hold no more.
    pub api_key: NewKey,
}

/// Shows no key.
impl fmt::Debug for DemoAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DemoAccess({}, {})", self.app, self.environment)
    }
}

/// Makes the demo's app unless it is there, and a new API key for it.
pub(super) async fn open(store: &Store) -> Stored<DemoAccess> {
    let document = Document::read(APP);
    let document = document.map_err(|error| StoreError::NotPossible(error.to_string()))?;
    store.write(Actor::Burgee, move |writer| open_in(writer, &document)).await
}

fn open_in(writer: &mut Writer<'_>, document: &Document) -> Stored<DemoAccess> {
    if !writer.apps()?.iter().any(|app| app.name == NAME) {
        writer.create_app(NAME, FlagKeyFormat::default(), true)?;
        apply(writer, document)?;
    }
    let app = writer.find_app(NAME)?.id;
    let environment = writer.find_environment(&app, ENVIRONMENT)?.id;
    for key in writer.api_keys(&app)? {
        if key.name == API_KEY && key.revoked_at.is_none() {
            writer.revoke_api_key(&app, key.id.as_str())?;
        }
    }
    let api_key = NewKey::of_api()?;
    writer.create_api_key(&app, API_KEY, &Scopes::of(Scope::ALL), &api_key)?;
    let (publishable_key, secret_key) = writer.sdk_access(&environment)?;
    Ok(DemoAccess { app, environment, publishable_key, secret_key, api_key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::document::export;
    use crate::origin::store::FlagChange;
    use crate::time::Clock;

    #[tokio::test]
    async fn the_app_is_made_once_and_each_start_has_an_api_key_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("demo.db"), Clock::System).unwrap();
        let first = open(&store).await.unwrap();
        let (app, renamed) = (
            first.app.clone(),
            FlagChange { name: Some("Renamed".to_owned()), ..FlagChange::default() },
        );
        let changed = store.write(Actor::CommandLine, move |writer| {
            writer.update_flag(&app, "new-checkout-flow", &renamed)
        });
        changed.await.unwrap();
        let second = open(&store).await.unwrap();
        assert_eq!((&second.app, &second.environment), (&first.app, &first.environment));
        assert_eq!(second.publishable_key, first.publishable_key);
        assert_eq!(second.secret_key, first.secret_key);
        assert!(first.secret_key.is_some_and(|key| key.starts_with("sec_prod_")));
        let held = store.read(move |reader| {
            let app = reader.app(&second.app)?;
            let held = |key: &NewKey| {
                let found =
                    reader.api_key(&crate::origin::keys::sha256(key.expose().as_bytes()))?;
                Ok::<_, StoreError>(found.is_some_and(|key| key.revoked_at.is_none()))
            };
            Ok((held(&first.api_key)?, held(&second.api_key)?, app.demo, export(reader, &app)?))
        });
        let (first_holds, second_holds, is_demo, file) = held.await.unwrap();
        assert_eq!((first_holds, second_holds, is_demo), (false, true, true));
        assert!(file.contains("name = \"Renamed\""), "{file}");
    }
}
