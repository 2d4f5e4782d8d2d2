//! The public API: unary calls for people, grpcurl and other languages, on the same core as the sessions.

mod cluster;
mod filter;
mod request;
mod schema;
mod stream;
mod tasks;
mod view;

pub(crate) use cluster::Cluster;
pub(crate) use tasks::Tasks;
