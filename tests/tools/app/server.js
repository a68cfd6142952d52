#!/usr/bin/env node
// A server as one should be: asked to end, by SIGTERM or by pm2's SIGINT, it finishes its requests first.
const { appendFileSync, renameSync, writeFileSync } = require("node:fs");
const { createServer } = require("node:http");

const server = createServer((request, response) => {
  if (request.url !== "/slow") return response.end("ok\n");
  appendFileSync("slow.log", `${process.pid}\n`);
  setTimeout(() => response.end("slow\n"), 500);
});
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => server.close(() => process.exit(0)));
server.listen(Number(process.env.PORT), "127.0.0.1", () => {
  writeFileSync(`server.pid.${process.pid}`, `${process.pid}\n`);
  renameSync(`server.pid.${process.pid}`, "server.pid");
});
