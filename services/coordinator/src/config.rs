//! What a coordinator is told once, by flags, the environment or the program around it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use farloop_store::disk::RealDisk;
use farloop_store::{Journal, JournalOptions, Store, StoreError};

use crate::auth::{TokenError, Tokens};

/// Where a coordinator listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7171";

/// Opens a store, on the thread that then reads its records: both may take their time.
pub type OpenStore = Box<dyn FnOnce() -> Result<Box<dyn Store>, StoreError> + Send>;

/// How a coordinator is set up. The default listens on loopback, port 7171, with everything in memory.
pub struct Config {
    /// `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Who may do what. Needed beyond loopback.
    pub tokens: Tokens,
    /// Limits and times of the core. Its seed should be random: ids come from submitters.
    pub core: farloop_core::api::Config,
    /// Where records go; none: nowhere, a restart forgets them. See [`Config::keeping_in`].
    pub store: Option<OpenStore>,
    /// How long a stop waits for running tasks and for connections to end.
    pub stop_within: Duration,
    /// Connections that are kept open at once; one above that is told so and closed.
    pub connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        // The standard library's own source of hash seeds: unpredictable, which is all that is needed.
        let seed = RandomState::new().build_hasher().finish();
        Self {
            listen: DEFAULT_LISTEN.into(),
            tokens: Tokens::default(),
            core: farloop_core::api::Config { seed, ..Default::default() },
            store: None,
            stop_within: Duration::from_secs(10),
            connections: farloop_core::limits::CONNECTIONS,
        }
    }
}

impl Config {
    /// Keeps the records of tasks in that directory, which is made if it is not there. No other process may have it
    /// open. It is opened when the coordinator serves.
    #[must_use]
    pub fn keeping_in(self, dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        let open = move || {
            let opening = |source| StoreError::Io { what: format!("opening {}", dir.display()), source };
            let disk = RealDisk::new(&dir).map_err(opening)?;
            Ok(Box::new(Journal::open(disk, JournalOptions::default())?) as Box<dyn Store>)
        };
        Self { store: Some(Box::new(open)), ..self }
    }

    /// Keeps the records of tasks in that store.
    #[must_use]
    pub fn keeping_with(self, store: impl Store + 'static) -> Self {
        Self { store: Some(Box::new(move || Ok(Box::new(store)))), ..self }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("tokens", &self.tokens)
            .field("core", &self.core)
            .field("store", &self.store.as_ref().map(|_| "not open yet"))
            .field("stop_within", &self.stop_within)
            .field("connections", &self.connections)
            .finish()
    }
}

/// Flags of a coordinator process, and the environment behind each.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// Where to listen, as host:port; port 0 takes a free one and prints it
    #[arg(long, env = "FARLOOP_LISTEN", default_value = DEFAULT_LISTEN)]
    listen: String,
    /// Listen on loopback at this port (short for --listen 127.0.0.1:PORT)
    #[arg(long, env = "FARLOOP_PORT")]
    port: Option<u16>,
    /// File with the bearer token that callers must send; lines of "client TOKEN", "worker TOKEN", "operator TOKEN"
    /// grant one role each
    #[arg(long, env = "FARLOOP_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Make the token file with a random token if there is none
    #[arg(long, env = "FARLOOP_CREATE_TOKEN", requires = "token_file")]
    create_token: bool,
    /// The bearer token itself, for every role. Environment only: the command line is visible to other users
    #[arg(skip = std::env::var("FARLOOP_TOKEN").ok().filter(|t| !t.is_empty()).map(Secret))]
    token: Option<Secret>,
    /// Directory for the records of tasks: what was acknowledged survives a crash and a restart. Made if it is not
    /// there. Without one everything is in memory
    #[arg(long, env = "FARLOOP_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Seconds to wait, when stopping, for running tasks and open connections
    #[arg(long, env = "FARLOOP_STOP_SECONDS", default_value_t = 10)]
    stop_seconds: u64,
}

/// Text that no log shows.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Flags {
    /// # Errors
    /// The token file cannot be used.
    pub fn config(self) -> Result<Config, StartError> {
        let tokens = match (self.token_file, self.token) {
            (Some(path), _) => {
                if self.create_token && !path.exists() {
                    create_token(&path).map_err(|source| StartError::CreateToken { path: path.clone(), source })?;
                }
                let text =
                    fs::read_to_string(&path).map_err(|source| StartError::TokenFile { path: path.clone(), source })?;
                Tokens::parse(&text).map_err(|source| StartError::Token { from: path.display().to_string(), source })?
            }
            (None, Some(Secret(token))) => {
                Tokens::parse(&token).map_err(|source| StartError::Token { from: "FARLOOP_TOKEN".into(), source })?
            }
            (None, None) => Tokens::default(),
        };
        let listen = self.port.map_or(self.listen, |port| format!("127.0.0.1:{port}"));
        let config =
            Config { listen, tokens, stop_within: Duration::from_secs(self.stop_seconds), ..Config::default() };
        Ok(match self.data_dir {
            Some(dir) => config.keeping_in(dir),
            None => config,
        })
    }
}

/// Writes a random token that only this user can read. The kernel's own source: a token must not be guessable.
fn create_token(path: &Path) -> io::Result<()> {
    let mut random = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    // Whole or not there at all: workers may look for it at this moment.
    let unfinished = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

/// Why a coordinator did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of the place is none.
    #[error("cannot listen on {listen}: {source}; write host:port, such as {DEFAULT_LISTEN}")]
    BadAddress {
        /// As it was given.
        listen: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Safety from the first listener.
    #[error(
        "{listen} can be reached from other machines and no token is set, so everybody could run tasks there; \
         set --token-file (or FARLOOP_TOKEN), or listen on 127.0.0.1"
    )]
    NoToken {
        /// As it was given.
        listen: String,
    },
    /// Somebody else listens there.
    #[error("{listen} is taken by another process; stop it, choose another --port, or take a free one with --port 0")]
    PortBusy {
        /// As it was given.
        listen: String,
    },
    /// The listener could not be opened.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// As it was given.
        listen: String,
        /// Why.
        source: io::Error,
    },
    /// The token file cannot be read.
    #[error("cannot read the token file {}: {source}", path.display())]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token file cannot be made.
    #[error("cannot make the token file {}: {source}; its directory must exist and be writable", path.display())]
    CreateToken {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tokens cannot be used.
    #[error("cannot use the token from {from}: {source}")]
    Token {
        /// File or variable.
        from: String,
        /// Why.
        source: TokenError,
    },
    /// The descriptors that reflection serves do not decode: a defect of the build.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server ended with an error.
    #[error("the server ended: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// What the store has cannot be used. Nothing was changed there.
    #[error("the records of tasks cannot be read: {0}")]
    Records(#[source] StoreError),
    /// The store gave up; what is on the disk is known after a restart.
    #[error("the store failed, so the coordinator stopped: {0}")]
    Store(#[from] StoreError),
}
