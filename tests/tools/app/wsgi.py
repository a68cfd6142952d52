"""The same server for gunicorn."""

import os
import time

with open(f"server.pid.{os.getpid()}", "w") as file:
    file.write(f"{os.getpid()}\n")
os.rename(f"server.pid.{os.getpid()}", "server.pid")


def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        with open("slow.log", "a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok\n"]
