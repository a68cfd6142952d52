#!/bin/sh
# Installs the supervisors that `make bench` compares with, as far as this system has them. Run it by hand: a benchmark
# installs nothing, and measures what it finds.
set -eu

case $(uname) in
Linux)
    apt-get update -q
    apt-get install -y --no-install-recommends daemontools runit s6 supervisor strace
    ;;
Darwin)
    for peer in daemontools runit s6 supervisor; do
        brew install "$peer" || echo "bench-peers.sh: $peer is not to be had here, and will not be measured" >&2
    done
    ;;
*)
    echo "bench-peers.sh: cannot install on $(uname); install daemontools, runit, s6, supervisor by hand" >&2
    exit 1
    ;;
esac
npm install --global pm2
