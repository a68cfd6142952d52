#!/bin/sh
# Makes what a release consists of, in target/dist: archives, their sums, the changelog's section, Homebrew's formula.
#
#   dist.sh setup                installs what `deb` needs
#   dist.sh all                  builds for all systems that this one can build for, packs, and writes the rest
#   dist.sh pack TARGET PROGRAM  an archive of a program that was built for this target
#   dist.sh deb TARGET           a Debian package of what scripts/cross.sh has built for this target
#   dist.sh sums                 SHA-256 sums of all that is there
#   dist.sh notes                the changelog's section about this version
#   dist.sh formula ADDRESS      Homebrew's formula; the archives are to be had below ADDRESS
#   dist.sh try ARCHIVE          unpacks an archive for this system and runs its program on an example
#   dist.sh try-deb PACKAGE      installs it into an empty root, runs it there, and removes it (as root)
#   dist.sh version [TAG]        prints the version, and fails if this is not its tag or the changelog has no date for it
#
# The same commit gives the same bytes: names are sorted, owners and times fixed, and the programs hold no paths. A time
# is that of the commit, or SOURCE_DATE_EPOCH. Packing needs GNU tar.
set -eu
cd "$(dirname "$0")/.."

NAME=worker-supervisor
CARGO_DEB_VERSION=3.8.0
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
DIST=${DIST:-$PWD/target/dist}
TOOLS=$PWD/target/cross/tools
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
MACOS=universal-apple-darwin

fail() {
    echo "dist.sh: $*" >&2
    exit 1
}

# Without optimizations, which take twice as long to build and nobody here feels.
setup() {
    [ "$("$TOOLS/bin/cargo-deb" --version 2>/dev/null)" = "cargo-deb $CARGO_DEB_VERSION" ] ||
        cargo install --quiet --locked --debug --root "$TOOLS" "cargo-deb@$CARGO_DEB_VERSION"
}

all() {
    rm -rf "$DIST"
    sh scripts/cross.sh macos
    pack "$MACOS" target/cross/macos/$NAME
    if [ "$(uname)" = Linux ]; then
        for kind in x86_64 aarch64; do
            sh scripts/cross.sh linux "$kind"
            pack "$kind-unknown-linux-musl" "target/cross/$kind-unknown-linux-musl/release/$NAME"
            deb "$kind-unknown-linux-musl"
        done
        sh scripts/cross.sh freebsd-program
        pack x86_64-unknown-freebsd "target/cross/x86_64-unknown-freebsd/release/$NAME"
    fi
    notes >"$DIST/NOTES.md"
    sums
}

# Every archive has one directory, by its own name.
pack() {
    target=$1 program=$2
    archive=$NAME-$VERSION-$target
    tar=$(command -v gtar || command -v tar)
    "$tar" --version | grep -q GNU || fail "cannot pack: $tar is not GNU tar"
    staged=$(mktemp -d)
    mkdir -p "$DIST"
    stage "$staged/$archive"
    (cd "$staged" && "$tar" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
        --numeric-owner -cf - "$archive") | gzip -9n >"$DIST/$archive.tar.gz"
    rm -r "$staged"
    echo "$DIST/$archive.tar.gz: $(wc -c <"$DIST/$archive.tar.gz" | tr -d ' ') bytes"
}

