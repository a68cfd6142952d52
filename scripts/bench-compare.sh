#!/bin/sh
# Measures what a change does to speed and memory: builds a commit and the work tree, and runs both in turn.
#
#   bench-compare.sh COMMIT
#
# Both are built as `cargo build --release` does, each with its own lock file. Everything stays in target/compare.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "bench-compare.sh: $*" >&2
    exit 64
}

[ -n "${1-}" ] || fail 'name the commit to compare with: make bench-compare BASE=COMMIT'
base=$(git rev-parse --verify --quiet "$1^{commit}") || fail "there is no commit $1"

place=$PWD/target/compare
rm -rf "$place/source"
mkdir -p "$place/source"
git archive "$base" | tar -xf - -C "$place/source"

# The program of the sources in a directory, put where the second word says. Each is built in a place of its own: in one
# for both cargo takes the second for the first, since it tells packages apart by their path below the workspace and
# changes by times alone.
build() {
    (cd "$1" && cargo build --release --locked --bin worker-supervisor --target-dir "$place/build-$2")
    cp "$place/build-$2/release/worker-supervisor" "$place/$2"
    echo "$2: $(wc -c <"$place/$2" | tr -d ' ') bytes"
}

build "$place/source" before
build . after
! cmp -s "$place/before" "$place/after" || fail "both are the same program"
BENCH_BASE=$place/before BENCH_PRODUCT=$place/after cargo bench --bench compare
