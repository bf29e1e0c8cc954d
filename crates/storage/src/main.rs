use std::process::ExitCode;

fn main() -> ExitCode {
    // A second provider in the process would make rustls refuse to choose. It fails only if one is
    // installed already.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    service::main("posthouse-storage", storage::run)
}
