//! The farloop binary.
fn main() {}
