#!/bin/sh
# Fuzzes what reads from outside, one target after the other; the first finding ends it.
#
#   fuzz.sh [TARGET…]      FUZZ_SECS each (600), all targets unless some are named
#
# Begins with the inputs in fuzz/corpus; what it finds worth keeping goes to fuzz/target/corpus, what fails to
# fuzz/artifacts. Needs a nightly compiler, as NIGHTLY names it, and cargo-fuzz. Inputs are short: the limits of
# heads and bodies are reached by repetition (see the targets).
set -eu
cd "$(dirname "$0")/../fuzz"

toolchain=+${NIGHTLY:-nightly}
command -v cargo-fuzz >/dev/null || {
    echo 'fuzz.sh: cannot find cargo-fuzz: run cargo install --locked cargo-fuzz' >&2
    exit 1
}
# Files that are written for each input belong in memory, where that is to be had.
TMPDIR=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' HUP INT TERM
# -O with assertions: those of the code are half of what is looked for.
options='-O --debug-assertions'

[ $# -gt 0 ] || set -- $(cargo "$toolchain" fuzz list)
for target; do
    found=target/corpus/$target
    mkdir -p "$found"
    echo "== $target"
    # shellcheck disable=SC2086
    cargo "$toolchain" fuzz run $options "$target" "$found" "corpus/$target" -- \
        -max_total_time="${FUZZ_SECS:-600}" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
