//! Options are checked where they are written.
#[farloop::task(retries = 3)]
async fn a() {}

#[farloop::task(timeout = "soon")]
async fn b() {}

#[farloop::task(attempts = 0)]
async fn c() {}

#[farloop::task(name = "two words")]
async fn d() {}

#[farloop::task(attempts = 2, attempts = 3)]
async fn e() {}

#[farloop::task]
struct F;

fn main() {}
