//! The demo: a shop's flags and a control plane, in the binary, so that a newcomer needs nothing else.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Failure;
use super::configuration::reachable;
use crate::app::App;
use crate::config::{ProcessSurroundings, Settings, Source};
use crate::origin::DemoAccess;

const CONFIG: &str = include_str!("../../config/demo.toml");
const FLAGS: &str = include_str!("../../config/demo-flags.json");
/// As in the configuration.
const PUBLISHABLE_KEY: &str = "pub_demo";
const SECRET_KEY: &str = "sec_demo_0123456789abcdef01";

/// The demo's flags on disk, where they can be edited while it runs; gone when it ends.
pub(super) struct Demo {
    folder: PathBuf,
}

impl Demo {
    /// Writes the flags into a new folder of our own.
    pub(super) fn unpack() -> Result<Self, Failure> {
        let above = std::env::temp_dir();
        let refused = |error: io::Error| {
            Failure::Refused(format!(
                "the demo cannot write its flags below {}: {error}; set TMPDIR to a folder that \
                 can be written to, or serve flags of your own with --config FILE",
                above.display()
            ))
        };
        let demo = Self { folder: new_folder(&above).map_err(refused)? };
        // Nothing is followed and nothing replaced: the folder is new, and only we can write to it.
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(demo.flags());
        file.and_then(|mut file| file.write_all(FLAGS.as_bytes())).map_err(refused)?;
        Ok(demo)
    }

    /// The demo's settings; variables win over them as over any file's.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let file = Some((Path::new("(demo)"), CONFIG));
        let mut settings = Settings::load(file, &ProcessSurroundings)
            .map_err(|problems| Failure::Usage(problems.to_string()))?;
        for environment in &mut settings.environments {
            if let Source::File(file) = &mut environment.source {
                file.path = self.flags();
            }
        }
        if let Some(origin) = &mut settings.origin {
            origin.database = self.folder.join("origin.db");
        }
        Ok(settings)
    }

    fn flags(&self) -> PathBuf {
        self.folder.join("demo-flags.json")
    }
}

/// What to try first: for whoever serves the demo, from this binary or from its file.
pub(super) struct Note {
    flags: Option<PathBuf>,
    database: PathBuf,
    /// Whether nothing of it is there any more when it ends.
    passes: bool,
}

impl Note {
    /// None when the configuration is not a demo's.
    pub(super) fn of(settings: &Settings, unpacked: Option<&Demo>) -> Option<Self> {
        let origin = settings.origin.as_ref().filter(|origin| origin.demo)?;
        let shop = settings.environments.iter().find(|environment| {
            environment.publishable_keys.iter().any(|key| key.expose() == PUBLISHABLE_KEY)
        });
        let flags = shop.and_then(|shop| match &shop.source {
            Source::File(file) => Some(file.path.clone()),
            _ => None,
        });
        Some(Self { flags, database: origin.database.clone(), passes: unpacked.is_some() })
    }

    /// The text.
    pub(super) fn text(&self, app: &App, origin: &str, access: &DemoAccess) -> String {
        let admin = Curl::of(&app.admin_address()).shown("/status");
        let public = app.address();
        let public = Curl::of(&public);
        let shop = self.flags.as_ref().map(|flags| shop(flags, &public)).unwrap_or_default();
        let control_plane = self.control_plane(&public, &Curl::of(origin), access);
        format!(
            "{shop}{control_plane}The admin port says how it goes: {admin} (and /metrics). Ctrl-C ends it.\n\n"
        )
    }

    fn control_plane(&self, public: &Curl<'_>, origin: &Curl<'_>, access: &DemoAccess) -> String {
        let DemoAccess { app, environment, publishable_key, secret_key, api_key } = access;
        let api_key = api_key.expose();
        let secret_key = secret_key.as_deref().unwrap_or("(cannot be shown: rotate it)");
        let database = self.database.display();
        let stays = if self.passes {
            "is gone when the demo ends".to_owned()
        } else {
            format!("stays when the demo ends (to begin anew: rm {database}*)")
        };
        let evaluated =
            public.line("/features/evaluated?key=new-checkout-flow&context.company.id=acme-corp");
        let change =
            origin.line(&format!("/api/apps/{app}/envs/{environment}/companies/acme-corp/flags"));
        format!(
            "\
Its own control plane is open, too: {management}
The app is demo, {app}, its environment production, {environment}. This is all that the other terminal needs:

  export ORIGIN={url} APP_ID={app} ENV_ID={environment}
  export PUBLISHABLE_KEY={publishable_key}
  export SECRET_KEY={secret_key}
  export API_KEY={api_key}

Ask for a flag, switch it on for this company, ask again:

  curl -H 'Authorization: Bearer {publishable_key}' {evaluated}
  curl -X PATCH -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' -d '{UPDATE}' {change}
  curl -H 'Authorization: Bearer {publishable_key}' {evaluated}

It is kept in {database}, which {stays}. The API key holds until the next start.

",
            management = origin.shown("/api"),
            url = origin.url(),
        )
    }
}

