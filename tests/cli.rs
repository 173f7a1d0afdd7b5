//! The command as people, scripts and container engines meet it: arguments and variables in, text
//! and an exit code out. Every test starts the real binary in a folder of its own, without any
//! variable of ours.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is unwrapped outside of `#[test]` functions are this file's own hands"
)]

mod fake_upstream;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use burgee::time::Stopwatch;
use fake_upstream::flagsmith::{Listed, PROXY_KEY};
use fake_upstream::{Document, Upstream};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing here takes nearly as long; whatever does has failed.
const DEADLINE: Duration = Duration::from_secs(30);

const PUBLISHABLE: &str = "pub_walnut_7391";
const SECRET: &str = "sec_hazel_40528117";
const TOKEN: &str = "token-chestnut-6640";

/// A flag for each thing that is shown: a condition, a rollout, a variant, a secret.
const FLAGS: &str = r#"{"flagStateVersion":7,"features":[
 {"key":"checkout","targeting":{"version":1,"rules":[
   {"filter":{"type":"group","operator":"and","filters":[
     {"type":"context","field":"company.plan","operator":"ANY_OF","values":["team","enterprise"]},
     {"type":"negation","filter":{"type":"context","field":"company.blocked","operator":"IS_TRUE"}}]}}]}},
 {"key":"search","targeting":{"version":2,"rules":[
   {"filter":{"type":"rolloutPercentage","key":"search","partialRolloutAttribute":"company.id",
     "partialRolloutThreshold":25000}}]}},
 {"key":"fraud","secret":true,"targeting":{"version":3,"rules":[
   {"filter":{"type":"context","field":"user.created_at","operator":"AFTER","values":["30"]}}]},
  "config":{"version":1,"variants":[
   {"key":"strict","filter":{"type":"constant","value":true},"payload":{"limit":5.0}}]}}]}"#;

const CONTEXT: &str =
    r#"{"company":{"id":"globex","plan":"team"},"user":{"created_at":"2026-01-01"}}"#;
const NOW: &str = "2026-01-15T12:00:00Z";

/// A folder in which commands are run.
struct Folder(TempDir);

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With `burgee.toml` that serves [`FLAGS`] on ports that the system chooses.
    fn with_flags() -> Self {
        let folder = Self::new();
        folder.write("flags.json", FLAGS);
        folder.write("burgee.toml", &config(""));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_burgee"));
        command.env_clear().current_dir(self.0.path()).stdin(Stdio::null()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(&[], arguments)
    }

    fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn serve(&self) -> Serving {
        self.serve_with(&[], &[])
    }

    fn serve_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Serving {
        let mut command = self.command(&["serve"]);
        Serving::start(command.args(arguments).envs(variables.iter().copied()))
    }
}

fn config(more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n{more}\n\
         [[environments]]\nname = \"shop\"\npublishable_keys = [\"{PUBLISHABLE}\"]\n\
         secret_keys = [\"{SECRET}\"]\n[environments.source]\ntype = \"file\"\npath = \"flags.json\"\n"
    )
}

/// A server that runs. It is killed when dropped.
struct Serving {
    child: Child,
    lines: Receiver<String>,
    /// Everything that it wrote, to either stream.
    written: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    public: SocketAddr,
    admin: String,
}

