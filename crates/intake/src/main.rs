use std::process::ExitCode;

fn main() -> ExitCode {
    // For NATS over TLS; SMTP's names it itself. It fails only where one is installed already.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    service::main("posthouse-intake", intake::run)
}
