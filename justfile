# Everything on this machine, on data in ./.posthouse
up *arguments:
    deploy/local/up {{arguments}}

# Everything that has to pass before a change is shared; installs what it needs in the user's cache
test:
    tests/run

# The Rust of proto/, which is committed
gen:
    cargo run --locked -p codegen

fmt:
    cargo fmt --all

# Mails per second and latency, beside Postfix in the same run
bench:
    tests/bench

# Mails per second from acceptance to a remote server, beside Postfix in the same run
bench-relay:
    tests/bench-relay

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
