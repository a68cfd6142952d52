// A small Inngest worker: one HTTP server, one function, and an end that loses no request.
//
// PORT says where it listens (3111 unless told), on the loopback address only. Whether it talks to Inngest Cloud or to a
// local dev server is the SDK's own matter: INNGEST_DEV, INNGEST_BASE_URL, INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY.

import { Inngest } from "inngest";
import { serve } from "inngest/bun";

export const inngest = new Inngest({ id: "inngest-bun-worker" });

export const greet = inngest.createFunction(
  { id: "greet", triggers: [{ event: "demo/greet" }] },
  async ({ event, step }) => step.run("compose", () => `Hello, ${event.data.name ?? "world"}!`),
);

const answerInngest = serve({ client: inngest, functions: [greet] });

let draining = false;

/** Takes no new connection, lets each running request finish, then exits. The supervisor kills what takes too long. */
async function drain(signal: string): Promise<void> {
  if (draining) return;
  draining = true;
  console.log(`${signal}: draining, ${server.pendingRequests} requests still running`);
  await server.stop();
  process.exit(0);
}

// Before the server starts, so that no signal can end a worker that already takes requests.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  process.on(signal, () => void drain(signal));
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.PORT ?? 3111),
  // A step may think for a while before its first byte; Bun would cut it off after 10 s.
  idleTimeout: 0,
  fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/api/inngest":
        return answerInngest(request);
      // Asked every 30 s. The Inngest endpoint would do as well, but with a signing key the SDK logs a stack trace for
      // each request that Inngest has not signed.
      case "/health":
        return new Response("ok\n");
      default:
        return new Response("Not found\n", { status: 404 });
    }
  },
});

console.log(`listening on ${server.url}, pid ${process.pid}`);
