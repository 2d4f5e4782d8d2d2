//! farloop measured against the floor: a bare tonic relay (client, relay and worker as three processes) that does
//! what any coordinator over gRPC has to do and nothing else.
//!
//! Figures of two programs mean something only when both ran on the same machine in the same minutes, so the
//! [`floor`] harness runs them alternately and prints ratios. Four binaries belong to it: `relay` (the floor), `load`
//! (the client that puts load on farloop), `durable` (a coordinator with records on a disk of a chosen slowness) and
//! `floor` (starts the processes, asks for figures, prints).

pub mod drive;
pub mod figures;
pub mod floor;
pub mod load;
pub mod process;
pub mod relay;
pub mod slow_disk;
pub mod steady;
