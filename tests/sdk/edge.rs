//! Burgee with rules of either vendor in a file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Burgee, Programs, until};

/// Keys in the form that each vendor's SDKs want, of one environment.
pub(crate) const REFLAG_KEYS: [&str; 2] =
    ["pub_edge_0123456789abcdef", "sec_edge_0123456789abcdef"];
pub(crate) const FLAGSMITH_KEYS: [&str; 2] = ["EdgeClientKey0", "ser.edge_0123456789abcdef"];

/// Whose rules they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    Reflag,
    Flagsmith,
}

impl Rules {
    /// The file's form, as the configuration names it.
    fn format(self) -> &'static str {
        match self {
            Self::Reflag => "reflag",
            Self::Flagsmith => "flagsmith",
        }
    }
}

/// A running server and its file of rules. Both end with the test.
pub(crate) struct Edge {
    pub(crate) burgee: Burgee,
    folder: TempDir,
}

impl Edge {
    /// Waits until Burgee serves the document.
    pub(crate) fn serving(rules: Rules, document: &Value) -> Self {
        Self::with_settings(rules, document, "")
    }

    /// The same, with more tables of the environment.
    pub(crate) fn with_settings(rules: Rules, document: &Value, settings: &str) -> Self {
        Self::start(rules, document, None, settings)
    }

    /// The same, with one more publishable key.
    pub(crate) fn with_key(rules: Rules, document: &Value, key: &str) -> Self {
        Self::start(rules, document, Some(key), "")
    }

    fn start(rules: Rules, document: &Value, key: Option<&str>, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("the system has a place for temporary files");
        write(folder.path(), document);
        let of_class = |class: usize| vec![REFLAG_KEYS[class], FLAGSMITH_KEYS[class]];
        let (mut publishable, secret, format) = (of_class(0), of_class(1), rules.format());
        publishable.extend(key);
        let environment = format!(
            "[[environments]]\nname = \"shop\"\npublishable_keys = {publishable:?}\n\
             secret_keys = {secret:?}\n[environments.source]\ntype = \"file\"\n\
             path = \"rules.json\"\nformat = {format:?}\npoll_interval = \"50ms\"\n{settings}",
        );
        let edge = Self { burgee: Burgee::start(folder.path(), &environment), folder };
        until("the rules", || edge.version());
        edge
    }

    /// Puts another document in the place of the first, and waits until Burgee serves it.
    pub(crate) fn publish(&self, document: &Value) {
        let before = self.version();
        write(self.folder.path(), document);
        until("other rules", || (self.version() != before).then_some(()));
    }

    /// Ends the server, and with it all event streams, and starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.burgee.restart();
        until("the rules", || self.version());
    }

    fn version(&self) -> Option<u64> {
        self.burgee.version(REFLAG_KEYS[0])
    }

    /// Runs a program, which is told where Burgee is, and more; what it saw.
    #[track_caller]
    pub(crate) fn run(&self, programs: &Programs, program: &str, more: &Value) -> Value {
        programs.start(program, &self.told(more)).seen_in_the_end()
    }

    /// Runs a program, and publishes another document when it waits for that; what it saw before
    /// and in the end.
    #[track_caller]
    pub(crate) fn run_with_change(
        &self,
        programs: &Programs,
        program: &str,
        more: &Value,
        document: &Value,
    ) -> (Value, Value) {
        let mut program = programs.start(program, &self.told(more));
        let before = program.seen();
        self.publish(document);
        program.go_on();
        (before, program.seen_in_the_end())
    }

    /// What a program is told: where Burgee is, and more.
    pub(crate) fn told(&self, more: &Value) -> Value {
        let mut told = json!({"url": self.burgee.url()});
        let more = more.as_object().expect("programs are told members");
        told.as_object_mut().expect("it is an object").extend(more.clone());
        told
    }
}

/// By a rename, so that nobody sees half of it.
fn write(folder: &Path, document: &Value) {
    let new = folder.join("new.json");
    fs::write(&new, document.to_string()).expect("the folder is ours");
    fs::rename(new, folder.join("rules.json")).expect("both are in one folder");
}
