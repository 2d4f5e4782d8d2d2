//! Who may call what: a table with every rpc in it, and bearer tokens that grant roles.

use std::collections::HashMap;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use farloop_core::frame::Role;
use http::{HeaderMap, Request, Response, header};
use tonic::body::Body;
use tonic::{Code, Status};
use tower_layer::Layer;
use tower_service::Service;

use crate::errors;

/// What a token grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    client: bool,
    worker: bool,
    operator: bool,
}

impl Granted {
    pub(crate) const NOTHING: Self = Self { client: false, worker: false, operator: false };
    pub(crate) const ALL: Self = Self { client: true, worker: true, operator: true };
    const CLIENT: Self = Self { client: true, ..Self::NOTHING };
    const WORKER: Self = Self { worker: true, ..Self::NOTHING };
    const OPERATOR: Self = Self { operator: true, ..Self::NOTHING };
    /// Workers do what clients do.
    const RUN: Self = Self { client: true, worker: true, operator: false };

    /// Who starts workers has their token, or an operator's.
    const STAFF: Self = Self { client: false, worker: true, operator: true };

    const fn meets(self, other: Self) -> bool {
        self.client && other.client || self.worker && other.worker || self.operator && other.operator
    }

    const fn and(self, other: Self) -> Self {
        Self {
            client: self.client || other.client,
            worker: self.worker || other.worker,
            operator: self.operator || other.operator,
        }
    }

    /// # Errors
    /// The token does not grant the role that a hello claims.
    pub(crate) fn check(self, role: Role) -> Result<(), Status> {
        let (wanted, name) = match role {
            Role::Client => (Self::CLIENT, "client"),
            Role::Worker => (Self::WORKER, "worker"),
            Role::Operator => (Self::OPERATOR, "operator"),
        };
        if self.meets(wanted) { Ok(()) } else { Err(denied(&format!("a session as {name}"))) }
    }
}

/// Who may call an rpc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Anybody, without a token.
    Open,
    /// Who has one of these roles.
    Roles(Granted),
}

/// Every rpc served. What is not in here is refused.
const TABLE: &[(&str, Rule)] = &[
    ("/farloop.v1.SessionService/Connect", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.TaskService/SubmitTask", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.TaskService/WaitTask", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.TaskService/GetTask", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.TaskService/CancelTask", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.TaskService/ReleaseTask", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.TaskService/ListTasks", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.TaskService/Gather", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.TaskService/Wait", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.TaskService/AsCompleted", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.TaskService/WatchTasks", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.TaskService/ExplainTask", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.ActorService/ListActorTypes", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.ActorService/SpawnActor", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.ActorService/CallActor", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.ActorService/TellActor", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.ActorService/GetActor", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.ActorService/ListActors", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.ActorService/StopActor", Rule::Roles(Granted::RUN)),
    ("/farloop.v1.ActorService/WatchActor", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.ClusterService/ListWorkers", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.ClusterService/ListFunctions", Rule::Roles(Granted::ALL)),
    ("/farloop.v1.ClusterService/DrainWorker", Rule::Roles(Granted::OPERATOR)),
    ("/farloop.v1.ClusterService/ReportWorkerExit", Rule::Roles(Granted::STAFF)),
    ("/farloop.v1.ClusterService/GetServerInfo", Rule::Roles(Granted::ALL)),
    // Probes of orchestrators carry no token, and learn nothing but "serving".
    ("/grpc.health.v1.Health/Check", Rule::Open),
    ("/grpc.health.v1.Health/Watch", Rule::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Rule::Roles(Granted::ALL)),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Rule::Roles(Granted::ALL)),
];

/// Tokens and what they grant. Without any, everybody may do everything: loopback alone.
#[derive(Clone, Default)]
pub struct Tokens(Vec<(String, Granted)>);

/// A token file that says nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token at all.
    #[error("it holds no token; write one token, or lines of `client TOKEN`, `worker TOKEN`, `operator TOKEN`")]
    Empty,
    /// Something else than a role before a token.
    #[error("line {line}: `{word}` is no role; client, worker and operator are")]
    UnknownRole {
        /// From 1.
        line: usize,
        /// What stands there.
        word: String,
    },
    /// A line of several words, or a token that cannot be a header.
    #[error("line {line}: a token is one word of printable ASCII, or a role and such a word")]
    BadLine {
        /// From 1.
        line: usize,
    },
}

impl Tokens {
    /// Reads a token file: one token for every role, or a role and its token on each line. `#` begins a comment.
    ///
    /// # Errors
    /// No token is in there, or a line is not understood.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut tokens = Vec::new();
        for (line, words) in text.lines().map(|l| l.split('#').next().unwrap_or_default()).enumerate() {
            let words: Vec<&str> = words.split_whitespace().collect();
            let (token, granted) = match words[..] {
                [] => continue,
                [token] => (token, Granted::ALL),
                ["client", token] => (token, Granted::CLIENT),
                ["worker", token] => (token, Granted::WORKER),
                ["operator", token] => (token, Granted::OPERATOR),
                [word, _] => return Err(TokenError::UnknownRole { line: line + 1, word: word.into() }),
                _ => return Err(TokenError::BadLine { line: line + 1 }),
            };
            if !token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(TokenError::BadLine { line: line + 1 });
            }
            tokens.push((token.to_owned(), granted));
        }
        if tokens.is_empty() { Err(TokenError::Empty) } else { Ok(Self(tokens)) }
    }

    /// Whether everybody may do everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What these headers grant; none: there is no token, or an unknown one. Every token is compared in full, so the
    /// time it takes tells nothing about them.
    fn granted(&self, headers: &HeaderMap) -> Option<Granted> {
        if self.is_empty() {
            return Some(Granted::ALL);
        }
        let said = headers.get(header::AUTHORIZATION)?.as_bytes();
        let (scheme, said) = said.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return None;
        }
        let same = self.0.iter().filter(|(token, _)| equal(token.as_bytes(), said));
        same.fold(None, |all, (_, granted)| Some(all.unwrap_or(Granted::NOTHING).and(*granted)))
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

