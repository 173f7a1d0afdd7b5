//! Finds what a command works on: the configuration, or the admin port of a process that runs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::client::Endpoint;
use crate::config::{
    ENVIRONMENT_VARIABLES, Listen, Problems, ProcessSurroundings, Settings, Surroundings,
};

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct ConfigArgument {
    #[arg(long, value_name = "FILE")]
    #[arg(help = "Configuration file [default: $BURGEE_CONFIG, else ./burgee.toml]")]
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
            None if ENVIRONMENT_VARIABLES.into_iter().any(|name| variable(name).is_some()) => {
                let settings = Settings::load(None, &ProcessSurroundings);
                settings.map(|settings| Configuration { file: None, settings })
            }
            None => return Ok(None),
        };
        settings.map(Some).map_err(usage)
    }

    /// The file that counts, if there is one.
    fn read(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let named = self.config.clone().or_else(|| variable("BURGEE_CONFIG").map(PathBuf::from));
        let implied = Path::new("burgee.toml");
        let Some(path) = named.or_else(|| implied.exists().then(|| implied.to_owned())) else {
            return Ok(None);
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) => Err(Failure::Usage(format!("cannot read {}: {error}", path.display()))),
        }
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
            // Whoever names the process may have meant one that the file's token is not for.
            let token = variable("BURGEE_ADMIN_TOKEN");
            let endpoint =
                Endpoint::parse(url).map_err(|error| Failure::Usage(format!("--url: {error}")))?;
            return Ok(Admin { endpoint, token });
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

/// A variable of this process; an empty one counts as not set.
fn variable(name: &str) -> Option<String> {
    ProcessSurroundings.variable(name).filter(|text| !text.trim().is_empty())
}

#[expect(clippy::needless_pass_by_value, reason = "stands where `map_err` wants a function")]
fn usage(problems: Problems) -> Failure {
    Failure::Usage(problems.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
