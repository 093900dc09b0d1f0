//! The `ipc-demo` program. Everything it does is in the library: a worker's part, or the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ipc_demo::cli::run()
}