/// Compares without stopping at the first difference.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let differs = a.iter().zip(b).fold(0, |acc, (x, y)| black_box(acc | (x ^ y)));
    a.len() == b.len() && differs == 0
}

fn denied(what: &str) -> Status {
    let message = format!("this token does not allow {what}; use one of another role");
    errors::status(Code::PermissionDenied, "PERMISSION_DENIED", message)
}

/// Asks the table before a service is reached, and gives a reason to what the transport refuses.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    rules: Arc<HashMap<&'static str, Rule>>,
    tokens: Arc<Tokens>,
    max_payload: usize,
    /// Records are still read: nothing is served but what is open to everybody.
    recovering: bool,
}

impl Guard {
    pub(crate) fn new(tokens: Tokens, max_payload: usize) -> Self {
        let rules = Arc::new(TABLE.iter().copied().collect());
        Self { rules, tokens: Arc::new(tokens), max_payload, recovering: false }
    }

    /// As long as records are read: who may call is told to come again.
    pub(crate) fn recovering(self) -> Self {
        Self { recovering: true, ..self }
    }

    /// # Errors
    /// The caller may not call this, or nobody may.
    fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Granted, Status> {
        let Some(rule) = self.rules.get(path) else {
            let message = format!("{path} is not served here; `grpcurl ... list` shows what is");
            return Err(errors::status(Code::Unimplemented, "UNKNOWN_METHOD", message));
        };
        let Rule::Roles(roles) = *rule else { return Ok(Granted::NOTHING) };
        let Some(granted) = self.tokens.granted(headers) else {
            let message = "a token is needed here: send the header `authorization: Bearer TOKEN` \
                           (SDKs and the CLI take it from FARLOOP_TOKEN)";
            return Err(errors::status(Code::Unauthenticated, "TOKEN_REQUIRED", message));
        };
        if !granted.meets(roles) {
            return Err(denied(path));
        }
        if self.recovering {
            let message = "the coordinator has just started and still reads its records; try again in a second";
            return Err(errors::status(Code::Unavailable, "RECOVERING", message));
        }
        Ok(granted)
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;
    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// A service behind the table.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static>,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answer<S::Error> {
        match self.guard.admit(request.uri().path(), request.headers()) {
            Ok(granted) => {
                request.extensions_mut().insert(granted);
                let (answer, max_payload) = (self.inner.call(request), self.guard.max_payload);
                Box::pin(async move {
                    let answer = answer.await?;
                    let refused = answer.extensions().get::<Status>();
                    Ok(match refused.and_then(|status| errors::of_transport(status, max_payload)) {
                        Some(status) => status.into_http(),
                        None => answer,
                    })
                })
            }
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;
    use prost::Message as _;
    use std::collections::BTreeSet;

    /// A new rpc without a rule fails here, and so does a rule without an rpc.
    #[test]
    fn every_rpc_is_in_the_table() {
        let sets = [
            farloop_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut served = BTreeSet::new();
        for set in sets {
            for file in prost_types::FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        served.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                    }
                }
            }
        }
        let ruled: BTreeSet<String> = TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(served, ruled);
    }

    fn headers(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
    }

    #[test]
    fn a_token_grants_its_role_and_no_other() {
        let tokens = Tokens::parse("client c1 # for people\nworker w1\n\noperator o1\n").unwrap();
        let guard = Guard::new(tokens, 1);
        let submit = "/farloop.v1.TaskService/SubmitTask";
        let code = |token: &str, path: &str| guard.admit(path, &headers(token)).map_err(|s| s.code());
        assert_eq!(code("c1", submit), Ok(Granted::CLIENT));
        assert_eq!(code("o1", submit), Err(Code::PermissionDenied));
        assert_eq!(code("o1", "/farloop.v1.TaskService/ListTasks"), Ok(Granted::OPERATOR));
        assert_eq!(code("c2", submit), Err(Code::Unauthenticated));
        assert_eq!(code("c", submit), Err(Code::Unauthenticated));
        assert_eq!(code("c1", "/farloop.v1.TaskService/Unheard"), Err(Code::Unimplemented));
        let none = HeaderMap::new();
        assert_eq!(guard.admit(submit, &none).unwrap_err().code(), Code::Unauthenticated);
        assert!(guard.admit("/grpc.health.v1.Health/Check", &none).is_ok());
        assert!(Granted::CLIENT.check(Role::Worker).is_err());
    }

    #[test]
    fn token_files_are_read_or_explained() {
        assert_eq!(Tokens::parse("# nothing\n").unwrap_err(), TokenError::Empty);
        let unknown = Tokens::parse("secret\nadmin secret").unwrap_err();
        assert_eq!(unknown, TokenError::UnknownRole { line: 2, word: "admin".into() });
        assert_eq!(Tokens::parse("a b c").unwrap_err(), TokenError::BadLine { line: 1 });
        assert_eq!(format!("{:?}", Tokens::parse("secret").unwrap()), "1 tokens");
    }
}
