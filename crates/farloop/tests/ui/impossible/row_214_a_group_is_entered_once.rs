//! The second entry of one task group.
use farloop::prelude::*;

async fn twice() -> farloop::Result<()> {
    let scope = TaskGroup::scope(async |group| Ok(drop(group)));
    scope.await?;
    scope.await?;
    Ok(())
}

fn main() {
    drop(twice());
}
