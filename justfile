# Everything on this machine, on data in ./.posthouse
up *arguments:
    deploy/local/up {{arguments}}

# Everything that has to pass before a change is shared; installs what it needs in the user's cache
test:
    tests/run

# The Rust of proto/, which is committed
gen:
    cargo run --locked -p codegen

# What the SDKs have of the OpenAPI description; to be committed
sdk:
    sdk/generate

# Type-checks the TypeScript SDK's examples with the frameworks they are for (about 430 MB)
sdk-examples:
    npm ci --prefix sdk/typescript/examples --no-fund --no-audit
    cd sdk/typescript && npm run build && npx tsc --noEmit -p examples

# Clients that lose their connections at random for ten minutes, and have every event once
disconnects seconds="600":
    POSTHOUSE_TEST_DISCONNECT_SECONDS={{seconds}} tests/run clients_that_disconnect_at_random_have_each_event_once

# Asks the API in every way its description allows, for so many seconds
schemathesis seconds="600":
    POSTHOUSE_TEST_SCHEMATHESIS_SECONDS={{seconds}} tests/run schemathesis_finds_nothing_undocumented

# The chart, the image's and the compose file, and all that checks them; also checkov, which tests/run leaves out (about 290 MB more)
deploy-check:
    tests/deploy/run

# What values the chart takes, after a program got a new key; to be committed
chart-schema:
    python3 tests/deploy/schema.py

# What the chart has of other folders; to be committed
chart-files:
    tests/deploy/copy-files

# Kills, freezes, fills up and cuts off everything under load, so many times for each of two clusters, and takes the power
# away; what was accepted is there afterwards, once. The tests do it a dozen times
faults count="150":
    POSTHOUSE_TEST_FAULTS={{count}} tests/run faults::

fmt:
    cargo fmt --all

# Mails per second, processor's time and latency, beside Postfix in the same run; `just bench matrix`: by size and sessions
bench *arguments:
    tests/bench {{arguments}}

# Mails per second from acceptance to a remote server, beside Postfix in the same run
bench-relay:
    tests/bench-relay

# A quiet inbox beside eight that have 100,000 mails queued
bench-fairness:
    tests/bench-fairness

# What idle SMTP sessions, long-polls and WebSockets cost
bench-idle:
    tests/bench-idle

# How well injections are found: by what is built in, per source and family, on a file of labelled mail
eval *files="../shared/injection-data/val.jsonl":
    cargo run --locked --release -p trainer -- eval {{files}}

# The same for sources or families that were left out of training: `just leave-out family`
leave-out by="source":
    cargo run --locked --release -p trainer -- leave-out --by {{by}} ../shared/injection-data/train.jsonl ../shared/injection-data/val.jsonl

# Learns the model anew; the same data give the same octets
train:
    cargo run --locked --release -p trainer -- train --out crates/injection/src/model.bin ../shared/injection-data/train.jsonl

# Feeds a crate with what breaks it, for so many seconds
fuzz crate="injection" seconds="600":
    tests/fuzz {{crate}} {{seconds}}

# How well replies, codes and links are read, on the corpora beside the checkout
read-figures:
    cargo test --locked -p reading --test it -- --nocapture

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Sixteen workers on one inbox that drop dead among 10,000 mails; the tests do it among fewer
queue-workers:
    POSTHOUSE_TEST_QUEUE_MAILS=10000 tests/run workers_that_die

# Kills senders and nats-server among 10,000 deliveries; the tests do it among 1,000
faults-outbound:
    POSTHOUSE_TEST_OUTBOUND_MAILS=10000 tests/run survives_kill_sender_and_nats_in_the_middle_of_deliveries

# Mails per second into a database
bench-store:
    cargo bench --locked --package store --bench arrivals
