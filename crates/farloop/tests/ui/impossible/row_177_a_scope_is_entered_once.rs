//! The second entry of one timeout scope.
use farloop::prelude::*;

async fn twice() -> farloop::Result<()> {
    let scope = timeout(Duration::from_secs(1), async { Ok(()) });
    scope.await?;
    scope.await?;
    Ok(())
}

fn main() {
    drop(twice());
}
