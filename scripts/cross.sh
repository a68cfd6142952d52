#!/bin/sh
# Builds what plain cargo does not: a type check for FreeBSD, and small release binaries for all systems.
#
#   cross.sh setup              installs what the others need; does nothing where it is there already
#   cross.sh freebsd            type-checks the workspace for FreeBSD
#   cross.sh freebsd-program    builds for FreeBSD, on Linux, against stand-ins for its libraries
#   cross.sh apple              builds for Apple silicon and checks that the binary is one, for old systems too, and small
#   cross.sh macos              the same for both kinds of Mac, and joins the two binaries
#   cross.sh linux [KIND]       builds for this machine's kind, or for x86_64 or aarch64, without shared libraries, and
#                               checks that it is so, and small
#
# All build the standard library from its source, since rustup's compiler has it for this system alone. So they use a
# compiler that comes with that source: rustup's with the component rust-src, or Debian's rustc-web. Nothing is ever
# skipped: what is missing is an error.
set -eu
cd "$(dirname "$0")/.."

# The versions that these builds were seen to work with. The musl of zig 0.17.1 has an allocator of zig's instead of its
# own: 124 KiB of private memory that 36 restarts make 296, where musl's makes 80 into 92.
ZIGBUILD_VERSION=0.24.0
ZIG_VERSION=0.15.2
# In pages of 16 KiB: 475,000 for the supervisor, two pages for `status --prometheus`, the judging of paths and what is said
# of lists and losses, and two for `init`.
APPLE_BYTES_MAX=540000
# The same code takes an eighth more there.
INTEL_BYTES_MAX=610000
# The oldest macOS that they run on: the first one for Apple silicon.
export MACOSX_DEPLOYMENT_TARGET=11.0
LINUX_BYTES_MAX=640000

ROOT=$PWD/target/cross
TOOLS=$ROOT/tools
# Left out of the standard library: backtraces, 149 KB, of which a stripped binary has none to show. Its sorting and
# formatting are built small.
BUILD_STD="-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size"
# A panic ends the program without a word: what it would say, and what says it, is 70 KB for Linux and 33 for a Mac. None
# is known that can happen, and a build by plain cargo tells of it. Only what gets smaller by it is inlined, 3 KB;
# and what stands in several functions is put into one of its own, as LLVM does for ARM of itself: 11 KB for x86_64.
LEAN="-Zlocation-detail=none -Zunstable-options -Cpanic=immediate-abort"
LEAN="$LEAN -Cllvm-args=-inline-threshold=0 -Cllvm-args=-enable-machine-outliner=always"

fail() {
    echo "cross.sh: $*" >&2
    exit 1
}

has_source() {
    [ -d "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/std" ]
}

# Sets RUSTC and CARGO to a compiler that has the library's source.
choose_compiler() {
    if has_source rustc; then
        RUSTC=$(command -v rustc) CARGO=$(command -v cargo)
    elif has_source /usr/bin/rustc; then
        RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
    else
        return 1
    fi
    # Building the library is an unstable feature of cargo; this allows it on a stable one.
    export RUSTC CARGO RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$ROOT"
}

# Debian's compiler where there is one, since a machine may have no way to rustup's downloads.
install_compiler() {
    if [ "$(id -u)" = 0 ] && apt-get update -q && apt-cache show rustc-web >/dev/null 2>&1; then
        apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src
    else
        rustup component add rust-src
    fi
}

setup() {
    choose_compiler || install_compiler
    choose_compiler || fail "cannot find a compiler with the library's source after installing one"
    [ "$(uname)" = Linux ] || return 0
    # In an environment of its own, so that no Python of this machine changes.
    [ -x "$TOOLS/bin/pip" ] || python3 -m venv "$TOOLS"
    "$TOOLS/bin/python3" -m pip install --quiet "cargo-zigbuild==$ZIGBUILD_VERSION" "ziglang==$ZIG_VERSION"
    echo "$("$RUSTC" --version), zig $ZIG_VERSION, cargo-zigbuild $ZIGBUILD_VERSION"
}

has_zigbuild() {
    [ -x "$TOOLS/bin/cargo-zigbuild" ] || fail "cannot find cargo-zigbuild: run make setup-cross"
}

