#!/bin/sh
# Runs tests of the program for Linux on ARM, under an emulator of its instructions: the tests and the worker are this
# machine's own, the supervisor is the one of `scripts/cross.sh linux aarch64`.
#
#   emulate.sh [TEST…]      files of tests/; stop, logs, sync and life unless some are named
#
# Left out is what the emulator lacks: sock_diag, by which the holder of a port is found, and memory that is shared with a
# process between its clone and its exec, by which a refused exec is told. Needs Debian's qemu-user.
set -eu
cd "$(dirname "$0")/.."

LACKING='program_that_is_being_written file_that_is_no_program environment_that_is_too_big becomes_a_daemon
    inngest_endpoint_that_says_no_more'

emulator=$(command -v qemu-aarch64) || {
    echo "emulate.sh: cannot find qemu-aarch64: install Debian's qemu-user" >&2
    exit 1
}
program=$PWD/target/cross/aarch64-unknown-linux-musl/release/worker-supervisor
[ $# -gt 0 ] || set -- stop logs sync life
for test; do
    set -- "$@" --test "$test"
    shift
done

# In a directory of its own, so that nobody takes what stands in for the program for the program.
export CARGO_TARGET_DIR="$PWD/target/emulate"
cargo build --quiet --example worker
tests=$(cargo test --no-run "$@" 2>&1 | tee /dev/stderr | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
# Unlinked first: cargo has a second name for the file.
stand_in=$CARGO_TARGET_DIR/debug/worker-supervisor
rm -f "$stand_in"
printf '#!/bin/sh\nexec %s %s "$@"\n' "$emulator" "$program" >"$stand_in"
chmod 755 "$stand_in"
for test in $tests; do
    # shellcheck disable=SC2086
    "$test" $(printf -- '--skip %s ' $LACKING)
done
