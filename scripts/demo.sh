#!/bin/sh
# Runs the supervisor in the foreground over a demo worker, so that one can watch what it does and break the worker.
# Everything it writes stays in demo, in the build directory.
set -eu
cd "$(dirname "$0")/.."

cargo build --release --bin worker-supervisor --example worker
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
demo=$target/demo
mkdir -p "$demo"

# Nobody answers on a free port: curl says so with exit code 7. Below what systems hand out to clients.
port=$((20000 + $$ % 10000))
while
    answer=0
    curl --silent --output /dev/null --max-time 1 "http://127.0.0.1:$port/" || answer=$?
    [ "$answer" -ne 7 ]
do
    port=$((port + 1))
done

cat >"$demo/demo.toml" <<EOF
command = ["$target/release/examples/worker", "--demo", "--port", "$port"]
port = $port
# Should someone else take the port meanwhile, a demo kills nobody.
port_conflict = "wait"
health_endpoint = "/health"
sync_endpoint = "/api/inngest"
health_interval_secs = 2
sync_interval_secs = 60
log_stdout = "$demo/worker.log"
log_stderr = "$demo/worker.err"
state_dir = "$demo/state"
EOF
chmod 600 "$demo/demo.toml"

supervisor="$target/release/worker-supervisor --config $demo/demo.toml"
cat <<EOF
The supervisor runs here, in the foreground, and says below what it does. From a second terminal try:

  curl -i http://127.0.0.1:$port/health
  kill -9 PID             the worker's pid stands in the lines below; it is back in milliseconds
  kill -STOP PID          it hangs: three failed probes, then a new one
  $supervisor status
  $supervisor restart
  $supervisor logs

Ctrl-C here stops both.

EOF
exec "$target/release/worker-supervisor" --config "$demo/demo.toml"
