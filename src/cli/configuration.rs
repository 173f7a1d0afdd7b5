//! Finds what a command works on: the configuration, or the admin port of a process that runs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::client::Endpoint;
use crate::config::{
    Listen, Problems, ProcessSurroundings, Settings, Surroundings, has_environment_in_variables,
    has_key_pairs_in_variables,
};

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct ConfigArgument {
    #[arg(long, value_name = "FILE")]
    #[arg(help = "Configuration file: TOML, or config.json of a Flagsmith Edge Proxy [default: \
                  $BURGEE_CONFIG, else ./burgee.toml, else $CONFIG_PATH, else /app/config.json]")]
    config: Option<PathBuf>,
}

/// The settings, with the name of the file that they were read from.
pub(super) struct Configuration {
    /// None when variables alone describe what to serve.
    pub(super) file: Option<PathBuf>,
    pub(super) settings: Settings,
}

const WITHOUT_A_FILE: &str = "there is no configuration: name one with --config FILE or \
    BURGEE_CONFIG, put burgee.toml into the present directory, or describe one environment with \
    BURGEE_SOURCE and its kin";

impl ConfigArgument {
    /// The configuration; all its problems when it has any.
    pub(super) fn load(&self) -> Result<Configuration, Failure> {
        let nothing = || Failure::Usage(WITHOUT_A_FILE.to_owned());
        self.find()?.ok_or_else(nothing)
    }

    /// The same; none when neither a file nor variables say anything.
    pub(super) fn find(&self) -> Result<Option<Configuration>, Failure> {
        let settings = match self.read()? {
            Some((path, text)) => {
                let settings = Settings::load(Some((&path, &text)), &ProcessSurroundings);
                settings.map(|settings| Configuration { file: Some(path), settings })
            }
            None if has_environment_in_variables(&ProcessSurroundings)
                || has_key_pairs_in_variables(&ProcessSurroundings) =>
            {
                let settings = Settings::load(None, &ProcessSurroundings);
                settings.map(|settings| Configuration { file: None, settings })
            }
            None => return Ok(None),
        };
        settings.map(Some).map_err(usage)
    }

