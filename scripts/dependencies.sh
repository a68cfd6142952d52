#!/bin/sh
# Lists what the program is made of, for all systems: name|version|licence|lines|lines with unsafe|systems.
#
#   dependencies.sh [DB]      and, given a copy of the RustSec advisory database, the advisories for these names
#
# Counted are the lines of the crates' src/, comment lines not among those with unsafe. It reads what cargo has
# fetched, and asks nobody.
set -eu
cd "$(dirname "$0")/.."

list() {
    cargo tree --offline --edges normal --target "$1" --prefix none --format '{p}|{l}' |
        sed 's/ (proc-macro)//; s/ (\*)//; s/ *|/|/; s/ v/|/; s/ *([^)]*worker-supervisor[^)]*)//' | sort -u
}

sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
linux=$(list x86_64-unknown-linux-gnu)
macos=$(list aarch64-apple-darwin)

printf '%s\n%s\n' "$linux" "$macos" | sort -u | while IFS='|' read -r name version licence; do
    for directory in "$sources"/*/"$name-$version"; do :; done
    [ -d "$directory/src" ] || continue
    lines=$(find "$directory/src" -name '*.rs' -exec cat {} + | wc -l)
    unsafe=$(find "$directory/src" -name '*.rs' -exec cat {} + | grep -v '^ *//' | grep -cw unsafe || true)
    systems=all
    printf '%s\n' "$linux" | grep -q "^$name|$version|" || systems=kqueue
    echo "$name|$version|$licence|$lines|$unsafe|$systems"
    [ $# -eq 0 ] || find "$1/crates/$name" -name '*.md' 2>/dev/null | sed 's/^/  advisory: /'
done
