use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("posthouse-scanner", scanner::run)
}