check_freebsd() {
    "$CARGO" check --workspace $BUILD_STD --target x86_64-unknown-freebsd
}

# zig knows what the system's libraries hold, from FreeBSD 14 on.
build_freebsd() {
    [ "$(uname)" = Linux ] || fail "cannot build for FreeBSD on $(uname)"
    has_zigbuild
    target=x86_64-unknown-freebsd
    env PATH="$TOOLS/bin:$PATH" CARGO_TARGET_X86_64_UNKNOWN_FREEBSD_RUSTFLAGS="$LEAN" \
        "$TOOLS/bin/cargo-zigbuild" zigbuild --release --bin worker-supervisor $BUILD_STD --target "$target"
    program=$ROOT/$target/release/worker-supervisor
    readelf --program-headers --wide "$program" | grep -q 'interpreter: /libexec/ld-elf.so.1' ||
        fail "$program is not for FreeBSD"
    echo "$program: FreeBSD ELF, $(size_of "$program") bytes"
}

build_apple() {
    build_mach_o aarch64-apple-darwin arm64 0c000001 "$APPLE_BYTES_MAX"
}

build_macos() {
    build_apple
    build_mach_o x86_64-apple-darwin x86_64 07000001 "$INTEL_BYTES_MAX"
    join_macos
}

# Builds for a target, and checks the file: its kind in words and as the file has it, and its size.
build_mach_o() {
    target=$1 kind=$2 cpu=$3 bytes_max=$4
    variable=CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_RUSTFLAGS
    set -- --release --bin worker-supervisor $BUILD_STD --target "$target"
    case $(uname) in
    Darwin)
        env "$variable=$LEAN" "$CARGO" build "$@"
        ;;
    Linux)
        has_zigbuild
        # zig's linker strips; rustc's own way needs a tool that Debian's compiler does not have. zig brings the system
        # libraries too, and an empty SDK keeps rustc from warning that it found none.
        mkdir -p "$ROOT/no-sdk"
        env "PATH=$TOOLS/bin:$PATH" SDKROOT="$ROOT/no-sdk" CARGO_PROFILE_RELEASE_STRIP=none \
            "$variable=-C link-arg=-Wl,-x $LEAN" "$TOOLS/bin/cargo-zigbuild" zigbuild "$@"
        ;;
    *)
        fail "cannot build for macOS on $(uname)"
        ;;
    esac
    check_mach_o "$ROOT/$target/release/worker-supervisor" "$kind" "$cpu" "$bytes_max"
}

# musl instead of glibc: nothing to load, and its allocator keeps a few pages. zig brings it, with an unwinder. A fixed
# address would save 12 KiB of private memory of 88, which is not worth being found there.
build_linux() {
    [ "$(uname)" = Linux ] || fail "cannot build for Linux on $(uname)"
    has_zigbuild
    kind=${1:-$(uname -m)}
    target=$kind-unknown-linux-musl
    # zig heeds -pie, but not rustc's -static-pie. A panic aborts, so that nobody reads unwind
    # tables: 108 KB.
    flags="-C link-arg=-pie -C link-self-contained=no -C force-unwind-tables=no $LEAN"
    env PATH="$TOOLS/bin:$PATH" "CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_RUSTFLAGS=$flags" \
        "$TOOLS/bin/cargo-zigbuild" zigbuild --release --bin worker-supervisor $BUILD_STD --target "$target"
    check_linux "$ROOT/$target/release/worker-supervisor"
    [ "$kind" = "$(uname -m)" ] || return 0
    # Under a name without the kind of machine.
    mkdir -p "$ROOT/linux"
    cp "$ROOT/$target/release/worker-supervisor" "$ROOT/linux/worker-supervisor.new"
    mv "$ROOT/linux/worker-supervisor.new" "$ROOT/linux/worker-supervisor"
}

