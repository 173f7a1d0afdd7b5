//! A process with an origin and an edge, seeded through the library as `burgee origin apply` does.
//!
//! Whatever is asked of one of its ports and answered is held against the description of the port.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use burgee::app::App;
use burgee::config::{ProcessSurroundings, Settings};
use burgee::origin::document::{Document, apply};
use burgee::origin::keys::NewKey;
use burgee::origin::model::{Actor, AppId, Scope, Scopes};
use burgee::origin::store::{Store, Stored, Writer};
use burgee::time::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::description::{Port, assert_exchange_described};
use crate::support::wire::{Caller, Reply, Witnessed};

/// What every scene begins with.
pub(crate) const SHOP: &str = r#"
[app]
name = "Shop"
[[environments]]
name = "Production"
production = true
[[environments]]
name = "Staging"
[[flags]]
key = "new-checkout-flow"
name = "New checkout flow"
[[flags]]
key = "search-v2"
name = "Search"
description = "Finds more"
[[flags.variants]]
key = "small"
payload = { model = "mini", limit = 5.0 }
[[flags.variants]]
key = "large"
payload = { model = "maxi", tags = ["slow", 1] }
"#;

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Changes a database as the commands do.
pub(crate) fn write<T: Send + 'static>(
    database: &Path,
    change: impl FnOnce(&mut Writer<'_>) -> Stored<T> + Send + 'static,
) -> T {
    let store = Store::open(database, Clock::System).unwrap();
    block_on(store.write(Actor::CommandLine, change)).unwrap()
}

/// Makes or changes an app.
pub(crate) fn apply_file(database: &Path, file: &str) -> AppId {
    let document = Document::read(file).unwrap_or_else(|error| panic!("{error}"));
    write(database, move |writer| Ok(apply(writer, &document)?.app))
}

/// A key with these scopes.
pub(crate) fn api_key(database: &Path, app: &AppId, scopes: &[Scope]) -> String {
    let (app, scopes) = (app.clone(), Scopes::of(scopes.iter().copied()));
    let key = write(database, move |writer| {
        let key = NewKey::of_api()?;
        writer.create_api_key(&app, "test", &scopes, &key)?;
        Ok(key)
    });
    key.expose().to_owned()
}

/// Holds all exchanges with an origin's port against its description.
pub(crate) fn watch_origin(address: SocketAddr) -> Witnessed {
    Witnessed::by(
        |method, target, body, reply| see(Port::Origin, method, target, body, reply),
        address,
    )
}

/// Holds an exchange against the description. One that was seen already is not looked at again, so
/// that the time of a call that is repeated is the server's.
#[track_caller]
fn see(port: Port, method: &str, target: &str, body: &[u8], reply: &Reply) {
    static SEEN: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());
    let mut hasher = DefaultHasher::new();
    let (fields, answer) = (&reply.fields, &reply.body);
    let fields: Vec<_> = fields.iter().filter(|(name, _)| name != "date").collect();
    (port as u8, method, target, body, reply.status, fields, answer).hash(&mut hasher);
    let is_new = SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(hasher.finish());
    if is_new {
        assert_exchange_described(port, method, target, body, reply);
    }
}

/// A running process. Ends with the test.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) app: AppId,
    /// With every scope.
    pub(crate) key: String,
    pub(crate) origin: SocketAddr,
    pub(crate) edge: SocketAddr,
    pub(crate) admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _watched: [Witnessed; 3],
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "the server panicked");
    }
}

/// The database below a folder.
pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("origin.db")
}

impl Scene {
    /// The shop, with the edge's environment `shop` following production.
    pub(crate) fn start() -> Self {
        Self::with(SHOP, "")
    }

    /// Another app, and more lines below `[origin]`.
    pub(crate) fn with(file: &str, settings: &str) -> Self {
        let environment = "[[environments]]\nname = \"shop\"\n[environments.source]\n\
             type = \"origin\"\napp = \"Shop\"\nenvironment = \"production\"\n";
        Self::configured(file, &format!("{settings}\n{environment}"))
    }

    /// The shop in a process that serves no environment.
    pub(crate) fn alone() -> Self {
        Self::configured(SHOP, "")
    }

    /// An app, and whatever follows `[origin]`.
    fn configured(file: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        let app = apply_file(&database, file);
        let key = api_key(&database, &app, &Scope::ALL);
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ndrain = \"0s\"\nworkers = 1\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [origin]\nlisten = \"127.0.0.1:0\"\ndatabase = \"sqlite:{}\"\n{settings}\n",
            database.display()
        );
        let settings = Settings::load(Some((Path::new("t.toml"), &toml)), &ProcessSurroundings);
        let settings = settings.unwrap_or_else(|problems| panic!("{problems}"));
        let (told, addresses) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let app = App::bind(settings, Clock::System).unwrap();
                let origin = app.origin_address().unwrap();
                told.send([app.address(), app.admin_address(), origin]).unwrap();
                app.run(async { drop(stopped.await) }).await.unwrap();
            });
        });
        let [edge, admin, origin] = addresses.recv().unwrap().map(|a| a.parse().unwrap());
        let (stop, thread) = (Some(stop), Some(thread));
        let watched = [
            watch_origin(origin),
            Witnessed::by(|m, t, b, reply| see(Port::Public, m, t, b, reply), edge),
            Witnessed::by(|m, t, b, reply| see(Port::Admin, m, t, b, reply), admin),
        ];
        Self { folder, app, key, origin, edge, admin, stop, thread, _watched: watched }
    }

    pub(crate) fn database(&self) -> PathBuf {
        database(self.folder.path())
    }

    /// Somebody who holds this key, at the origin.
    pub(crate) fn holding(&self, key: &str) -> Caller {
        Caller::of(self.origin).bearer(key)
    }

    /// Somebody who may do everything.
    pub(crate) fn admin_key(&self) -> Caller {
        self.holding(&self.key)
    }

    /// Below the app's path.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/apps/{}{rest}", self.app)
    }

    /// The same of our own operations.
    pub(crate) fn own_path(&self, rest: &str) -> String {
        format!("/api/burgee/apps/{}{rest}", self.app)
    }

    /// What a call of whoever may do everything gives, which has to go well.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        good(&self.admin_key().ask(method, path, body))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.call("GET", path, &json!(null))
    }

    /// The id of an environment.
    pub(crate) fn environment(&self, name: &str) -> String {
        let app = self.get(&self.path(""));
        let environments = app["environments"].as_array().unwrap().clone();
        let found = environments.into_iter().find(|environment| environment["name"] == name);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// The publishable and the secret key of an environment.
    pub(crate) fn sdk_keys(&self, name: &str) -> (String, String) {
        let id = self.environment(name);
        let access = self.get(&self.path(&format!("/environments/{id}")))["sdkAccess"].clone();
        let text = |member: &str| access[member].as_str().unwrap().to_owned();
        (text("publishableKey"), text("secretKey"))
    }
}

#[track_caller]
pub(crate) fn good(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}
