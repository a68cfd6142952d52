#!/bin/sh
# Runs tests under the checkers that only a nightly compiler has.
#
#   nightly.sh miri        interprets the pure code and looks for undefined behaviour
#   nightly.sh sanitize    the tests of platform and library with the address sanitizer; the library's for leaks too
#
# NIGHTLY names the toolchain (nightly). Each builds into a directory of its own.
set -eu
cd "$(dirname "$0")/.."

toolchain=+${NIGHTLY:-nightly}

case ${1-} in
miri)
    # Without isolation, tests may read the clock and the files that they write. What starts processes, or asks an event
    # loop, is beyond an interpreter; megabytes and thousands of cuts are beyond its speed.
    export MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR="$PWD/target/miri"
    cargo "$toolchain" miri test --lib -- http:: policy:: config:: dotenv:: error:: \
        --skip endless --skip megabyte --skip long_answers --skip random_pieces --skip no_more_than --skip damaged
    ;;
sanitize)
    # A target is named so that build scripts and macros are built without it.
    host=$(rustc "$toolchain" -vV | sed -n 's/^host: //p')
    export RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR="$PWD/target/sanitize"
    # No search for leaks here: it needs a descriptor, and one of these tests ends without any to be had.
    ASAN_OPTIONS=detect_leaks=0 cargo "$toolchain" test --target "$host" --package worker-supervisor-platform
    cargo "$toolchain" test --target "$host" --lib
    ;;
*)
    echo 'usage: nightly.sh miri | sanitize' >&2
    exit 64
    ;;
esac
