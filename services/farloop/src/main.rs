//! The `farloop` binary.

fn main() -> std::process::ExitCode {
    farloop_cli::main()
}
