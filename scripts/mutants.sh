#!/bin/sh
# Breaks the code in one small way at a time and lists the ways that no test notices.
#
#   mutants.sh [MODULE…]      of policy, http, config, env, logfile: all of them unless some are named;
#                             and of supervise, commands, platform, which are big, if they are
#
# Each module meets the tests that are its own. Results are in target/mutants/MODULE/mutants.out; a second run goes on
# with what was not caught before. Needs cargo-mutants.
set -eu
cd "$(dirname "$0")/.."

command -v cargo-mutants >/dev/null || {
    echo 'mutants.sh: cannot find cargo-mutants: run cargo install --locked cargo-mutants' >&2
    exit 1
}
# Less to compile and link, and dependencies compiled once; fewer seeds than `make test` plays, so that what is caught
# here is caught there.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0 CARGO_TARGET_DIR="$PWD/target/mutants/build"
export SIMULATION_SEEDS=300
# A failed test is all that has to be known; the test harness has no stable option for that. It leaves what its other
# tests have started. Tests with real processes mostly wait.
export RUSTC_BOOTSTRAP=1 TEST_SLOWNESS=1 RUST_TEST_THREADS=8
trap 'pkill -KILL -f "^$CARGO_TARGET_DIR/debug/" || true' EXIT

# Runs the mutants that are left of a module: MODULE, FILES as a glob, then which tests to build and run. The others are
# not built: that takes most of a mutant's time. Mutants that survive are no failure of this script's.
mutate() {
    module=$1 files=$2 packages='--package worker-supervisor'
    # What it is for is tried by the program's tests too, which the run without a mutant would not find.
    [ "$module" != platform ] ||
        packages='--package worker-supervisor-platform --test-workspace true --baseline skip'
    shift 2
    for test; do
        set -- "$@" "--cargo-arg=$test"
        shift
    done
    mkdir -p "target/mutants/$module"
    # shellcheck disable=SC2086
    cargo mutants $packages --iterate --no-shuffle --colors never ${MUTANTS_OPTIONS-} --file "$files" \
        --output "target/mutants/$module" "$@" -- -- -Z unstable-options --fail-fast || [ $? -le 3 ]
}

[ $# -gt 0 ] || set -- http policy env logfile config
for asked; do
    case $asked in
    http)
        mutate http 'src/http/**/*.rs' --lib
        ;;
    policy)
        mutate policy 'src/policy/**/*.rs' --lib --test=policy --test=simulation
        ;;
    env)
        mutate env 'src/supervise/launch/{environment,dotenv,program}.rs' --lib
        ;;
    logfile)
        mutate logfile src/supervise/logs/rotation.rs --lib --test=operator_logfile
        ;;
    config)
        mutate config 'src/config/**/*.rs' --lib --test=config
        ;;
    supervise)
        cargo build --example worker
        mutate supervise 'src/supervise/**/*.rs' --lib --test=health --test=hooks --test=instance --test=life \
            --test=logs --test=operator_logfile --test=orphan --test=port --test=restart --test=secrets --test=status \
            --test=stop --test=sync
        ;;
    commands)
        cargo build --example worker
        mutate commands 'src/commands/**/*.rs' --lib --test=cli --test=doctor --test=init --test=launchd --test=logs \
            --test=operator_commands --test=restart --test=status --test=watch
        ;;
    platform)
        cargo build --example worker
        mutate platform 'platform/src/**/{linux,mod,sock_diag}.rs' --lib --test=contract --test=linux --test=life \
            --test=orphan --test=orphan_linux --test=port --test=port_linux --test=stop
        ;;
    *)
        echo "mutants.sh: no module $asked" >&2
        exit 64
        ;;
    esac
done