impl Serving {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let written = Arc::new(Mutex::new(String::new()));
        let (out, of_out) = (child.stdout.take().unwrap(), Arc::clone(&written));
        let (err, of_err) = (child.stderr.take().unwrap(), Arc::clone(&written));
        let readers = vec![
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    *of_out.lock().unwrap() += &(line + "\n");
                }
            }),
            std::thread::spawn(move || {
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    *of_err.lock().unwrap() += &(line.clone() + "\n");
                    let _ = sender.send(line);
                }
            }),
        ];
        let public = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut serving = Self { child, lines, written, readers, public, admin: String::new() };
        let line = serving.wait_for(" serving ");
        serving.public = field(&line, "listen").parse().unwrap();
        serving.admin = field(&line, "admin");
        serving
    }

    /// The next log line that contains `text`.
    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => {
                    let written = self.written.lock().unwrap();
                    panic!("no line with {text:?} ({error}):\n{written}");
                }
            }
        }
    }

    /// Waits until its flags are published.
    #[track_caller]
    fn ready(self) -> Self {
        self.wait_for("empty->live");
        self
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// What the demo says.
    #[track_caller]
    fn note(&self) -> String {
        let watch = Stopwatch::start();
        loop {
            let written = self.written.lock().unwrap().clone();
            if written.contains("Ctrl-C ends it.") {
                return written;
            }
            assert!(watch.elapsed() < DEADLINE, "no note:\n{written}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end; how it ended, and all that it wrote.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, String) {
        // The stream of its lines ends when it does.
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        let status = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let written = self.written.lock().unwrap().clone();
        (status, written)
    }

    fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    fn ask_admin(&self, request: &str) -> Reply {
        ask(self.admin.parse().unwrap(), request, "", "")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a field of a log line.
fn field(line: &str, name: &str) -> String {
    let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

/// What a port answered.
#[derive(Debug)]
struct Reply {
    status: u16,
    body: String,
}

/// Sends one request and reads until the connection ends.
fn ask(address: SocketAddr, request: &str, headers: &str, body: &str) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}{length}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    read_reply(stream)
}

fn read_reply(mut stream: TcpStream) -> Reply {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, body: body.to_owned() }
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

// Help.

#[test]
fn help_of_everything_helps() {
    let folder = Folder::new();
    let version = folder.run(&["--version"]);
    assert_eq!(version.out, format!("burgee {}\n", env!("CARGO_PKG_VERSION")));
    let help = folder.run(&["--help"]);
    assert_eq!(help.code, Some(0));
    contains(&help.out, &["serve", "check", "explain", "status", "healthcheck", "Three ways"]);
    for (verb, parts) in [
        ("serve", &["--config <FILE>", "--demo", "BURGEE_SOURCE=file"][..]),
        ("check", &["--config <FILE>", "--print-toml", "Examples:", "$BURGEE_CONFIG"]),
        ("explain", &["--context <JSON|@FILE>", "--now", "--key-class", "Examples:"]),
        ("status", &["--url", "--json", "BURGEE_ADMIN_TOKEN", "Examples:"]),
        ("healthcheck", &["--url", "HEALTHCHECK CMD"]),
    ] {
        let help = folder.run(&[verb, "--help"]);
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{verb}");
        contains(&help.out, parts);
        assert!(!help.out.contains('`'), "markup in the help of {verb}:\n{}", help.out);
    }
}

#[test]
fn nothing_to_do_is_answered_with_three_ways_to_start() {
    let folder = Folder::new();
    for arguments in [&[][..], &["serve"]] {
        let said = folder.run(arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
        contains(
            &said.err,
            &[
                "burgee serve --demo ",
                "burgee serve --config burgee.toml ",
                "BURGEE_SOURCE=file BURGEE_SOURCE_PATH=flags.json",
            ],
        );
    }
    for verb in ["check", "explain --context {}"] {
        let said = folder.run(&verb.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
        contains(&said.err, &["there is no configuration", "--config FILE", "BURGEE_CONFIG"]);
    }
    let said = folder.run(&["serve", "--demo", "--config", "x"]);
    assert_eq!(said.code, Some(2));
    let said = folder.run_with(&[("BURGEE_SOURCE_PATH", "f")], &["serve"]);
    assert_eq!(said.code, Some(2));
    contains(
        &said.err,
        &["BURGEE_SOURCE: found nothing, expected \"file\", \"reflag\" or \"flagsmith\"\n"],
    );
}

// Check.

#[test]
fn a_good_configuration_is_shown_with_what_it_amounts_to() {
    let folder = Folder::with_flags();
    let said = folder.run_with(&[("BURGEE_LOG", "debug")], &["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let (settings, memory) = said.out.split_once("memory at worst: ").unwrap();
    assert_eq!(
        settings,
        r#"burgee.toml: no problems

SETTING                                              VALUE          SET BY
server.listen                                        "127.0.0.1:0"  line 2
server.base_path                                     ""             default
server.keep_alive                                    "1m 15s"       default
server.drain                                         "10s"          default
server.workers                                       2              line 3
server.h2c                                           false          default
admin.listen                                         "127.0.0.1:0"  line 5
admin.token                                          none           default
admin.startup_grace                                  "30s"          default
limits.connections                                   10000          default
limits.body                                          "1MiB"         default
limits.url                                           "32KiB"        default
limits.header_timeout                                "10s"          default
limits.body_timeout                                  "10s"          default
limits.in_flight_body_bytes                          "64MiB"        default
limits.streams                                       8000           default
limits.streams_per_environment                       8000           default
limits.waiters_per_environment                       1000           default
log.level                                            "debug"        BURGEE_LOG
log.format                                           "text"         default
environments[0].name                                 "shop"         line 8
environments[0].publishable_keys                     [[redacted]]   line 9
environments[0].secret_keys                          [[redacted]]   line 10
environments[0].max_staleness                        none           default
environments[0].on_stale                             "serve"        default
environments[0].on_unauthorized                      "serve"        default
environments[0].source.type                          "file"         line 12
environments[0].source.path                          "flags.json"   line 13
environments[0].source.format                        "reflag"       default
environments[0].source.poll_interval                 "1s"           default
environments[0].reflag.evaluator                     "1.0"          default
environments[0].reflag.secret_flags                  []             default
environments[0].reflag.definitions                   "complete"     default
environments[0].flagsmith.segments_without_identity  false          default
environments[0].flagsmith.hide_sensitive_data        false          default
environments[0].ofrep.bare_key                       "auto"         default
environments[0].cors.origins                         ["*"]          default
environments[0].cors.credentials                     false          default
environments[0].gate.max_shrink                      0              default
environments[0].gate.confirm_after                   3              default

environment shop
  document     833 B
  flags        3, publishable keys do not see 1
  version      7
  fingerprint  FINGERPRINT

"#
        .replace("FINGERPRINT", &fingerprint(&said.out))
    );
    contains(
        memory,
        &[
            "1.9 GiB, all bounds together\n",
            "\n  connections        1.4 GiB  limits.connections 10,000 x (2 x (limits.url + 32 KiB)",
            "\n  request bodies     128 MiB  2 x limits.in_flight_body_bytes",
            "\n  report queue ",
            "\n  admin port ",
        ],
    );
}

#[test]
fn an_upstream_is_checked_without_being_asked() {
    let folder = Folder::with_flags();
    let variables = [
        ("BURGEE_SOURCE", "reflag"),
        // Nobody listens there.
        ("BURGEE_SOURCE_URL", "http://127.0.0.1:1/flags/"),
        ("BURGEE_SOURCE_KEY", SECRET),
        ("BURGEE_PUBLISHABLE_KEYS", PUBLISHABLE),
        ("HTTPS_PROXY", "http://user:lemon@127.0.0.1:1"),
    ];
    fs::remove_file(folder.path("burgee.toml")).unwrap();
    let said = folder.run_with(&variables, &["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let squeezed =
        said.out.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    contains(
        &squeezed,
        &[
            "environment variables: no problems\n",
            "\nproxy.https [redacted] HTTPS_PROXY\n",
            "\nenvironments[0].secret_keys [[redacted]] default\n",
            "\nenvironments[0].source.url \"http://127.0.0.1:1/flags\" BURGEE_SOURCE_URL\n",
            "\nenvironments[0].source.secret_key [redacted] BURGEE_SOURCE_KEY\n",
            "\nenvironments[0].reflag.secret_flags \"learn\" default\n",
            "\nenvironment default\n from http://127.0.0.1:1/flags, not asked (--online asks)\n",
            "\n waiters 500 KiB limits.waiters_per_environment 1,000 x 1 environment x 512 B\n",
            "\n upstream documents 768 MiB 1 upstream x 3 x 256 MiB, the longest that is taken\n",
            "\n upstream event streams 192 KiB 1 stream x 192 KiB\n",
        ],
    );
    for secret in [SECRET, PUBLISHABLE, "lemon"] {
        assert!(!said.out.contains(secret), "{secret} in {}", said.out);
    }
}

#[test]
fn rules_of_flagsmith_are_checked() {
    let folder = Folder::new();
    let variables = [
        ("BURGEE_SOURCE", "flagsmith"),
        ("BURGEE_SOURCE_KEY", "ser.walnut"),
        ("BURGEE_LISTEN", "127.0.0.1:0"),
        ("BURGEE_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    let said = folder.run_with(&variables, &["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(
        &said.out,
        &[
            "environment default\n  from https://edge.api.flagsmith.com/api/v1, not asked (--online \
             asks)\n",
            " 1 upstream x 3 x 256 MiB, the longest that is taken\n",
            "  the document's api_key  ",
        ],
    );
    assert!(!said.out.contains("walnut"), "{}", said.out);
    let variables = [
        ("BURGEE_SOURCE", "file"),
        ("BURGEE_SOURCE_PATH", "environment.json"),
        ("BURGEE_SOURCE_FORMAT", "flagsmith"),
    ];
    folder.write("environment.json", "{}");
    let said = folder.run_with(&variables, &["check"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    contains(
        &said.err,
        &[
            "BURGEE_SOURCE_PATH: found a file that cannot be served: environment.json: ",
            ", expected a Flagsmith environment document\n",
        ],
    );
    let document = json!({
        "api_key": "hazel",
        "project": {"segments": []},
        "feature_states": [{
            "feature": {"id": 7, "name": "checkout", "type": "STANDARD"}, "enabled": true,
            "feature_state_value": null, "django_id": 1, "multivariate_feature_state_values": [],
        }],
    });
    folder.write("environment.json", &document.to_string());
    let said = folder.run_with(&variables, &["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(&said.out, &["environment default\n", "1, publishable keys see all of them"]);
}

#[test]
fn an_edge_proxys_file_is_taken_as_it_is_with_notes() {
    let folder = Folder::new();
    let pair = r#"{"server_side_key": "ser.walnut", "client_side_key": "hazel"}"#;
    folder.write(
        "config.json",
        &format!(
            "{{\"environment_key_pairs\": [{pair}],\n\"endpoint_caches\": {{}},\n\"colour\": 1,\n\
             \"server\": {{\"host\": \"127.0.0.1\", \"port\": 0}}, \"api_url\": \"http://127.0.0.1:1/api/v1\"}}"
        ),
    );
    let caches = "config.json:2: endpoint_caches: not needed: answers are prepared once, when the \
                  rules change";
    let colour = "config.json:3: colour: not read: no member of this name is known";
    let named = folder.run(&["check", "--config", "config.json"]);
    assert_eq!((named.code, named.err.as_str()), (Some(0), ""));
    contains(
        &named.out,
        &[&format!(
            "config.json: no problems\n\nnotes\n  {caches}\n  {colour}\n\n\
             SETTING "
        )],
    );
    contains(&named.out, &["  line 4\n", "  from http://127.0.0.1:1/api/v1, not asked"]);
    let found = folder.run_with(&[("CONFIG_PATH", "config.json")], &["check"]);
    assert_eq!((found.code, &found.out), (Some(0), &named.out));
    // A file of that name by itself may belong to anybody.
    assert_eq!(folder.run(&["check"]).code, Some(2));

    let variables = [("BURGEE_CONFIG", "config.json"), ("BURGEE_ADMIN_LISTEN", "127.0.0.1:0")];
    let serving = folder.serve_with(&variables, &[]);
    // Nobody listens where it should get its rules.
    serving.wait_for("cannot connect");
    serving.signal("TERM");
    let (status, written) = serving.end();
    assert_eq!(status.code(), Some(0), "{written}");
    for note in [caches, colour] {
        assert_eq!(written.matches(note).count(), 1, "{written}");
    }

    let said = folder.run_with(&[("ENVIRONMENT_KEY_PAIRS", &format!("[{pair}]"))], &["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(&said.out, &["environment variables: no problems\n", " ENVIRONMENT_KEY_PAIRS\n"]);
    for text in [&named.out, &said.out] {
        for secret in ["walnut", "hazel"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let said = folder.run_with(&[("CONFIG_PATH", "absent.json")], &["check"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    contains(&said.err, &["cannot read absent.json: "]);
}

#[test]
fn a_configuration_is_printed_as_toml_that_burgee_reads() {
    let folder = Folder::new();
    folder.write(
        "config.json",
        r#"{"environment_key_pairs": [{"server_side_key": "ser.walnut", "client_side_key": "hazel"}],
            "endpoint_caches": {}, "server": {"port": 9000}}"#,
    );
    let said = folder.run(&["check", "--config", "config.json", "--print-toml"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(
        &said.out,
        &[
            "# What Burgee runs with, from config.json.\n# Note: config.json:2: endpoint_caches: ",
            "\n[server]\nlisten = \"0.0.0.0:9000\"\n",
            "\n# BURGEE_KEY_1: the key of config.json:1: environment_key_pairs[0].client_side_key.\n\
             publishable_keys = [\"${BURGEE_KEY_1}\"]\n",
            "\nserver_key = \"${BURGEE_KEY_2}\"\n",
        ],
    );
    for secret in ["walnut", "hazel"] {
        assert!(!said.out.contains(secret), "{secret} in {}", said.out);
    }
    folder.write("burgee.toml", &said.out);
    let without_keys = folder.run(&["check"]);
    assert_eq!(without_keys.code, Some(2));
    contains(&without_keys.err, &["found the variable BURGEE_KEY_1 is not set, "]);
    let keys = [("BURGEE_KEY_1", "hazel"), ("BURGEE_KEY_2", "ser.walnut")];
    let again = folder.run_with(&keys, &["check", "--print-toml"]);
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
    let settings = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(settings(&again.out), settings(&said.out));
    // Nothing is read but the configuration: these flags are nowhere.
    folder.write("burgee.toml", &config(""));
    assert_eq!(folder.run(&["check", "--print-toml"]).code, Some(0));
    assert_eq!(folder.run(&["check", "--print-toml", "--online"]).code, Some(2));
}

fn fingerprint(text: &str) -> String {
    let (_, rest) = text.split_once("fingerprint  ").unwrap();
    rest.lines().next().unwrap().to_owned()
}

#[test]
fn every_problem_is_one_line_and_nothing_else_is_said() {
    let folder = Folder::new();
    folder.write("bad.toml", "[server]\nlisten = \"8000\"\nport = 1\n[limit]\n");
    let said = folder.run(&["check", "--config", "bad.toml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    let lines: Vec<&str> = said.err.lines().collect();
    assert_eq!(lines.len(), 4, "{}", said.err);
    assert_eq!(
        lines[0],
        "bad.toml:1: environments: found no environments, expected at least one environment, \
         below [[environments]], a [[discover]], or an [origin]"
    );
    for (line, start) in lines[1..].iter().zip([
        "bad.toml:2: server.listen: found \"8000\", expected ",
        "bad.toml:3: server.port: found an unknown key, expected one of listen, ",
        "bad.toml:4: limit: found an unknown key, expected one of server, ",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(folder.run(&["serve", "--config", "bad.toml"]).err, said.err);
}

#[test]
fn a_rules_file_that_cannot_be_served_is_a_problem_of_its_path() {
    let folder = Folder::new();
    folder.write("burgee.toml", &config(""));
    let start = "burgee.toml:13: environments[0].source.path: found a file that cannot be served: ";
    let said = folder.run(&["check"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    let here = folder.0.path().canonicalize().unwrap();
    assert_eq!(
        said.err,
        format!(
            "{start}cannot read flags.json: No such file or directory (os error 2), expected a \
             Reflag features document (hint: a relative path starts where Burgee is started, here \
             {})\n",
            here.display()
        )
    );
    for (document, why) in [
        ("", "flags.json: the document is empty"),
        ("{\"features\":[", "flags.json: the document is not JSON: EOF while parsing"),
        ("{\"success\":false}", "flags.json: the document is not a features document: "),
    ] {
        folder.write("flags.json", document);
        let said = folder.run(&["check"]);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
        assert!(said.err.starts_with(&format!("{start}{why}")), "{}", said.err);
        assert!(said.err.ends_with(", expected a Reflag features document\n"), "{}", said.err);
    }
    let variables = [
        ("BURGEE_SOURCE", "file"),
        ("BURGEE_SOURCE_PATH", "/nowhere"),
        ("BURGEE_SECRET_KEYS", SECRET),
    ];
    let said = Folder::new().run_with(&variables, &["check"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.starts_with("BURGEE_SOURCE_PATH: found a file that cannot be "),
        "{}",
        said.err
    );
}

#[test]
fn flags_that_are_left_out_or_odd_are_named_with_their_reason() {
    let folder = Folder::with_flags();
    let odd = r#"{"filter":{"type":"context","field":"a","operator":"LIKE","values":["x"]}}"#;
    folder.write(
        "flags.json",
        &format!(
            r#"{{"features":[{{"key":"broken","targeting":7}},
               {{"key":"odd","targeting":{{"version":1,"rules":[{odd}]}}}}]}}"#
        ),
    );
    let more = "[environments.reflag]\nsecret_flags = [\"broken\", \"od\"]\n";
    folder.write("burgee.toml", &format!("{}{more}", config("")));
    let said = folder.run(&["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(
        &said.out,
        &[
            "  flags        1, publishable keys see all of them\n",
            "  quarantined: 1 flag left out\n    broken: ",
            "  diagnostics: served all the same\n    flag `odd`: operator `LIKE` is not known",
            "    reflag.secret_flags names `od`, which is no flag\n",
        ],
    );
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let folder = Folder::with_flags();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut check = folder.command(&["check"]);
    let output = check.stdout(closed()).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    folder.write("burgee.toml", "");
    let both = folder.command(&["check"]).stdout(closed()).stderr(closed()).status().unwrap();
    assert_eq!(both.code(), Some(2));
}

// Explain.

#[test]
fn explain_shows_one_line_for_each_flag() {
    let folder = Folder::with_flags();
    let said = folder.run(&["explain", "--context", CONTEXT, "--now", NOW]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(
        said.out,
        "\
shop version 7 at 2026-01-15T12:00:00.000Z, with a secret key
3 flags: 2 on, 1 off

FLAG      IS   VARIANT  REASON
checkout  on   -        rule #0 matched   missing company.blocked
search    off  -        no matched rules
fraud     on   strict   rule #0 matched   hidden from publishable keys

--flag KEY shows each condition with the value that it met.
"
    );
}

#[test]
fn explain_shows_every_condition_of_one_flag() {
    let folder = Folder::with_flags();
    let explain = |flag, more: &[&str]| {
        let mut arguments = vec!["explain", "--context", CONTEXT, "--now", NOW, "--flag", flag];
        arguments.extend(more);
        let said = folder.run(&arguments);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        said.out
    };
    assert_eq!(
        explain("checkout", &["--environment", "shop"]),
        r#"checkout is ON: rule #0 matched
shop version 7 at 2026-01-15T12:00:00.000Z, with a secret key

variant  none
value    null
secrecy  visible to publishable keys
missing  company.blocked

rules: on when one matches
  #0 matched: c0 and not c1
    c0  yes  company.plan ANY_OF "team", "enterprise"  is "team"
    c1  no   company.blocked IS_TRUE                   MISSING

answered as
  reflag     {"key":"checkout","isEnabled":true,"targetingVersion":1,"ruleEvaluationResults":[true],"missingContextFields":["company.…
  flagsmith  {"feature":{"id":1198923352,"name":"checkout","type":"STANDARD"},"enabled":true,"feature_state_value":null,"variant":nul…
  ofrep      {"key":"checkout","value":true,"reason":"TARGETING_MATCH","variant":"on","metadata":{"flagVersion":1,"enabled":true}}
"#
    );
    contains(
        &explain("search", &[]),
        &[
            "search is OFF: no matched rules\n",
            "\nmissing  nothing that was asked for\n",
            "  #0 not matched: c0\n    c0  no  company.id rolled out to 25 %  is \"globex\", which \
             hashes to ",
            " %: not below 25 %\n",
        ],
    );
    contains(
        &explain("fraud", &["--key-class", "publishable"]),
        &[
            "fraud is ON: rule #0 matched\n",
            ", with a publishable key\n",
            "\nvariant  strict\nvalue    {\"limit\":5.0}\n",
            "\nsecrecy  hidden: with a publishable key there is no such flag\n",
            "user.created_at AFTER \"30\"  is \"2026-01-01\"\n",
            "\nvariants: the first that matches\n  #0 strict matched: always\n",
        ],
    );
    let later =
        ["explain", "--context", CONTEXT, "--flag", "fraud", "--now", "2027-01-01T00:00:00Z"];
    contains(&folder.run(&later).out, &["fraud is OFF: no matched rules\n"]);
}

#[test]
fn explain_says_what_parts_two_contexts() {
    let folder = Folder::with_flags();
    let other = r#"{"company":{"plan":"free"},"user":{"id":"ada"}}"#;
    let said = folder.run(&["explain", "--context", CONTEXT, "--diff", other, "--now", NOW]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(
        &said.out,
        &[
            "A is --context, B is --diff: ",
            "of 3 flags differ\n\nFLAG ",
            "\ncheckout  on",
            "rule #0: company.plan ANY_OF \"team\", \"enterprise\"; A is \"team\", B is \"free\"\n",
        ],
    );
    let json = ["explain", "--context", CONTEXT, "--diff", other, "--now", NOW, "--json", "--flag"];
    let said = folder.run(&[&json[..], &["checkout"]].concat());
    let document: Value = serde_json::from_str(&said.out).unwrap();
    let difference = &document["differences"][0];
    assert_eq!((&difference["key"], &document["flags"]), (&json!("checkout"), &json!(1)));
    assert_eq!(
        (&difference["a"]["enabled"], &difference["b"]["enabled"]),
        (&json!(true), &json!(false))
    );
    let parted = &difference["parted_by"];
    assert_eq!(
        (&parted["rule"], &parted["attribute"]),
        (&json!("rule #0"), &json!("company.plan"))
    );
    assert_eq!(parted["b"], json!({"actual": "free", "matched": false, "missing": false}));
    let same = folder.run(&["explain", "--context", CONTEXT, "--diff", CONTEXT, "--now", NOW]);
    contains(&same.out, &["A is --context, B is --diff: 3 flags and no difference\n"]);
    let bad = folder.run(&["explain", "--context", CONTEXT, "--diff", "{"]);
    assert_eq!(bad.code, Some(2));
    contains(&bad.err, &["--diff: this is not JSON"]);
}

#[test]
fn explain_asks_a_process_that_runs() {
    let folder = Folder::with_flags();
    let serving = folder.serve().ready();
    let url = format!("http://{}", serving.admin);
    let here = folder.run(&["explain", "--context", CONTEXT, "--now", NOW, "--flag", "checkout"]);
    let there = folder.run(&[
        "explain",
        "--url",
        &url,
        "--context",
        CONTEXT,
        "--now",
        NOW,
        "--flag",
        "checkout",
    ]);
    assert_eq!((there.code, there.err.as_str()), (Some(0), ""));
    assert_eq!(there.out, here.out);
    let unknown =
        folder.run(&["explain", "--url", &url, "--context", CONTEXT, "--flag", "nothing"]);
    assert_eq!(unknown.code, Some(2));
    contains(&unknown.err, &["there is no flag `nothing`"]);
    let elsewhere =
        folder.run(&["explain", "--url", &url, "--environment", "blog", "--context", CONTEXT]);
    assert_eq!(elsewhere.code, Some(2));
    contains(&elsewhere.err, &["blog"]);
    let both = folder.run(&["explain", "--url", &url, "--config", "x", "--context", CONTEXT]);
    assert_eq!(both.code, Some(2));
}

/// A banner that is split, and off for those in a segment; rules of Flagsmith's.
const ENVIRONMENT: &str = r#"{
    "id": 1, "api_key": "env", "name": "Shop", "updated_at": "2026-01-01T00:00:00Z",
    "project": {"id": 1, "name": "Shop", "segments": [
        {"id": 7, "name": "gold", "feature_states": [
            {"feature": {"id": 1, "name": "banner", "type": "MULTIVARIATE"}, "enabled": false,
             "feature_state_value": "none", "django_id": 2, "feature_segment": {"priority": 0}}],
         "rules": [{"type": "ALL", "conditions": [
            {"property_": "plan", "operator": "EQUAL", "value": "gold"},
            {"property_": "", "operator": "PERCENTAGE_SPLIT", "value": "90"},
            {"property_": "age", "operator": "IS_SET", "value": ""}]}]}]},
    "feature_states": [
        {"feature": {"id": 1, "name": "banner", "type": "MULTIVARIATE"}, "enabled": true,
         "feature_state_value": "control", "django_id": 3, "multivariate_feature_state_values": [
            {"id": 1, "percentage_allocation": 30, "multivariate_feature_option":
                {"value": "red", "key": "red-banner"}},
            {"id": 2, "percentage_allocation": 50.5, "multivariate_feature_option":
                {"value": "blue", "key": null}}]},
        {"feature": {"id": 2, "name": "plain"}, "enabled": true},
        {"feature": {"id": 3, "name": "broken"}}]
}"#;

#[test]
fn explain_shows_who_decided_among_flagsmith_s_segments() {
    let folder = Folder::new();
    folder.write("env.json", ENVIRONMENT);
    folder.write(
        "burgee.toml",
        "[[environments]]\nname = \"shop\"\n[environments.source]\ntype = \"file\"\n\
         path = \"env.json\"\nformat = \"flagsmith\"\n",
    );
    let explain = |context: &str, more: &[&str]| {
        let said = folder.run(&[&["explain", "--context", context, "--now", NOW], more].concat());
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        said.out
    };
    let banner = ["--flag", "banner"];
    assert_eq!(
        explain(r#"{"identifier":"ada","traits":{"plan":"gold","age":"044"}}"#, &banner),
        r#"banner is OFF: TARGETING_MATCH; segment=gold
shop version 1767225600000 at 2026-01-15T12:00:00.000Z, with a secret key

identity    ada
decided by  segment gold
variant     control
value       "none"
secrecy     visible to publishable keys
missing     nothing that was asked for

segments: the first that matches decides
  #0 gold matched: c0 and c1 and c2
    makes it off, value "none"
    c0  yes  plan EQUAL "gold"                  is "gold"
    c1  yes  $.identity.key rolled out to 90 %  is "env_ada", which hashes to 62.843 %: within 90 %
    c2  yes  age IS_SET                         is 44

answered as
  reflag     {"key":"banner","isEnabled":false,"targetingVersion":1767225600000,"ruleEvaluationResults":[],"missingContextFields":[],…
  flagsmith  {"feature":{"id":1,"name":"banner","type":"MULTIVARIATE"},"enabled":false,"feature_state_value":"none","variant":"contro…
  ofrep      {"key":"banner","reason":"DISABLED","variant":"control","metadata":{"featureId":1,"enabled":false,"segment":"gold"}}
"#
    );
    contains(
        &explain(r#"{"user":{"id":"lin","plan":"free"}}"#, &banner),
        &[
            "banner is ON: SPLIT; weight=30\n",
            "\ndecided by  the environment: nothing overrides it here\n",
            "\nmissing     age\n",
            "  #0 gold not matched: c0 and c1 and c2\n    would make it off, value \"none\"\n",
            "\nvariants: drawn by hash, 15.683 % for this identity\n  #0 red-banner drawn: 0 to 30 %, \
             value \"red\"\n  #1 not drawn: 30 to 80.5 %, value \"blue\"\n",
        ],
    );
    contains(
        &explain("{}", &[]),
        &[
            "\nasked about nobody: no identifier was given, so no segment applies\n",
            "2 flags: 2 on, 0 off\n",
            "\nbanner  on  -        DEFAULT\n",
            "\nquarantined: 1 flag left out\n  feature `broken`: missing field `enabled`\n",
        ],
    );
    let refused = |more: &[&str], code, message: &str| {
        let said = folder.run(&[&["explain"], more].concat());
        assert_eq!(said.code, Some(code));
        contains(&said.err, &[message]);
    };
    let nobody = ["--context", "{}", "--flag"];
    refused(&[&nobody[..], &["baner"]].concat(), 2, "in shop; did you mean \"banner\"?");
    refused(&[&nobody[..], &["broken"]].concat(), 1, "\"broken\" is quarantined: missing field");
    refused(&["--context", r#"{"plan":"gold"}"#], 2, "--context: `plan` is below neither");
}

#[test]
fn explain_reads_its_context_from_a_file_or_from_standard_input() {
    let folder = Folder::with_flags();
    folder.write("context.json", &format!("{CONTEXT}\n"));
    let told = ["explain", "--now", NOW, "--context"];
    let expected = folder.run(&[&told[..], &[CONTEXT]].concat()).out;
    assert_eq!(folder.run(&[&told[..], &["@context.json"]].concat()).out, expected);
    let mut command = folder.command(&[&told[..], &["@-"]].concat());
    let input = fs::File::open(folder.path("context.json")).unwrap();
    assert_eq!(command.stdin(input).output().unwrap().stdout, expected.as_bytes());
}

#[test]
fn the_json_form_is_the_document_of_the_admin_port() {
    let folder = Folder::with_flags();
    let serving = folder.serve().ready();
    for (class, flag) in [("secret", None), ("publishable", Some("fraud"))] {
        let mut question = serde_json::json!({
            "environment": "shop", "context": serde_json::from_str::<Value>(CONTEXT).unwrap(),
            "key_class": class, "now": NOW,
        });
        let mut arguments =
            vec!["explain", "--json", "--context", CONTEXT, "--now", NOW, "--key-class", class];
        if let Some(flag) = flag {
            question["flag"] = flag.into();
            arguments.extend(["--flag", flag]);
        }
        let admin = serving.admin.parse().unwrap();
        let reply = ask(admin, "POST /explain", "", &question.to_string());
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(folder.run(&arguments).out, format!("{}\n", reply.body));
    }
}

#[test]
fn explain_says_what_is_wrong_with_a_question() {
    let folder = Folder::with_flags();
    let two = config("").replace("shop", "first")
        + &config("").split_once("[[").unwrap().1.replace("walnut", "b").replace("hazel", "c");
    folder.write(
        "two.toml",
        &two.replacen("environments]]\nname = \"shop\"", "[[environments]]\nname = \"second\"", 1),
    );
    let refused = |arguments: &[&str], code, message: &str| {
        let said = folder.run(&[&["explain"], arguments].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{}", said.err);
        contains(&said.err, &[message]);
    };
    let context = ["--context", "{}"];
    let with = |more: &[&'static str]| [&context[..], more].concat();
    refused(&[], 2, "--context <JSON|@FILE>");
    refused(&with(&["--config", "two.toml"]), 2, "with --environment: one of first, second");
    refused(&with(&["--environment", "prod"]), 2, "there is no environment \"prod\", only shop");
    refused(
        &with(&["--flag", "chekout"]),
        2,
        "no flag \"chekout\" in shop; did you mean \"checkout\"?",
    );
    refused(&with(&["--now", "today"]), 2, "--now: \"today\" is no instant such as 2026-12-24T");
    refused(&with(&["--key-class", "both"]), 2, "[possible values: secret, publishable]");
    refused(&["--context", "company=1"], 2, "--context: this is not JSON: ");
    refused(&["--context", "[]"], 2, "--context: it must be a JSON object");
    refused(&["--context", "@absent"], 2, "--context: cannot read absent: No such file");
    folder.write("flags.json", r#"{"features":[{"key":"checkout","targeting":7}]}"#);
    refused(&with(&["--flag", "checkout"]), 1, "the flag \"checkout\" is quarantined: ");
    fs::remove_file(folder.path("flags.json")).unwrap();
    refused(&context, 1, "shop has no flags: cannot read flags.json: No such file");
}

// Status and health.

#[test]
fn status_and_healthcheck_of_a_server_that_is_ready() {
    let folder = Folder::with_flags();
    let serving = folder.serve().ready();
    let url = serving.admin_url();
    let said = folder.run(&["status", "--url", &url]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = said.out.lines().collect();
    let first = format!("burgee {} at {url}: ready, started 20", env!("CARGO_PKG_VERSION"));
    assert!(lines[0].starts_with(&first), "{}", lines[0]);
    assert_eq!(lines.len(), 4, "{}", said.out);
    let words: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!((&words[..3], &words[5..7]), (&["shop", "live", "7"][..], &["3", "0"][..]));
    assert_eq!(words[3], fingerprint(&folder.run(&["check"]).out));

    let json = folder.run(&["status", "--json", "--url", &url]);
    let document: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &document["environments"][0]["version"]), (Some(0), &Value::from(7)));

    for url in [url.clone(), serving.admin.clone(), format!("{url}/health/ready/shop")] {
        let said = folder.run(&["healthcheck", "--url", &url]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "ready\n", ""));
    }
    let port = serving.admin.rsplit_once(':').unwrap().1;
    let all_addresses = format!("0.0.0.0:{port}");
    let said = folder.run_with(&[("BURGEE_ADMIN_LISTEN", &all_addresses)], &["healthcheck"]);
    assert_eq!(said.out, "ready\n", "the variable wins over the file");
    folder.write("other.toml", &format!("admin.listen = \"{all_addresses}\"\n"));
    for verb in ["status", "healthcheck"] {
        assert_eq!(folder.run(&[verb, "--config", "other.toml"]).code, Some(0));
        assert_eq!(folder.run_with(&[("BURGEE_CONFIG", "other.toml")], &[verb]).code, Some(0));
    }
    let said = folder.run(&["healthcheck"]);
    assert_eq!(said.code, Some(1));
    contains(&said.out, &["not ready: admin.listen has port 0", "say --url"]);
}

#[test]
fn a_unix_socket_is_asked_too() {
    let folder = Folder::with_flags();
    let socket = format!("unix:{}", folder.path("admin.sock").display());
    let variables = [("BURGEE_ADMIN_LISTEN", socket.as_str())];
    let _serving = folder.serve_with(&variables, &[]).ready();
    assert_eq!(folder.run(&["healthcheck", "--url", &socket]).out, "ready\n");
    let said = folder.run_with(&variables, &["status"]);
    assert_eq!(said.code, Some(0));
    contains(&said.out, &[&format!(" at {socket}: ready, "), "\nshop "]);
}

#[test]
fn status_names_what_has_to_be_mended() {
    let folder = Folder::with_flags();
    folder.write(
        "flags.json",
        r#"{"flagStateVersion":1,"features":[{"key":"bad\u001b[2J","targeting":7}]}"#,
    );
    let serving = folder.serve().ready();
    let url = serving.admin_url();
    let said = folder.run(&["status", "--url", &url]);
    assert_eq!(said.code, Some(0));
    contains(&said.out, &["\nshop: 1 flag quarantined\n  bad\\u{1b}[2J: ", " (since 20"]);
    fs::remove_file(folder.path("flags.json")).unwrap();
    serving.wait_for("live->cached");
    let said = folder.run(&["status", "--url", &url]);
    assert_eq!(said.code, Some(0), "it has data");
    contains(
        &said.out,
        &[
            "shop         cached  1 ",
            "\nshop: ",
            " since the last good look at the file flags.json\n",
            " network: cannot read flags.json: No such file",
        ],
    );
}

#[test]
fn a_server_without_data_is_not_ready() {
    let folder = Folder::new();
    folder.write("burgee.toml", &config(""));
    let serving = folder.serve();
    let url = serving.admin_url();
    let said = folder.run(&["healthcheck", "--url", &url]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), "not ready: shop is empty\n"));
    let of_one = format!("{url}/health/ready/shop");
    let said = folder.run(&["healthcheck", "--url", &of_one]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), "not ready: the environment is empty\n"));
    let said = folder.run(&["status", "--url", &url]);
    assert_eq!(said.code, Some(1));
    contains(&said.out, &[": NOT READY, ", "\nshop         empty  0 "]);
    // The log says so by itself, with the cause: nobody has to ask for the status to find it.
    let line = serving.wait_for("state=empty ");
    contains(&line, &["environment=shop", "flags.json", "No such file or directory"]);
}

#[test]
fn nobody_to_ask_says_what_to_do() {
    let folder = Folder::new();
    let url = format!("http://127.0.0.1:{}", free_port());
    let said = folder.run(&["status", "--url", &url]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    let start = format!("cannot ask {url}: Connection refused");
    assert!(said.err.starts_with(&start), "{}", said.err);
    contains(&said.err, &["is Burgee running?", "--url, --config or BURGEE_ADMIN_LISTEN"]);
    let said = folder.run(&["healthcheck", "--url", &url]);
    assert_eq!((said.code, said.out.lines().count(), said.err.as_str()), (Some(1), 1, ""));
    assert!(said.out.starts_with(&format!("not ready: {start}")), "{}", said.out);
    let said = folder.run(&["status", "--url", "https://127.0.0.1"]);
    assert_eq!(said.code, Some(2));
    contains(&said.err, &["--url: \"https://127.0.0.1\" is not http://HOST[:PORT] or unix:/PATH"]);
}

#[test]
fn whoever_answers_wrongly_or_not_at_all_is_given_up() {
    let folder = Folder::with_flags();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let said = folder.run(&["healthcheck", "--url", &url]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.out, format!("not ready: cannot ask {url}: no answer within 3s\n"));
    let serving = folder.serve().ready();
    let public = format!("http://{}", serving.public);
    let said = folder.run(&["status", "--url", &public]);
    assert_eq!(said.code, Some(1));
    contains(&said.err, &[&format!("{public} answered 404 "), "is this the admin port"]);
}

#[test]
fn the_admin_token_comes_from_its_variable() {
    let folder = Folder::with_flags();
    let token = ("BURGEE_ADMIN_TOKEN", TOKEN);
    let serving = folder.serve_with(&[token], &[]).ready();
    let url = serving.admin_url();
    let status = ["status", "--url", &url];
    assert_eq!(folder.run_with(&[token], &status).code, Some(0));
    let said = folder.run_with(&[("BURGEE_ADMIN_TOKEN", "another-one-0123456789")], &status);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    contains(&said.err, &["has another token: set BURGEE_ADMIN_TOKEN"]);
}

// Serve.

#[test]
fn a_bad_configuration_ends_the_start_before_anything_is_bound() {
    let folder = Folder::with_flags();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // Whoever tried to bind would fail with another message and another exit code.
    folder.write(
        "burgee.toml",
        &config("").replacen("127.0.0.1:0", &address, 1).replace("shop", "a b"),
    );
    let said = folder.run(&["serve"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(
        said.err.starts_with("burgee.toml:8: environments[0].name: found \"a b\""),
        "{}",
        said.err
    );
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let folder = Folder::with_flags();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for variable in ["BURGEE_LISTEN", "BURGEE_ADMIN_LISTEN"] {
        let said = folder.run_with(&[(variable, &address)], &["serve"]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
        let what = format!("cannot listen on {address}: Address already in use");
        contains(&said.err, &["ERROR", &what, variable]);
    }
}

#[test]
fn variables_alone_are_enough_to_serve() {
    let folder = Folder::with_flags();
    fs::remove_file(folder.path("burgee.toml")).unwrap();
    let variables = [
        ("BURGEE_SOURCE", "file"),
        ("BURGEE_SOURCE_PATH", "flags.json"),
        ("BURGEE_PUBLISHABLE_KEYS", PUBLISHABLE),
        ("BURGEE_LISTEN", "127.0.0.1:0"),
        ("BURGEE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("BURGEE_LOG", "json"),
    ];
    let mut check = folder.run_with(&variables, &["check"]);
    assert_eq!(check.code, Some(0));
    check.out.truncate(check.out.find('\n').unwrap());
    assert_eq!(check.out, "environment variables: no problems");
    let mut command = folder.command(&["serve"]);
    let text = [&variables[..5], &[("BURGEE_LOG", "text")]].concat();
    let serving = Serving::start(command.envs(text)).ready();
    let key = format!("Authorization: Bearer {PUBLISHABLE}\r\n");
    let reply = ask(serving.public, "GET /features/enabled", &key, "");
    assert_eq!(reply.status, 200, "{}", reply.body);
    contains(&serving.ask_admin("GET /status").body, &["\"name\":\"default\""]);
}

#[test]
fn either_signal_drains_and_a_request_in_flight_is_answered() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::with_flags();
        let serving = folder.serve().ready();
        let body = r#"[{"type":"user","userId":"1"}]"#;
        let (first, rest) = body.split_at(10);
        let mut stream = TcpStream::connect(serving.public).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "POST /bulk HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {PUBLISHABLE}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\n\r\n",
            body.len()
        )
        .unwrap();
        // The server asks for the body, so the request has begun.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(first.as_bytes()).unwrap();
        serving.signal(signal);
        serving.wait_for("draining");
        let health = folder.run(&["healthcheck", "--url", &serving.admin_url()]);
        assert_eq!(
            (health.code, health.out.as_str()),
            (Some(1), "not ready: the process is ending\n")
        );
        stream.write_all(rest.as_bytes()).unwrap();
        let reply = read_reply(stream);
        assert_eq!((reply.status, reply.body.as_str()), (200, "{\"success\":true}"));
        let (status, written) = serving.end();
        assert_eq!(status.code(), Some(0), "{written}");
        contains(&written, &[" stopped\n"]);
    }
}

#[test]
fn a_log_that_nobody_reads_does_not_end_the_server() {
    let folder = Folder::new();
    let variables = ["BURGEE_LISTEN", "BURGEE_ADMIN_LISTEN", "BURGEE_ORIGIN_LISTEN"];
    let variables = variables.map(|variable| (variable, "127.0.0.1:0"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = folder.command(&["serve", "--demo"]);
    let command = command.envs(variables).env("TMPDIR", folder.0.path());
    let mut child = command.stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let line = out.lines().map_while(Result::ok).find(|line| line.contains("/status")).unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let url = url.strip_suffix("/status").unwrap();
    let said = folder.run(&["status", "--url", url]);
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    contains(&said.out, &["\ndemo "]);
}

// An upstream.

/// A flag that is on, and one that is secret.
fn upstream() -> Upstream {
    let on = json!([{"filter": {"type": "constant", "value": true}}]);
    let flag = |key| json!({"key": key, "targeting": {"version": 1, "rules": on}});
    Upstream::serving(Document::empty(412).flag(flag("open")).secret_flag(flag("hidden")))
}

#[test]
fn variables_alone_put_it_between_a_service_and_the_keys_of_its_clients() {
    let (folder, upstream) = (Folder::new(), upstream());
    let url = upstream.url();
    let variables = [
        ("BURGEE_LISTEN", "127.0.0.1:0"),
        ("BURGEE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("BURGEE_SOURCE", "reflag"),
        ("BURGEE_SOURCE_URL", url.as_str()),
        ("BURGEE_SOURCE_KEY", fake_upstream::SECRET_KEY),
        ("BURGEE_PUBLISHABLE_KEYS", fake_upstream::PUBLISHABLE_KEY),
    ];
    let serving = folder.serve_with(&variables, &[]).ready();
    for (key, flags) in [
        (fake_upstream::PUBLISHABLE_KEY, &["open"][..]),
        (fake_upstream::SECRET_KEY, &["open", "hidden"]),
    ] {
        let key = format!("Authorization: Bearer {key}\r\n");
        let reply = ask(serving.public, "GET /features/evaluated", &key, "");
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status, &body["flagStateVersion"]), (200, &json!(412)));
        let seen: Vec<&String> = body["features"].as_object().unwrap().keys().collect();
        assert_eq!(seen, flags);
    }
    serving.signal("TERM");
    let (status, written) = serving.end();
    assert_eq!(status.code(), Some(0));
    for key in [fake_upstream::SECRET_KEY, fake_upstream::PUBLISHABLE_KEY] {
        assert!(!written.contains(key), "{written}");
    }
}

#[test]
fn a_proxy_key_alone_puts_it_between_flagsmith_and_the_keys_of_all_environments() {
    let (folder, upstream) = (Folder::new(), Upstream::serving(Document::empty(0)));
    upstream.list(&[Listed::new(30, "prod"), Listed::new(31, "staging")]);
    let url = format!("{}/api/v1/", upstream.url());
    let variables = [
        ("BURGEE_LISTEN", "127.0.0.1:0"),
        ("BURGEE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("API_URL", url.as_str()),
        ("PROXY_KEY", PROXY_KEY),
    ];
    let said = folder.run_with(&variables, &["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(
        &said.out,
        &[
            "\ndiscover discovered\n  at most 100 environments\n  from http://127.0.0.1:",
            "/api/v1, not asked (--online asks)\n",
            "  100 upstreams x 3 x 256 MiB, the longest that is taken\n",
            "  limits.waiters_per_environment 1,000 x 100 environments x 512 B\n",
            "  1 discover x (20 x 4 MiB + 20,000 entries x 2 KiB)\n",
        ],
    );
    let online = folder.run_with(&variables, &["check", "--online"]);
    assert_eq!((online.code, online.err.as_str()), (Some(0), ""));
    contains(&online.out, &["  2 environments in the list\n    30: prod\n    31: staging\n"]);
    let wrong =
        variables.map(|(name, text)| (name, if name == "PROXY_KEY" { "pear" } else { text }));
    let refused = folder.run_with(&wrong, &["check", "--online"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
    contains(
        &refused.err,
        &[
            "API_URL: found an upstream that gives no list: ",
            "401 Unauthorized: it refuses the key",
        ],
    );

    let serving = folder.serve_with(&variables, &[]).ready();
    for name in ["prod", "staging"] {
        for key in [format!("client-{name}"), format!("ser.{name}")] {
            let key = format!("X-Environment-Key: {key}\r\n");
            let served = || {
                let reply = ask(serving.public, "GET /api/v1/flags/", &key, "");
                (reply.status == 200 && reply.body.contains(name)).then_some(())
            };
            let found = (0..1_000).find_map(|_| {
                std::thread::sleep(Duration::from_millis(5));
                served()
            });
            assert!(found.is_some(), "{name} is served");
        }
    }
    let admin = format!("http://{}", serving.admin);
    let status = folder.run(&["status", "--url", &admin]);
    assert_eq!(status.code, Some(0), "{}", status.err);
    contains(
        &status.out,
        &["\ndiscovered/35/prod ", "\ndiscover discovered: 2 environments from http://127.0.0.1:"],
    );
    serving.signal("TERM");
    let (code, written) = serving.end();
    assert_eq!(code.code(), Some(0));
    for text in [written, said.out, online.out, refused.err, status.out] {
        for key in [PROXY_KEY, "pear", "client-prod", "ser.prod", "ser.staging"] {
            assert!(!text.contains(key), "{key} in {text}");
        }
    }
}

#[test]
fn a_node_sdk_that_listens_to_another_stream_is_hinted_at_once() {
    let (folder, upstream) = (Folder::new(), upstream());
    let source = format!(
        "[[environments]]\nname = \"edge\"\nsource = {{ type = \"reflag\", url = {:?}, secret_key = {:?} }}\n",
        upstream.url(),
        fake_upstream::SECRET_KEY,
    );
    let listen = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    fs::write(folder.path("burgee.toml"), format!("{listen}{source}")).unwrap();
    let serving = folder.serve().ready();
    let key = format!("Authorization: Bearer {}\r\n", fake_upstream::SECRET_KEY);
    let sdk = format!("{key}reflag-sdk-version: node-sdk/1.7.1\r\n");
    // Others may ask for whatever version; this SDK only for one that it heard of. It is not here, and
    // nobody listens here. It is so far ahead that nobody is held for it.
    for (headers, request) in [
        (&key, "GET /features?waitForVersion=5000000"),
        (&sdk, "GET /features"),
        (&sdk, "GET /features?waitForVersion=412"),
        (&sdk, "GET /features?waitForVersion=5000000"),
        (&sdk, "GET /features?waitForVersion=5000000"),
    ] {
        assert_eq!(ask(serving.public, request, headers, "").status, 200);
    }
    serving.signal("TERM");
    let (_, written) = serving.end();
    assert_eq!(written.matches("flagsPushUrl").count(), 1, "{written}");
}

#[test]
fn status_tells_whether_there_is_an_event_stream_and_why_not() {
    let (folder, upstream) = (Folder::new(), upstream());
    let url = upstream.url();
    let variables = [
        ("BURGEE_SOURCE", "reflag"),
        ("BURGEE_SOURCE_URL", url.as_str()),
        ("BURGEE_SOURCE_KEY", fake_upstream::SECRET_KEY),
        ("BURGEE_LISTEN", "127.0.0.1:0"),
        ("BURGEE_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    let told = |log: &str| {
        let serving = folder.serve_with(&variables, &[]);
        serving.wait_for(log);
        folder.run(&["status", "--url", &serving.admin_url()])
    };
    let said = told("stream=connected");
    contains(&said.out, &[" QUARANTINED  STREAM     CHANGED\n", " 0            connected  20"]);
    assert!(!said.out.contains("event stream"), "{}", said.out);
    upstream.answer("/sse/server", fake_upstream::Reply::status(404));
    let said = told("the upstream has no event stream");
    let reason =
        format!("{url}/sse/server answered 404 Not Found: the upstream has no event stream\n");
    contains(
        &said.out,
        &[" off     20", "\ndefault: event stream off, changes are found by polling\n", &reason],
    );
}

#[test]
fn check_asks_an_upstream_only_when_it_is_told_to() {
    let (folder, upstream) = (Folder::new(), upstream());
    let url = upstream.url();
    let variables = [
        ("BURGEE_SOURCE", "reflag"),
        ("BURGEE_SOURCE_URL", url.as_str()),
        ("BURGEE_SOURCE_KEY", fake_upstream::SECRET_KEY),
        ("BURGEE_PUBLISHABLE_KEYS", fake_upstream::PUBLISHABLE_KEY),
    ];
    let said = folder.run_with(&variables, &["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(&said.out, &["not asked (--online asks)"]);
    assert!(upstream.requests().is_empty());
    let said = folder.run_with(&variables, &["check", "--online"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    contains(&said.out, &["412"]);
    let said = folder.run_with(&variables, &["explain", "--context", "{}", "--flag", "open"]);
    contains(&said.out, &["open is ON", "visible to publishable keys"]);
    upstream.answer("/features", fake_upstream::Reply::error(403, "INVALID_API_KEY", "no"));
    let said = folder.run_with(&variables, &["check", "--online"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    contains(&said.err, &["BURGEE_SOURCE_KEY: found an upstream that gives no flags", "403"]);
    assert!(!said.err.contains(fake_upstream::SECRET_KEY));
}

// The demo.

#[test]
fn the_demo_says_how_to_ask_it_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let temporary = folder.0.path().to_str().unwrap();
    let variables = [
        ("BURGEE_LISTEN", "127.0.0.1:0"),
        ("BURGEE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("BURGEE_ORIGIN_LISTEN", "127.0.0.1:0"),
        ("TMPDIR", temporary),
    ];
    let serving = folder.serve_with(&variables, &["--demo"]).ready().ready();
    let [unpacked] = &entries(folder.0.path())[..] else { panic!("one folder") };
    assert_eq!(fs::metadata(unpacked).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(unpacked.join("demo-flags.json").exists() && unpacked.join("origin.db").exists());
    let reply = ask(
        serving.public,
        "GET /features/evaluated?key=new-checkout&context.company.id=acme-corp",
        "Authorization: Bearer pub_demo\r\n",
        "",
    );
    contains(&reply.body, &["\"isEnabled\":true"]);
    let (public, admin) = (serving.public, serving.admin.clone());
    let note = serving.note();
    let exported = |name: &str| {
        let (_, rest) = note.split_once(&format!(" {name}=")).unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let origin = exported("ORIGIN");
    let origin = origin.strip_prefix("http://").unwrap().parse().unwrap();
    let bearer = |name: &str| format!("Authorization: Bearer {}\r\n", exported(name));
    let flag = "GET /features/evaluated?key=new-checkout-flow&context.company.id=acme-corp";
    for key in ["PUBLISHABLE_KEY", "SECRET_KEY"] {
        contains(&ask(public, flag, &bearer(key), "").body, &["\"isEnabled\":false"]);
    }
    let path = format!(
        "/api/apps/{}/envs/{}/companies/acme-corp/flags",
        exported("APP_ID"),
        exported("ENV_ID")
    );
    contains(&note, &[&format!(" 'http://{origin}{path}'\n")]);
    let update = r#"{"updates":[{"flagKey":"new-checkout-flow","specificTargetValue":true}]}"#;
    contains(&note, &[&format!(" -d '{update}' ")]);
    let changed = ask(origin, &format!("PATCH {path}"), &bearer("API_KEY"), update);
    assert_eq!(changed.status, 200, "{}", changed.body);
    let changed: Value = serde_json::from_str(&changed.body).unwrap();
    let waiting = format!("{flag}&waitForVersion={}", changed["flagStateVersion"]);
    let reply = ask(public, &waiting, &bearer("PUBLISHABLE_KEY"), "");
    contains(&reply.body, &["\"isEnabled\":true"]);
    serving.signal("TERM");
    let (status, written) = serving.end();
    assert_eq!(status.code(), Some(0));
    contains(
        &written,
        &[
            "  publishable key  pub_demo\n",
            "  secret key       sec_demo_0123456789abcdef01\n",
            &format!("  flags            {}/demo-flags.json\n", unpacked.display()),
            &format!(
                "  curl -H 'Authorization: Bearer pub_demo' 'http://{public}/features/evaluated\
                 ?key=new-checkout&context.company.id=acme-corp'\n"
            ),
            &format!("'http://{public}/features'\n"),
            &format!(" http://{admin}/status "),
            &format!("It is kept in {}/origin.db, which is gone when", unpacked.display()),
        ],
    );
    assert!(entries(folder.0.path()).is_empty());
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_demo_that_cannot_be_written_says_where_it_wanted_to() {
    let folder = Folder::new();
    let said = folder.run_with(&[("TMPDIR", "/nowhere/at-all")], &["serve", "--demo"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert_eq!(
        said.err,
        "the demo cannot write its flags below /nowhere/at-all: No such file or directory (os \
         error 2); set TMPDIR to a folder that can be written to, or serve flags of your own with \
         --config FILE\n"
    );
}

// Keys.

#[test]
fn no_output_of_any_command_shows_a_key() {
    let folder = Folder::with_flags();
    let variables = [("BURGEE_LOG", "trace"), ("BURGEE_ADMIN_TOKEN", TOKEN)];
    let serving = folder.serve_with(&variables, &[]).ready();
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    let mut seen = String::new();
    let evaluated = "GET /features/evaluated?context.company.id=1";
    for (request, headers) in [
        (evaluated.to_owned(), bearer(PUBLISHABLE)),
        (evaluated.to_owned(), bearer(SECRET)),
        (evaluated.to_owned(), bearer(&format!("{SECRET}x"))),
        ("GET /features".to_owned(), bearer(SECRET)),
        ("GET /features".to_owned(), bearer(PUBLISHABLE)),
        (format!("{evaluated}&publishableKey={PUBLISHABLE}"), String::new()),
        (format!("{evaluated}&publishableKey={SECRET}"), String::new()),
        (format!("GET /nowhere/{SECRET}"), String::new()),
    ] {
        seen += &ask(serving.public, &request, &headers, "").body;
    }
    let admin = serving.admin.parse().unwrap();
    let question = format!("{{\"environment\":\"shop\",\"context\":{CONTEXT}}}");
    seen += &ask(admin, "POST /explain", &bearer(TOKEN), &question).body;
    seen += &ask(admin, "GET /status", &bearer(TOKEN), "").body;
    seen += &ask(admin, "GET /status", &bearer("wrong"), "").body;
    seen += &serving.ask_admin("GET /metrics").body;
    let url = serving.admin_url();
    for arguments in [
        &["check"][..],
        &["explain", "--context", CONTEXT],
        &["explain", "--context", CONTEXT, "--json"],
        &["status", "--url", &url],
        &["status", "--url", &url, "--json"],
        &["healthcheck", "--url", &url],
    ] {
        let said = folder.run_with(&variables, arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        seen = seen + &said.out + &said.err;
    }
    // A second environment with the same keys, and a line that is not TOML.
    let twice = format!("{}{}", config(""), config("").split_once("\n\n").unwrap().1);
    for broken in [twice, format!("secret_keys = [\"{SECRET}\"")] {
        folder.write("broken.toml", &broken);
        let said = folder.run(&["check", "--config", "broken.toml"]);
        assert_eq!(said.code, Some(2), "{}", said.out);
        seen = seen + &said.out + &said.err;
    }
    serving.signal("TERM");
    seen += &serving.end().1;
    contains(&seen, &["rotate the key", "burgee_http_requests_total", "fingerprint", "[redacted]"]);
    for key in [PUBLISHABLE, SECRET, TOKEN] {
        assert!(!seen.contains(key), "{key} in:\n{seen}");
    }
}
