// Two servers on one port, replaced when they die, and ended with their requests finished.
const cluster = require("node:cluster");

if (cluster.isPrimary) {
  let isStopping = false;
  for (let count = 0; count < 2; count++) cluster.fork();
  cluster.on("exit", () => {
    if (!isStopping) cluster.fork();
  });
  process.on("SIGTERM", () => {
    isStopping = true;
    for (const worker of Object.values(cluster.workers)) worker.kill("SIGTERM");
  });
} else {
  require("./server.js");
}
