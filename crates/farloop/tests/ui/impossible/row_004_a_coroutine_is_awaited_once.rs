//! The second await of one coroutine object.
#[farloop::task]
async fn work() -> i64 {
    1
}

async fn twice() -> farloop::Result<()> {
    let coroutine = work();
    coroutine.await?;
    coroutine.await?;
    Ok(())
}

fn main() {
    drop(twice());
}