# Lays out in this directory what an archive holds.
stage() {
    install -d -m 755 "$1" "$1/completions" "$1/examples" "$1/schema"
    install -m 755 "$program" "$1/$NAME"
    install -m 644 LICENSE docs/$NAME.1 "$1"
    install -m 644 completions/* "$1/completions"
    install -m 644 examples/*.toml "$1/examples"
    install -m 644 schema/*.json "$1/schema"
    case $target in
    *linux*)
        install -d -m 755 "$1/systemd"
        install -m 644 packaging/systemd/$NAME.service "$1/systemd"
        ;;
    esac
}

deb() {
    [ -x "$TOOLS/bin/cargo-deb" ] || fail "cannot find cargo-deb: run make setup-dist"
    mkdir -p "$DIST"
    CARGO_TARGET_DIR=target/cross "$TOOLS/bin/cargo-deb" --quiet --offline --no-build --no-strip --target "$1" \
        --output "$DIST"
}

sums() {
    (
        cd "$DIST"
        rm -f SHA256SUMS
        # Of what is downloaded, and not of its description.
        for file in *.tar.gz *.deb; do
            [ ! -e "$file" ] || echo "$(sum_of "$file")  $file"
        done >SHA256SUMS.new
        mv SHA256SUMS.new SHA256SUMS
        cat SHA256SUMS
    )
}

sum_of() {
    { sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; } | cut -d' ' -f1
}

# Without its heading, and without the blank lines around it.
notes() {
    text=$(awk -v heading="## $VERSION," '
        index($0, "## ") == 1 { inside = index($0, heading) == 1; next }
        inside && (NF || printed) { print; printed = 1 }' CHANGELOG.md)
    [ -n "$text" ] || fail "CHANGELOG.md has no section about $VERSION"
    printf '%s\n' "$text"
}

formula() {
    address=${1%/}
    template=packaging/homebrew/$NAME.rb
    text=$(sed -e "s|@VERSION@|$VERSION|g" -e "s|@ADDRESS@|$address|g" "$template")
    for target in "$MACOS" x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
        archive=$NAME-$VERSION-$target.tar.gz
        [ -f "$DIST/$archive" ] || fail "cannot find $DIST/$archive: run make dist"
        text=$(printf '%s\n' "$text" | sed "s|@SHA256 $target@|$(sum_of "$DIST/$archive")|")
    done
    ! printf '%s\n' "$text" | grep -n '@[A-Z0-9]\{1,\}' || fail "$template has places that nothing fills"
    printf '%s\n' "$text" >"$DIST/$NAME.rb"
}

# What whoever has downloaded it does first. The worker of the example is one that every system has.
try() {
    dir=$(mktemp -d)
    tar -xzf "$1" -C "$dir"
    program=$(echo "$dir"/*/$NAME)
    "$program" --version | grep -qx "$NAME $VERSION" || fail "$1 is not of version $VERSION"
    sed "s|^command = .*|command = [\"sleep\", \"60\"]|" "$dir"/*/examples/minimal.toml >"$dir/try.toml"
    chmod 644 "$dir/try.toml"
    HOME=$dir "$program" --config "$dir/try.toml" --dry-run || fail "$1 finds that its example can't start"
    rm -r "$dir"
}

# dpkg's own database for the empty root, so that this machine's is not touched.
try_deb() {
    dir=$(mktemp -d)
    mkdir -p "$dir/var/lib/dpkg/updates" "$dir/var/lib/dpkg/info" "$dir/proc"
    : >"$dir/var/lib/dpkg/status"
    dpkg --root="$dir" --log=/dev/null --install "$1"
    chroot "$dir" /usr/bin/$NAME --version | grep -qx "$NAME $VERSION" || fail "$1 is not of version $VERSION"
    for file in lib/systemd/user/$NAME.service share/man/man1/$NAME.1.gz share/bash-completion/completions/$NAME \
        share/zsh/vendor-completions/_$NAME share/fish/vendor_completions.d/$NAME.fish share/doc/$NAME/copyright \
        share/$NAME/$NAME.schema.json; do
        [ -f "$dir/usr/$file" ] || fail "$1 has no $file"
    done
    dpkg --root="$dir" --log=/dev/null --purge $NAME
    left=$(find "$dir/usr" ! -type d 2>/dev/null) || true
    [ -z "$left" ] || fail "$1 leaves behind: $left"
    rm -r "$dir"
}

version() {
    if [ $# -gt 0 ]; then
        [ "$1" = "v$VERSION" ] || fail "the tag $1 is not v$VERSION"
        grep -qE "^## $VERSION, [0-9]{1,2} [A-Z][a-z]+ [0-9]{4}\$" CHANGELOG.md ||
            fail "CHANGELOG.md does not say when $VERSION was released"
    fi
    echo "$VERSION"
}

command=${1-}
[ $# -eq 0 ] || shift
case $command/$# in
try-deb/1) try_deb "$1" ;;
setup/0 | all/0 | sums/0 | notes/0 | pack/2 | deb/1 | formula/1 | try/1 | version/[01]) "$command" "$@" ;;
*) fail "wrong usage: see the top of scripts/dist.sh" ;;
esac
