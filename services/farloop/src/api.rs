//! The public API, called by name with JSON and answered in JSON: the same that grpcurl sends and shows, for both read
//! it off the schema. One way for every client command.

use std::sync::LazyLock;

use anyhow::Context as _;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt as _;

/// Largest answer that is taken, in bytes.
const MAX_ANSWER: usize = 128 * 1024 * 1024;
/// How long a coordinator may take to accept a connection.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(5);

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(farloop_proto::FILE_DESCRIPTOR_SET).expect("the generated descriptors are whole: tested")
});

/// Where the coordinator is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct At {
    /// Coordinator
    #[arg(long, env = "FARLOOP_ADDRESS", default_value = farloop::DEFAULT_ADDRESS)]
    pub(crate) address: String,
}

/// A connection, and what is said on each call.
#[derive(Debug)]
pub(crate) struct Api {
    grpc: tonic::client::Grpc<Channel>,
    bearer: Option<MetadataValue<Ascii>>,
}

impl At {
    /// # Errors
    /// Nobody answers there, or the token cannot be used.
    pub(crate) async fn connect(&self) -> anyhow::Result<Api> {
        let address = match self.address.contains("://") {
            true => self.address.clone(),
            false => format!("http://{}", self.address),
        };
        let endpoint = Endpoint::from_shared(address.clone()).with_context(|| format!("'{address}' is no address"))?;
        let channel = endpoint.connect_timeout(CONNECT).connect().await.with_context(|| {
            format!("nobody answers at {address}; start a coordinator with `farloop dev`, or set FARLOOP_ADDRESS")
        })?;
        let token = farloop::token::from_env(farloop::token::Side::Client)?;
        let bearer =
            token.map(|token| format!("Bearer {token}").parse().context("the token is no header")).transpose()?;
        Ok(Api { grpc: tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_ANSWER), bearer })
    }
}

/// Answers of a call: one, or as many as come.
#[derive(Debug)]
pub(crate) struct Answers(Streaming<DynamicMessage>);

impl Answers {
    /// # Errors
    /// The call failed.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        let message = self.0.message().await.map_err(|status| told(&status))?;
        message.map(|m| serde_json::to_value(&m)).transpose().context("the answer is no JSON")
    }
}

impl Api {
    /// Calls `Service/Method`, with or without the package.
    ///
    /// # Errors
    /// There is no such method, the request does not fit it, or the call failed.
    pub(crate) async fn open(&mut self, method: &str, request: Value) -> anyhow::Result<Answers> {
        let (service, name) = method.rsplit_once(['/', '.']).context("a method is SERVICE/METHOD")?;
        let full = if service.contains('.') { service.to_owned() } else { format!("farloop.v1.{service}") };
        let described = POOL.get_service_by_name(&full).with_context(|| format!("no service is called {full}"))?;
        let method = described.methods().find(|m| m.name() == name).with_context(|| {
            let names: Vec<String> = described.methods().map(|m| m.name().to_owned()).collect();
            format!("{full} has no method {name}; it has {}", names.join(", "))
        })?;
        anyhow::ensure!(!method.is_client_streaming(), "{full}/{name} is a session of SDKs, not a call");
        let message = DynamicMessage::deserialize(method.input(), request)
            .with_context(|| format!("the request is no {}", method.input().name()))?;
        let path = http::uri::PathAndQuery::try_from(format!("/{full}/{name}")).context("a path")?;
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        self.grpc.ready().await.context("the connection broke")?;
        // A single answer is a stream of one: the wire tells no difference.
        let answers = self.grpc.server_streaming(request, path, Dynamic(method.output())).await;
        Ok(Answers(answers.map_err(|status| told(&status))?.into_inner()))
    }

    /// As [`Self::open`], for a call with one answer.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn call(&mut self, method: &str, request: Value) -> anyhow::Result<Value> {
        self.open(method, request).await?.next().await?.context("the call ended without an answer")
    }
}

/// A failed call in the words of the coordinator, with its reason.
fn told(status: &Status) -> anyhow::Error {
    match status.get_details_error_info() {
        Some(info) => anyhow::anyhow!("{} ({})", status.message(), info.reason),
        None => anyhow::anyhow!("{}: {}", status.code(), status.message()),
    }
}

/// Messages as their descriptors say.
#[derive(Clone, Debug)]
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }
    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|e| Status::internal(e.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), bytes);
        message.map(Some).map_err(|e| Status::internal(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_descriptors_are_whole() {
        assert!(super::POOL.get_service_by_name("farloop.v1.TaskService").is_some());
    }
}