/// Switches the demo's flag on.
const UPDATE: &str = r#"{"updates":[{"flagKey":"new-checkout-flow","specificTargetValue":true}]}"#;

/// The keys are printed in every copy of this program, so they are no secret.
fn shop(flags: &Path, public: &Curl<'_>) -> String {
    format!(
        "\
The demo shop is open.

  publishable key  {PUBLISHABLE_KEY}
  secret key       {SECRET_KEY}
  flags            {}

  curl -H 'Authorization: Bearer {PUBLISHABLE_KEY}' {}
  curl -H 'Authorization: Bearer {SECRET_KEY}' {}

Edit the flags and ask again.

",
        flags.display(),
        public.line("/features/evaluated?key=new-checkout&context.company.id=acme-corp"),
        public.line("/features"),
    )
}

/// How an address is asked from this machine.
enum Curl<'a> {
    Http(String),
    Unix(&'a str),
}

impl<'a> Curl<'a> {
    fn of(address: &'a str) -> Self {
        match (address.strip_prefix("unix:"), address.parse::<SocketAddr>()) {
            (Some(path), _) => Self::Unix(path),
            (None, Ok(address)) => Self::Http(format!("http://{}", reachable(address))),
            (None, Err(_)) => Self::Http(format!("http://{address}")),
        }
    }

    /// The arguments of curl.
    fn line(&self, path: &str) -> String {
        match self {
            Self::Http(url) => format!("'{url}{path}'"),
            Self::Unix(socket) => format!("--unix-socket '{socket}' 'http://localhost{path}'"),
        }
    }

    /// What a program takes for a base URL; for a socket there is none.
    fn url(&self) -> &str {
        match self {
            Self::Http(url) => url,
            Self::Unix(_) => "http://localhost",
        }
    }

    fn shown(&self, path: &str) -> String {
        match self {
            Self::Http(url) => format!("{url}{path}"),
            Self::Unix(_) => format!("curl {}", self.line(path)),
        }
    }
}

/// A folder that did not exist before and that nobody else can look into. Its name cannot be
/// guessed, and nothing that waits under it is followed.
fn new_folder(above: &Path) -> io::Result<PathBuf> {
    loop {
        let name = format!("burgee-demo-{:016x}", getrandom::u64().map_err(io::Error::other)?);
        let folder = above.join(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The origin's database is closed by other threads, and what it removes by itself may be in
        // the way of who removes all.
        for _ in 0..3 {
            match std::fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_flags_lie_in_a_new_folder_of_our_own_and_go_with_it() {
        let demo = Demo::unpack().unwrap();
        let (folder, flags) = (demo.folder.clone(), demo.flags());
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(flags.metadata().unwrap().mode() & 0o777, 0o600);
        assert_ne!(Demo::unpack().unwrap().folder, folder);
        drop(demo);
        assert!(!folder.exists());
    }

    #[test]
    fn the_keys_that_are_shown_are_the_demos() {
        let settings = Demo::unpack().unwrap().settings().unwrap();
        let [environment, _] = &settings.environments[..] else { panic!("two environments") };
        assert_eq!(environment.publishable_keys[0].expose(), PUBLISHABLE_KEY);
        assert_eq!(environment.secret_keys[0].expose(), SECRET_KEY);
    }

    #[test]
    fn curl_is_told_the_way_from_this_machine() {
        assert_eq!(Curl::of("0.0.0.0:8000").line("/a"), "'http://127.0.0.1:8000/a'");
        let socket = Curl::of("unix:/run/burgee.sock");
        assert_eq!(socket.line("/a"), "--unix-socket '/run/burgee.sock' 'http://localhost/a'");
    }
}
