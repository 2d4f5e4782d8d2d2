//! The public API: unary calls for people, grpcurl and other languages, on the same core as the sessions.

mod acting;
mod actor_view;
mod actors;
mod cluster;
mod filter;
mod request;
mod schema;
mod stream;
mod tasks;
mod view;

pub(crate) use actors::Actors;
pub(crate) use cluster::Cluster;
pub(crate) use tasks::Tasks;
