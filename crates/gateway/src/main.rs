fn main() -> std::process::ExitCode {
    service::main("posthouse-gateway", gateway::run)
}
