//! A coordinator that keeps its records, with settings that have no flag: `kept_coordinator DIR PORT`.

fn main() -> Result<(), farloop_coordinator::StartError> {
    farloop_test_cluster::node::end_with_the_parent();
    let _telemetry = farloop_telemetry::init("farloop-coordinator");
    farloop_test_cluster::kept::serve()
}
