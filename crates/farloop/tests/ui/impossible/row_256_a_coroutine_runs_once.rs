//! `loop.run_until_complete(c)` twice.
#[farloop::task]
async fn seven() -> i64 {
    7
}

fn main() -> farloop::Result<()> {
    let event_loop = farloop::blocking::EventLoop::new()?;
    let coro = seven();
    event_loop.run_until_complete(coro)?;
    event_loop.run_until_complete(coro)?;
    event_loop.close()
}
