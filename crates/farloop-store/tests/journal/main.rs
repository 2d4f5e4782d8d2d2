//! Stores against a model and against what disks do: crashes at every operation, torn and lost writes, flipped bits,
//! full disks, failed syncs.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

mod carry;
mod copies;
mod crash;
mod damage;
mod disk;
mod faults;
mod killed;
mod model;
mod records;