# The first 16 bytes of a Mach-O file: magic, CPU type, CPU subtype, file type. Its load command LC_BUILD_VERSION (0x32,
# 32 bytes, macOS) says the oldest system that it runs on.
check_mach_o() {
    head=$(bytes "$1" 0 16)
    case $head in
    cffaedfe"$3"????????02000000) ;;
    *) fail "$1 is no 64-bit $2 Mach-O executable: it begins with $head" ;;
    esac
    version=$(bytes "$1" 0 4096 | grep -o '320000002000000001000000........' | cut -c25-32)
    [ "$version" = 00000b00 ] || fail "$1 wants another macOS than $MACOSX_DEPLOYMENT_TARGET: $version"
    check_size "$1" "Mach-O 64-bit $2, macOS $MACOSX_DEPLOYMENT_TARGET or later" "$4"
}

# One file for both kinds of Mac: a header in big-endian order, then each of the two at a page of 16 KiB (fat.h, as lipo
# writes it). Kind, subkind, offset, size and alignment (2 to the 14th) stand in it for each.
join_macos() {
    intel=$ROOT/x86_64-apple-darwin/release/worker-supervisor
    apple=$ROOT/aarch64-apple-darwin/release/worker-supervisor
    joined=$ROOT/macos/worker-supervisor
    intel_bytes=$(size_of "$intel") apple_bytes=$(size_of "$apple")
    apple_at=$(((16384 + intel_bytes + 16383) / 16384 * 16384))
    mkdir -p "$ROOT/macos"
    {
        words cafebabe 2
        words 01000007 3 16384 "$intel_bytes" 14
        words 0100000c 0 "$apple_at" "$apple_bytes" 14
    } >"$joined.new"
    dd if="$intel" of="$joined.new" bs=16384 seek=1 conv=notrunc 2>/dev/null
    dd if="$apple" of="$joined.new" bs=16384 seek=$((apple_at / 16384)) conv=notrunc 2>/dev/null
    tail -c +16385 "$joined.new" | head -c "$intel_bytes" | cmp - "$intel" &&
        tail -c +$((apple_at + 1)) "$joined.new" | cmp - "$apple" || fail "$joined.new does not hold the two binaries"
    chmod 755 "$joined.new"
    mv "$joined.new" "$joined"
    echo "$joined: both, $(size_of "$joined") bytes"
}

# Writes 32-bit words in big-endian order: the first one in hexadecimal, the others in decimal.
words() {
    text=$1
    shift
    for word; do text=$text$(printf %08x "$word"); done
    printf "$(echo "$text" | sed 's/../ 0x&/g' | xargs printf '\\%03o' )"
}

# Bytes of a file in hexadecimal: from an offset, so many.
bytes() {
    od -An -v -tx1 -j "$2" -N "$3" "$1" | tr -d ' \n'
}

# Another kind of machine's program is run by an emulator.
check_linux() {
    type=$(readelf --file-header "$1" | awk '$1 == "Type:" { print $2 }')
    [ "$type" = DYN ] || fail "$1 is no position-independent ELF executable but $type"
    ! readelf --program-headers --wide "$1" | grep -E '^ *INTERP ' || fail "$1 wants shared libraries"
    emulator=
    [ "$kind" = "$(uname -m)" ] || emulator=qemu-$kind
    [ -z "$emulator" ] || command -v "$emulator" >/dev/null || fail "cannot find $emulator: install Debian's qemu-user"
    $emulator "$1" --version >/dev/null || fail "$1 does not run"
    check_size "$1" "static ELF" "$LINUX_BYTES_MAX"
}

size_of() {
    wc -c <"$1" | tr -d ' '
}

check_size() {
    echo "$1: $2, $(size_of "$1") of at most $3 bytes"
    [ "$(size_of "$1")" -le "$3" ] || fail "the binary has outgrown its limit"
}

case ${1-} in
setup) setup ;;
freebsd | freebsd-program | apple | macos | linux)
    choose_compiler || fail "cannot find a compiler with the library's source: run make setup-cross"
    case $1 in
    freebsd) check_freebsd ;;
    freebsd-program) build_freebsd ;;
    apple) build_apple ;;
    macos) build_macos ;;
    linux) build_linux "${2-}" ;;
    esac
    ;;
*) fail "usage: cross.sh setup | freebsd | freebsd-program | apple | macos | linux [KIND]" ;;
esac
