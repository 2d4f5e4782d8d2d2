//! The same cluster on real threads and real time: what virtual time on one thread cannot show.

use farloop::prelude::*;

#[farloop::task]
async fn echo(n: u64) -> u64 {
    n
}

#[farloop::task]
async fn tree(depth: u32) -> farloop::Result<u64> {
    if depth == 0 {
        return Ok(1);
    }
    let (left, right) = gather((tree(depth - 1), tree(depth - 1))).await?;
    Ok(left + right)
}

#[farloop::task]
async fn sleeper(seconds: u64) -> farloop::Result<()> {
    farloop::sleep(Duration::from_secs(seconds)).await
}

#[farloop::task]
fn blocking(n: u64) -> u64 {
    n + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_of_everything_on_threads() {
    let cluster = farloop::in_process().workers(2).loops(2).slots(2).start().unwrap();
    for round in 0..30 {
        let all = gather_all((0..500).map(echo)).await.unwrap();
        assert_eq!(all, (0..500).collect::<Vec<_>>(), "round {round}");
        assert_eq!(tree(6).await.unwrap(), 64, "round {round}");
        assert_eq!(blocking(round).await.unwrap(), round + 1);
        let sleepers: Vec<_> = (0..50).map(|_| ensure_future(sleeper(600))).collect();
        for sleeper in &sleepers {
            assert!(sleeper.cancel(()));
        }
        for sleeper in sleepers {
            assert!(sleeper.await.unwrap_err().is_cancelled(), "round {round}");
        }
        let late = wait_for(sleeper(600), Duration::from_millis(1)).await;
        assert!(matches!(late, Err(farloop::Error::TimedOut(_))), "{late:?}");
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_are_awaited_from_many_threads() {
    let cluster = farloop::in_process().start().unwrap();
    let shared: Vec<_> = (0..200).map(|n| ensure_future(echo(n))).collect();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let shared = shared.clone();
            tokio::spawn(async move {
                for (n, task) in shared.into_iter().enumerate() {
                    assert_eq!(task.await.unwrap(), n as u64);
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    cluster.close().await;
}
