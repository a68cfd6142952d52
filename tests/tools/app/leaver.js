// Starts a process that outlives it, in a session of its own, in each of three ways; then it serves.
const { spawn } = require("node:child_process");
const script = `
import os, sys
if os.fork() == 0:
    os.setsid()
    if sys.argv[1] == "setsid" or os.fork() == 0:
        with open("left.log", "a") as log:
            log.write(f"{os.getpid()}\\n")
        os.execvp("sleep", ["sleep", "9999"])
    os._exit(0)
`;
const { appendFileSync } = require("node:fs");
const detached = spawn("sleep", ["9999"], { detached: true, stdio: "ignore" });
appendFileSync("left.log", `${detached.pid}\n`);
let started = 0;
for (const way of ["setsid", "double fork"]) {
  spawn("python3", ["-c", script, way], { stdio: "ignore" }).on("exit", () => {
    if (++started === 2) require("./server.js");
  });
}
