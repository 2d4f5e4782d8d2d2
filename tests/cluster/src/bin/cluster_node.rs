//! The `farloop` binary where tests can find it, and which does not outlive them.

fn main() -> std::process::ExitCode {
    farloop_test_cluster::node::end_with_the_parent();
    farloop_cli::main()
}