    /// The file that counts, if there is one.
    fn read(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let found = search(self.config.as_deref(), &ProcessSurroundings, Path::exists);
        let Some(path) = found else { return Ok(None) };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) => Err(Failure::Usage(format!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// The file that counts: ours, and where nothing of ours says what to serve, one of Flagsmith's
/// Edge Proxy, where that looks for it.
fn search(
    named: Option<&Path>,
    surroundings: &dyn Surroundings,
    exists: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let variable = |name: &str| set_variable(surroundings, name).map(PathBuf::from);
    let implied = |path: &str| Some(PathBuf::from(path)).filter(|path| exists(path));
    let ours = named.map(Path::to_owned).or_else(|| variable("BURGEE_CONFIG"));
    if let Some(path) = ours.or_else(|| implied("burgee.toml")) {
        return Some(path);
    }
    if has_environment_in_variables(surroundings) {
        return None;
    }
    // Key pairs in variables need no file, so there it may be missing.
    let needs_file = !has_key_pairs_in_variables(surroundings);
    match variable("CONFIG_PATH") {
        Some(path) => Some(path).filter(|path| needs_file || exists(path)),
        None => implied("/app/config.json"),
    }
}

/// Which process is asked.
#[derive(Debug, Args)]
pub(super) struct AdminArgument {
    #[arg(long, value_name = "ADMIN_URL", conflicts_with = "config")]
    #[arg(help = "Admin port, http://HOST:PORT or unix:/PATH [default: admin.listen of the \
                  configuration, else http://127.0.0.1:8001]")]
    url: Option<String>,
    #[command(flatten)]
    config: ConfigArgument,
}

/// A process that can be asked.
pub(super) struct Admin {
    pub(super) endpoint: Endpoint,
    /// Opens what is closed to callers from elsewhere.
    pub(super) token: Option<String>,
}

impl AdminArgument {
    pub(super) fn find(&self) -> Result<Admin, Failure> {
        if let Some(url) = &self.url {
            return admin_at(url);
        }
        let file = self.config.read()?;
        let file = file.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
        let admin = Settings::load_admin(file, &ProcessSurroundings).map_err(usage)?;
        let token = admin.token.map(|token| token.expose().to_owned());
        let endpoint = match admin.listen {
            Listen::Unix(path) => Endpoint::unix(path),
            Listen::Tcp(address) if address.port() == 0 => {
                let what = "admin.listen has port 0, so the process has chosen a port of its own: \
                            take it from its first log line and say --url";
                return Err(Failure::Usage(what.to_owned()));
            }
            Listen::Tcp(address) => Endpoint::tcp(reachable(address)),
        };
        Ok(Admin { endpoint, token })
    }
}

/// The process that `--url` names.
pub(super) fn admin_at(url: &str) -> Result<Admin, Failure> {
    // Whoever names the process may have meant one that the file's token is not for.
    let token = variable("BURGEE_ADMIN_TOKEN");
    let endpoint =
        Endpoint::parse(url).map_err(|error| Failure::Usage(format!("--url: {error}")))?;
    Ok(Admin { endpoint, token })
}

/// From here, a process that listens on all addresses is on this machine's own.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A variable of this process.
fn variable(name: &str) -> Option<String> {
    set_variable(&ProcessSurroundings, name)
}

/// An empty variable counts as not set.
fn set_variable(surroundings: &dyn Surroundings, name: &str) -> Option<String> {
    surroundings.variable(name).filter(|text| !text.trim().is_empty())
}

#[expect(clippy::needless_pass_by_value, reason = "stands where `map_err` wants a function")]
fn usage(problems: Problems) -> Failure {
    Failure::Usage(problems.to_string())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Variables<'a>(&'a [(&'a str, &'a str)]);

    impl Surroundings for Variables<'_> {
        fn variable(&self, name: &str) -> Option<String> {
            let found = self.0.iter().find(|(set, _)| *set == name);
            found.map(|(_, text)| (*text).to_owned())
        }

        fn read_file(&self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn an_edge_proxys_file_counts_where_nothing_of_ours_does() {
        let all = ["burgee.toml", "/etc/config.json", "/app/config.json"];
        let burgee_config = ("BURGEE_CONFIG", "other.toml");
        let source = ("BURGEE_SOURCE", "file");
        let config_path = ("CONFIG_PATH", "/etc/config.json");
        let key_pairs = ("ENVIRONMENT_KEY_PAIRS", "[]");
        for (named, variables, files, found) in [
            (Some("named"), &[burgee_config, config_path][..], &all[..], Some("named")),
            (None, &[burgee_config, config_path], &all, Some("other.toml")),
            (None, &[config_path, source], &all, Some("burgee.toml")),
            (None, &[config_path, source], &all[1..], None),
            (None, &[config_path], &all[1..], Some("/etc/config.json")),
            (None, &[], &all[1..], Some("/app/config.json")),
            (None, &[("CONFIG_PATH", " ")], &all[1..], Some("/app/config.json")),
            (None, &[key_pairs], &all[1..], Some("/app/config.json")),
            (None, &[key_pairs, config_path], &all[1..], Some("/etc/config.json")),
            // Whoever names a file that is not there hears of it, unless variables suffice.
            (None, &[config_path], &[], Some("/etc/config.json")),
            (None, &[config_path, key_pairs], &[], None),
            (None, &[], &[], None),
        ] {
            let exists = |path: &Path| files.iter().any(|file| Path::new(file) == path);
            assert_eq!(
                search(named.map(Path::new), &Variables(variables), exists),
                found.map(PathBuf::from),
                "{named:?} {variables:?} {files:?}"
            );
        }
    }

    #[test]
    fn all_addresses_are_reached_at_this_machines_own() {
        for (listen, reached) in [
            ("0.0.0.0:8001", "127.0.0.1:8001"),
            ("[::]:8001", "[::1]:8001"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
