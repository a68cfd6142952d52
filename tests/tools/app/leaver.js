// Starts a process that outlives it, in a session of its own, in each of three ways; then it serves. Not sleep(1): on
// macOS nobody sees the environment of a program that came with the system.
const { spawn } = require("node:child_process");
const wait = "import signal; signal.pause()";
const script = `
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    if sys.argv[1] == "setsid" or os.fork() == 0:
        with open("left.log", "a") as log:
            log.write(f"{os.getpid()}\\n")
        signal.pause()
    os._exit(0)
`;
const { appendFileSync } = require("node:fs");
const detached = spawn("python3", ["-c", wait], { detached: true, stdio: "ignore" });
appendFileSync("left.log", `${detached.pid}\n`);
let started = 0;
for (const way of ["setsid", "double fork"]) {
  spawn("python3", ["-c", script, way], { stdio: "ignore" }).on("exit", () => {
    if (++started === 2) require("./server.js");
  });
}
