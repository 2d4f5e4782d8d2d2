//! State is shared, and the worker's own matter.
struct Db;

#[farloop::task]
async fn changes(#[state] db: &mut Db) {}

#[farloop::task]
async fn owns(#[state] db: Db) {}

#[farloop::task]
async fn elsewhere(#[state] db: &Db) -> i64;

fn main() {}
