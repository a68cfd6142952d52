#!/usr/bin/env python3
"""Records a terminal for the README: docs/demo.svg, from a real run of the program with the demo worker.

    record.py PROGRAM WORKER

The supervisor is started on a terminal, its worker is killed, and `status` is asked. What they write is kept with its
times, of which only long pauses are shortened. The home directory, a temporary one, is shown as that of somebody else.
Each line is a text that CSS makes appear at its time. Without animations all of them are there: the last frame.
"""

import html
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOME_SHOWN = "/home/joe"
COLUMNS = 112
# A worker that ran for less than ten seconds would be restarted with a pause.
STABLE_SECS = 11
PAUSE_SECS_MAX = 1.5
LIMIT_SECS = 30
# How long the last frame stands before it begins again.
REST_SECS = 7
LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 19, 7.83, 16
COLOURS = {"31": "r", "32": "g", "33": "y"}

STYLE = """
svg{--back:#fbfbfa;--edge:#d0d3d8;--text:#24292f;--dim:#6a727c;--r:#b3261e;--g:#146c2e;--y:#8a5300}
@media(prefers-color-scheme:dark){svg{--back:#15181d;--edge:#343a43;--text:#dfe3e8;--dim:#8d96a1;--r:#ff8b80;--g:#6fd08c;--y:#e9b44c}}
rect{fill:var(--back);stroke:var(--edge)}
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--text);white-space:pre}
.p{font-weight:bold}.d{fill:var(--dim)}.r{fill:var(--r)}.g{fill:var(--g)}.y{fill:var(--y)}
"""


class Recording:
    """A terminal, and the lines that were written to it, each with its time."""

    def __init__(self, home):
        self.home = home
        self.lines = []
        # So many of them have been looked at.
        self.seen = 0
        self.clock = 0.0
        self.last = None
        self.rest = ""
        self.master, self.slave = pty.openpty()

    def type(self, command):
        """A command is typed after a pause."""
        self.lines.append((self.clock + PAUSE_SECS_MAX, "$ " + command))
        self.clock += PAUSE_SECS_MAX + 0.4
        self.last = time.monotonic()

    def read_until(self, pattern):
        """Keeps what is written, up to a line with this."""
        until = time.monotonic() + LIMIT_SECS
        while time.monotonic() < until:
            while self.seen < len(self.lines):
                self.seen += 1
                found = re.search(pattern, self.lines[self.seen - 1][1])
                if found:
                    return found
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            self.rest += os.read(self.master, 65536).decode()
            now = time.monotonic()
            self.clock += min(now - self.last, PAUSE_SECS_MAX)
            self.last = now
            *whole, self.rest = self.rest.split("\n")
            shown = [line.rstrip("\r").replace(self.home, HOME_SHOWN) for line in whole]
            self.lines += [(self.clock, line) for line in shown]
        sys.exit(f"record.py: nothing like {pattern!r} came: {self.lines}")


def free_port():
    """Below those that outgoing connections get, as the program wants it."""
    for port in range(3111, 4111):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit("record.py: no port is free")


def run(program, worker, home):
    port = free_port()
    os.mkdir(f"{home}/.config", 0o700)
    with open(f"{home}/.config/worker-supervisor.toml", "w") as config:
        os.chmod(config.name, 0o600)
        config.write(
            f'name = "worker"\ncommand = ["{worker}", "--port", "{port}"]\nport = {port}\n'
            f'health_endpoint = "/health"\nsync_endpoint = "/api/inngest"\nport_conflict = "wait"\n'
        )
    environment = {"HOME": home, "PATH": os.environ["PATH"], "TERM": "xterm"}
    recording = Recording(home)
    recording.type("worker-supervisor &")
    supervisor = subprocess.Popen(
        [program], env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=recording.slave, stderr=recording.slave
    )
    try:
        pid = int(recording.read_until(r"ready .*pid=(\d+)").group(1))
        recording.read_until("synced")
        time.sleep(STABLE_SECS)
        recording.type(f"kill -9 {pid}")
        os.kill(pid, signal.SIGKILL)
        recording.read_until("ready ")
        recording.read_until("synced")
        time.sleep(1)
        recording.type("worker-supervisor status")
        status = [program, "status"]
        subprocess.run(status, env=environment, cwd=home, stdout=recording.slave, check=True)
        recording.read_until("ago: synced")
    finally:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait(LIMIT_SECS)
    return recording.lines


def spans(line):
    """A line as pieces with a class each: commands, times of the log, and what the program has coloured."""
    if line.startswith("$ "):
        return [("d", "$ "), ("p", line[2:])]
    stamp = re.match(r"(\S+Z )(INFO |WARN |ERROR )(.*)", line)
    if stamp:
        level = {"WARN ": "y", "ERROR ": "r"}.get(stamp.group(2), "g")
        return [("d", stamp.group(1)), (level, stamp.group(2)), ("", stamp.group(3))]
    pieces, colour = [], ""
    for part in re.split(r"(\x1b\[\d+m)", line):
        code = re.fullmatch(r"\x1b\[(\d+)m", part)
        if code:
            colour = COLOURS.get(code.group(1), "")
        elif part:
            pieces.append((colour, part))
    return pieces


def cut(pieces):
    kept, left = [], COLUMNS
    for name, text in pieces:
        kept.append((name, text if len(text) <= left else text[: max(left - 1, 0)] + "…"))
        left -= len(text)
        if left < 0:
            break
    return kept


def svg(lines):
    total = lines[-1][0] + REST_SECS
    width, height = round(COLUMNS * CHARACTER_WIDTH + 2 * MARGIN), len(lines) * LINE_HEIGHT + 2 * MARGIN
    frames, texts = [], []
    for number, (at, line) in enumerate(lines):
        share = 100 * at / total
        frames.append(f"@keyframes k{number}{{0%,{share:.2f}%{{opacity:0}}{share + 0.01:.2f}%,to{{opacity:1}}}}")
        frames.append(f"#l{number}{{animation:k{number} {total:.1f}s infinite}}")
        made = [
            f'<tspan class="{name}">{html.escape(text)}</tspan>' if name else html.escape(text)
            for name, text in cut(spans(line))
        ]
        y = MARGIN + LINE_HEIGHT * (number + 1) - 5
        texts.append(f'<text id="l{number}" x="{MARGIN}" y="{y}" xml:space="preserve">{"".join(made)}</text>')
    motion = "@media(prefers-reduced-motion:no-preference){\n" + "\n".join(frames) + "\n}"
    title = "A worker is started, killed by kill -9 and back at once; status says so."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img">\n<title>{title}</title>\n<style>{STYLE}{motion}\n</style>\n'
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n' + "\n".join(texts) + "\n</svg>\n"
    )


def main():
    program, worker = map(os.path.abspath, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as home:
        lines = run(program, worker, os.path.realpath(home))
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs", "demo.svg")
    with open(page, "w") as file:
        file.write(svg(lines))


main()
