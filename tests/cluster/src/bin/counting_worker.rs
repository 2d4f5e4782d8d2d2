//! A worker whose bodies note what they do. `FARLOOP_TEST_OFFERS` names the one function to offer; unset, all.

fn main() -> farloop::Result<()> {
    farloop_test_cluster::node::end_with_the_parent();
    let _telemetry = farloop_telemetry::init("farloop-worker");
    let only = std::env::var("FARLOOP_TEST_OFFERS").ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let worker = farloop_test_cluster::tasks::offer(farloop::Worker::from_env(), only.as_deref());
    runtime.block_on(worker.run())
}
