# Run through ./just, which brings the tools along.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")
# The official clients of both clouds, for the tests that know nothing of our code.
clients := justfile_directory() / "target/clients"
export BRIDGE_PYTHON := clients / "bin/python"

# List the recipes
default:
    @just --list --unsorted

# Run both clouds on this machine, with a worker for each (arguments: those of `bridge local`)
local *arguments:
    cargo run --bin bridge -- local {{arguments}}

# All that CI does
check: fmt spelling purity deny lint docs test

# Every test: unit, property, contract, end to end, official clients (arguments: those of cargo-nextest)
test *arguments: build clients
    cargo nextest run --workspace {{arguments}}

# Build everything that the tests run
build:
    cargo build --workspace --all-targets

# The official clients, in a place of their own
[private]
clients:
    #!/usr/bin/env bash
    set -euo pipefail
    wanted=tests/clients/requirements.txt
    if ! cmp -s "$wanted" "{{clients}}/installed.txt"; then
        python3 -m venv "{{clients}}"
        "{{clients}}/bin/pip" install --quiet --requirement "$wanted"
        cp "$wanted" "{{clients}}/installed.txt"
    fi

# 50,000 dead letters each way, killed ten times; rate and memory: the figures of docs/replay.md (10 minutes)
replay-bulk letters="50000" kills="10": build clients
    BRIDGE_REPLAY_LETTERS={{letters}} BRIDGE_REPLAY_KILLS={{kills}} cargo nextest run --workspace --no-capture -E 'test(replay::bulk)'

# A cloud dark for longer than the tests have it
replay-drill seconds="120": build clients
    BRIDGE_DRILL_SECONDS={{seconds}} cargo nextest run --workspace --no-capture -E 'test(replay::drill)'

# Formatting
fmt:
    cargo fmt --all --check

# Lints, on one feature set
lint:
    cargo clippy --workspace --all-targets -- --deny warnings

# Documentation, private items too
docs:
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items

# Spelling, of code and of documents
spelling:
    typos

# Licences, sources and bans of all dependencies; advisories need the network: just advisories
deny:
    cargo fetch --locked
    cargo deny check bans licenses sources

# Known vulnerabilities among the dependencies; fetches the advisory database
advisories:
    cargo deny check advisories

# The core must not reach a cloud, a runtime or a socket
purity:
    #!/usr/bin/env bash
    set -euo pipefail
    tree=$(cargo tree --locked --package bridge-core --edges normal --prefix none)
    if grep -E '^(tokio|hyper|reqwest|axum|aws-|azure_|fe2o3|rusqlite|mio) ?' <<<"$tree"; then
        echo "bridge-core must not depend on these; see ARCHITECTURE.md" >&2
        exit 1
    fi
