//! `loop.call_later(None, f)`.
fn main() -> farloop::Result<()> {
    let event_loop = farloop::blocking::EventLoop::new()?;
    event_loop.call_later(None, || {})?;
    event_loop.close()
}
