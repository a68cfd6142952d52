"""The same server in Python alone."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            with open("slow.log", "a") as log:
                log.write(f"{os.getpid()}\n")
            threading.Event().wait(0.5)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    # Closing waits for the threads that still answer.
    daemon_threads = False


server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
with open(f"server.pid.{os.getpid()}", "w") as file:
    file.write(f"{os.getpid()}\n")
os.rename(f"server.pid.{os.getpid()}", "server.pid")
server.serve_forever()
server.server_close()
