use std::{env, process::ExitCode};

fn main() -> ExitCode {
    if env::args_os().nth(1).is_some_and(|it| it == scanner::EXTRACT) {
        return scanner::extract();
    }
    service::main("posthouse-scanner", scanner::run)
}
