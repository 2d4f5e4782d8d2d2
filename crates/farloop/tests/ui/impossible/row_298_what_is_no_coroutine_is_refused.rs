//! `run_coroutine_threadsafe(123, loop)`.
fn main() -> farloop::Result<()> {
    let event_loop = farloop::blocking::EventLoop::new()?;
    event_loop.handle().run_coroutine_threadsafe(123)?;
    event_loop.close()
}
