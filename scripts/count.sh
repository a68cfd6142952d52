#!/bin/sh
# Counts the lines that are shipped, room by room: without comments, blank lines, `#[cfg(test)]` modules and tests.rs.
#
#   count.sh [DIRECTORY]      of this repository, unless another tree is named
#
# A room is a directory below src; files of src itself are the top. Tests and benchmarks follow, without comments and
# blank lines. Last, how much the supervisor's struct holds.
set -eu
cd "${1:-$(dirname "$0")/..}"

# Lines of code in the files named on standard input. A test module ends with the first brace in its column, as rustfmt
# writes it; one that is a file of its own ends at once.
count() {
    tr '\n' '\0' | xargs -0 -r cat | awk '
        in_tests { if (index($0, closing) == 1) in_tests = 0; next }
        in_comment { if (/\*\//) in_comment = 0; next }
        /^[ \t]*$/ || /^[ \t]*\/\// { next }
        /^[ \t]*\/\*/ { if (!/\*\//) in_comment = 1; next }
        /^[ \t]*#\[cfg\(test\)\]$/ { attributes = 1; held = 1; next }
        held && /^[ \t]*#\[/ { held++; next }
        held && /^[ \t]*(pub(\([^)]*\))? )?mod / {
            if (/\{[ \t]*$/) { match($0, /^[ \t]*/); closing = substr($0, 1, RLENGTH) "}"; in_tests = 1 }
            held = 0
            next
        }
        { lines += 1 + held; held = 0 }
        END { print lines + 0 }'
}

# One row of the table: NAME, then what find is to look through.
row() {
    name=$1
    shift
    lines=$(find "$@" -name '*.rs' ! -name tests.rs | count)
    printf '%-28s %6d\n' "$name" "$lines"
    total=$((total + lines))
}

total=0
row top src -maxdepth 1
for directory in $(find src -mindepth 1 -type d | sort); do
    # A directory of nothing but tests is no room.
    files=$(find "$directory" -maxdepth 1 -name '*.rs' ! -name tests.rs)
    [ -z "$files" ] || row "${directory#src/}" "$directory" -maxdepth 1
done
row platform platform/src
printf '%-28s %6d\n\n' shipped "$total"

total=0
row tests tests examples
row benches benches
printf '%-28s %6d\n\n' 'tests and benches' "$total"

grep -rhEA 200 '^(pub(\([^)]*\))? )?struct Supervisor( |<|$)' src --include='*.rs' | awk '
    /^}/ { exit }
    /^ +(pub(\([^)]*\))? )?[a-z_]+: / { fields++; if (/: bool,/) bools++ }
    END { printf "struct Supervisor: %d fields, %d of them bools\n", fields, bools }'
