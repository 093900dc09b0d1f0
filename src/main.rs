//! `ipc-demo`.
mod bench;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = ipc_demo::enter(bench::queue::ROLES) {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bench", ref rest @ ..] => {
            let scale = rest.first().and_then(|scale| scale.parse().ok()).unwrap_or(1.0);
            match bench::queue::run(scale, 3, rest.get(1).copied(), &mut std::io::stdout()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::SUCCESS,
    }
}
