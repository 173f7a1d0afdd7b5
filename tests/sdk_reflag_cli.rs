//! The published Reflag command line against an origin of the binary's.
//!
//! Without Node, or without a registry to install it from, the tests say so and pass, unless
//! `BURGEE_REQUIRE_SDKS=1` is set. Another release is chosen in `tests/sdk/reflag_cli`, by
//! `npm install --package-lock-only @reflag/cli@VERSION`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod sdk;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use sdk::{Burgee, Programs};
use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = r#"
[app]
name = "Northwind Shop"
[[environments]]
name = "Production"
production = true
[[flags]]
key = "ai-summarizer"
name = "AI summarizer"
stage = "Beta"
[[flags.variants]]
key = "small"
payload = { model = "mini", maxTokens = 4000 }
[[flags.variants]]
key = "large"
payload = { model = "maxi", maxTokens = 8000, tags = ["slow", 1] }
[[flags]]
key = "new-checkout-flow"
name = "New checkout flow"
"#;

/// An origin with the shop, and a project folder that points at it.
struct Scene {
    programs: Programs,
    folder: TempDir,
    key: String,
    _burgee: Burgee,
}

fn origin(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burgee"));
    let output = command.arg("origin").args(arguments).current_dir(folder).env_clear().output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Scene {
    /// None where there is nothing to run the command line with.
    fn new() -> Option<Self> {
        let programs = Programs::for_reflag_cli()?;
        let folder = tempfile::tempdir().unwrap();
        // The binary says where its first two ports are, not its third.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = format!(
            "[origin]\nlisten = \"{address}\"\ndatabase = \"sqlite:origin.db\"\n\
             [[environments]]\nname = \"shop\"\n[environments.source]\ntype = \"origin\"\n\
             app = \"Northwind Shop\"\nenvironment = \"production\"\n"
        );
        let burgee = Burgee::start(folder.path(), &config);
        fs::write(folder.path().join("shop.toml"), SHOP).unwrap();
        origin(folder.path(), &["apply", "shop.toml"]);
        let apps: Value =
            serde_json::from_str(&origin(folder.path(), &["apps", "--json"])).unwrap();
        let app = &apps[0]["id"];
        let scopes = ["create-api-key", "--app", app.as_str().unwrap(), "--scopes", "create:flag"];
        let key = origin(folder.path(), &scopes).trim_end().to_owned();
        let config = json!({
            "appId": app,
            "baseUrl": format!("http://{address}"),
            "apiUrl": format!("http://{address}/api"),
            "typesOutput": [{"path": "flags.d.ts", "format": "node"}],
        });
        fs::write(folder.path().join("reflag.config.json"), config.to_string()).unwrap();
        Some(Self { programs, folder, key, _burgee: burgee })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Value {
        let told =
            json!({"program": program, "arguments": arguments, "folder": self.folder.path()});
        self.programs.start("run", &told).seen_in_the_end()
    }

    /// What the command line writes; it has to end well.
    #[track_caller]
    fn reflag(&self, arguments: &[&str]) -> String {
        let seen = self.run("@reflag/cli", &[arguments, &["--api-key", &self.key]].concat());
        assert_eq!(seen["status"], 0, "{arguments:?}: {seen}");
        seen["stdout"].as_str().unwrap().to_owned()
    }
}

#[test]
fn the_command_line_lists_and_creates_flags() {
    let Some(scene) = Scene::new() else { return };
    let apps = scene.reflag(&["apps", "list"]);
    assert!(apps.contains("Northwind Shop"), "{apps}");
    let listed = scene.reflag(&["flags", "list"]);
    for text in ["ai-summarizer", "AI summarizer", "Beta", "new-checkout-flow"] {
        assert!(listed.contains(text), "{text} is not in {listed}");
    }
    scene.reflag(&["flags", "create", "Gift cards", "--key", "gift-cards"]);
    assert!(scene.reflag(&["flags", "list"]).contains("gift-cards"));
}

#[test]
fn the_command_line_tells_what_the_origin_refuses() {
    let Some(scene) = Scene::new() else { return };
    let all = |seen: &Value| format!("{}{}", seen["stdout"], seen["stderr"]);
    let taken = ["flags", "create", "Again", "--key", "new-checkout-flow", "--api-key", &scene.key];
    let seen = scene.run("@reflag/cli", &taken);
    assert_ne!(seen["status"], 0, "{seen}");
    assert!(all(&seen).contains("taken"), "{seen}");
    let stranger = ["flags", "list", "--api-key", "api_nobody"];
    let seen = scene.run("@reflag/cli", &stranger);
    assert_ne!(seen["status"], 0, "{seen}");
    assert!(all(&seen).to_lowercase().contains("api key"), "{seen}");
}

#[test]
fn the_types_that_the_command_line_writes_are_those_expected_and_compile() {
    let Some(scene) = Scene::new() else { return };
    scene.reflag(&["flags", "types"]);
    let written = fs::read_to_string(scene.folder.path().join("flags.d.ts")).unwrap();
    assert_eq!(written, include_str!("sdk/reflag_cli/flags.d.ts"));
    let program = "import { ReflagClient } from \"@reflag/node-sdk\";\n\
         const client = new ReflagClient({ secretKey: \"sec_prod_0123456789abcdef\" });\n\
         const flag = client.getFlag({}, \"ai-summarizer\");\n\
         const tokens: number | undefined = flag.config.payload?.maxTokens;\n\
         const on: boolean = client.getFlag({}, \"new-checkout-flow\").isEnabled;\n\
         export { tokens, on };\n";
    fs::write(scene.folder.path().join("shop.ts"), program).unwrap();
    std::os::unix::fs::symlink(scene.programs.modules(), scene.folder.path().join("node_modules"))
        .unwrap();
    let options = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--moduleResolution",
        "nodenext",
    ];
    let compile =
        |files: &[&str]| scene.run("typescript/lib/tsc.js", &[&options[..], files].concat());
    let seen = compile(&["flags.d.ts", "shop.ts"]);
    assert_eq!(seen["status"], 0, "{seen}");
    let wrong = program.replace("maxTokens", "minTokens");
    fs::write(scene.folder.path().join("shop.ts"), wrong).unwrap();
    let seen = compile(&["flags.d.ts", "shop.ts"]);
    assert_ne!(seen["status"], 0, "a member that no variant has is a mistake: {seen}");
}
