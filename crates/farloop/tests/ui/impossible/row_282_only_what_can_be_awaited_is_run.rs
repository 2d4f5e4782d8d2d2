//! `asyncio.run(5)`.
fn main() {
    let _ = farloop::run(5);
}
