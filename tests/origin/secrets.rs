//! What a copy of the database file tells: nothing that opens anything.

use std::fs;

use serde_json::json;

use crate::scene::Scene;

#[test]
fn no_api_key_and_no_secret_key_can_be_read_from_the_database_file() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let mut keys = vec![scene.key.clone()];
    for name in ["Production", "Staging"] {
        keys.push(scene.sdk_keys(name).1);
    }
    let made = json!({"name": "CI", "scopes": ["read"]});
    let made = scene.call("POST", &scene.own_path("/api-keys"), &made);
    keys.push(made["key"].as_str().unwrap().to_owned());
    let rotate = scene.own_path(&format!("/environments/{environment}/keys/secret/rotate"));
    for _ in 0..2 {
        let rotated = scene.call("POST", &rotate, &json!({}));
        keys.push(rotated["key"].as_str().unwrap().to_owned());
    }
    let revoke = scene.own_path(&format!("/api-keys/{}", made["id"].as_str().unwrap()));
    scene.call("DELETE", &revoke, &json!({}));
    let mut looked_at = 0;
    for file in fs::read_dir(scene.folder.path()).unwrap() {
        let path = file.unwrap().path();
        // What opens the sealed ones lies beside the database and is not in it.
        if path.extension().is_some_and(|extension| extension == "key") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        looked_at += bytes.len();
        for key in &keys {
            // The first characters are kept, so that people can tell keys apart.
            let secret = &key.as_bytes()[12..];
            let is_there = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!is_there, "{} holds {key}", path.display());
        }
    }
    assert!(looked_at > 100_000, "only {looked_at} bytes were looked at");
    let production = fs::read(scene.database()).unwrap();
    assert!(production.starts_with(b"SQLite format 3"));
}

#[test]
fn only_whoever_runs_the_process_can_read_the_database_and_what_opens_it() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::start();
    for file in fs::read_dir(scene.folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}
