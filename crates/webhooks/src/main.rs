use std::process::ExitCode;

fn main() -> ExitCode {
    // Only the first provider counts; in a process that has one already there is nothing to do.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    service::main("posthouse-webhooks", webhooks::run)
}
