//! SIGKILL in the middle of writes: what was acknowledged is there, nothing is half there, and no
//! version is used twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use burgee::origin::model::{AuditEntry, Scope};
use burgee::origin::store::Store;
use burgee::time::Clock;
use serde_json::{Value, json};

use crate::scene::{SHOP, api_key, apply_file, block_on, database, watch_origin};
use crate::support::wire::Caller;

/// The binary, which says in its log where its origin listens.
fn serve(folder: &Path) -> (Child, SocketAddr) {
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
         [origin]\nlisten = \"127.0.0.1:0\"\ndatabase = \"sqlite:{}\"\n\
         [[environments]]\nname = \"shop\"\n\
         source = {{ type = \"origin\", app = \"Shop\", environment = \"production\" }}\n",
        database(folder).display()
    );
    std::fs::write(folder.join("burgee.toml"), toml).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_burgee"))
        .args(["serve", "--config", "burgee.toml"])
        .current_dir(folder)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line: Value = serde_json::from_str(&line.unwrap()).ok()?;
        let fields = line.get("fields").unwrap_or(&line);
        (fields["message"] == "serving the origin")
            .then(|| fields["listen"].as_str()?.parse().ok())?
    });
    // Read on, so that the process never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address.unwrap())
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_no_version_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let app = apply_file(&database(folder.path()), SHOP);
    let key = api_key(&database(folder.path()), &app, &[Scope::WriteFlagTargeting]);
    // Version to company, as acknowledged.
    let acknowledged: Arc<Mutex<BTreeMap<u64, String>>> = Arc::default();
    let mut environment = String::new();
    for round in 0..3 {
        let (mut child, address) = serve(folder.path());
        let _watched = watch_origin(address);
        let caller = Caller::of(address).bearer(&key);
        let shop = caller.get(&format!("/api/apps/{app}")).json();
        environment = shop["environments"][0]["id"].as_str().unwrap().to_owned();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (caller, acknowledged) = (caller.clone(), Arc::clone(&acknowledged));
                let prefix = format!("/api/apps/{app}/envs/{environment}/companies");
                std::thread::spawn(move || {
                    for n in 0.. {
                        let company = format!("c-{round}-{writer}-{n}");
                        // Both flags, so that half a change would be seen.
                        let body = json!({"updates": [
                            {"flagKey": "search-v2", "specificTargetValue": true},
                            {"flagKey": "new-checkout-flow", "specificTargetValue": true},
                        ]});
                        let path = format!("{prefix}/{company}/flags");
                        let asked = std::panic::catch_unwind(|| {
                            caller.ask("PATCH", &path, body.to_string()).json()
                        });
                        let Ok(answer) = asked else { return };
                        let version = answer["flagStateVersion"].as_u64().unwrap();
                        let before = acknowledged.lock().unwrap().insert(version, company);
                        assert!(before.is_none(), "version {version} came twice");
                    }
                })
            })
            .collect();
        let wanted = acknowledged.lock().unwrap().len() + 50;
        crate::support::until("some writes", || {
            (acknowledged.lock().unwrap().len() >= wanted).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
    }
    let store = Store::open(&database(folder.path()), Clock::System).unwrap();
    let id = environment.as_str().into();
    let state = block_on(store.read(move |reader| reader.environment_state(&id))).unwrap();
    let log = block_on(store.read(move |reader| reader.audit(&app, None, 1_000_000))).unwrap();
    let [checkout, search] = &state.flags[..] else { panic!("two flags") };
    assert_eq!(
        checkout.targeting.company_ids, search.targeting.company_ids,
        "nothing is half there"
    );
    let acknowledged = acknowledged.lock().unwrap();
    for (version, company) in acknowledged.iter() {
        assert!(checkout.targeting.company_ids.contains(company), "{company} of {version} is lost");
    }
    assert!(state.version >= *acknowledged.keys().last().unwrap());
    // One entry for each of the two flags, whatever was not acknowledged any more included.
    let mut noted: BTreeMap<u64, Vec<&AuditEntry>> = BTreeMap::new();
    for entry in log.iter().filter(|entry| entry.operation == "targeting.targets") {
        noted.entry(entry.version.unwrap()).or_default().push(entry);
    }
    assert_eq!(noted.len(), checkout.targeting.company_ids.len());
    assert!(noted.values().all(|entries| entries.len() == 2), "one change, one version");
    for (version, company) in acknowledged.iter() {
        let change = json!([{"companyId": company, "listed": true}]);
        assert!(noted[version].iter().all(|entry| entry.change == change), "{version}");
    }
}
