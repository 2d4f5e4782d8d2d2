//! `loop.call_soon` from another thread.
fn main() -> farloop::Result<()> {
    let event_loop = farloop::blocking::EventLoop::new()?;
    std::thread::scope(|scope| {
        scope.spawn(|| event_loop.call_soon(|| {}));
    });
    event_loop.close()
}
