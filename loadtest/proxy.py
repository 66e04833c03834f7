"""HAProxy in front of two instances of one server, set up as contrib/haproxy/haproxy.cfg has it."""

import os
import shutil
import socket
import subprocess
import time

import measure
from shop import HERE, Refused, free_port

SAMPLE = os.path.join(os.path.dirname(HERE), "contrib", "haproxy", "haproxy.cfg")


class Haproxy:
    """A context: inside, it serves on `port` whatever the servers answer."""

    def __init__(self, servers, directory):
        self.program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if not self.program:
            raise Refused("HAProxy is not installed (apt-get install haproxy): left out")
        self.servers = servers
        self.port = free_port()
        self.config = os.path.join(directory, "haproxy.cfg")
        self.stats = os.path.join(directory, "haproxy.socket")
        self.log_path = os.path.join(directory, "haproxy.log")
        self.process = None

    def __enter__(self):
        with open(SAMPLE) as sample, open(self.config, "w") as file:
            file.write(self._here(sample.read()))
        log = open(self.log_path, "w")
        command = [self.program, "-db", "-f", self.config]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 10
        try:
            while not self._counts():
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Refused("HAProxy didn't start: " + open(self.log_path).read().strip()[-300:])
                time.sleep(0.01)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def _here(self, text):
        """The sample with the ports of this run in it."""
        kept = [line for line in text.splitlines() if not line.strip().startswith("server ")]
        text = "\n".join(kept).replace("bind :80", f"bind 127.0.0.1:{self.port}").replace("check port 3001 ", "check ")
        text = text.replace("global\n", f"global\n    stats socket {self.stats}\n", 1)
        for number, server in enumerate(self.servers):
            text += f"\n    server s{number} 127.0.0.1:{server.port} port {server.admin_port}"
        return text + "\n"

    def _counts(self):
        """(connections made, requests sent over a kept one), of both servers; None before it answers."""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.connect(self.stats)
                stream.sendall(b"show stat\n")
                text = b"".join(iter(lambda: stream.recv(65536), b"")).decode()
        except OSError:
            return None
        head, *lines = [line.split(",") for line in text.lstrip("# ").strip().splitlines()]
        rows = [dict(zip(head, line)) for line in lines]
        mine = [row for row in rows if row["pxname"] == "trunkline" and row["svname"].startswith("s")]
        return [sum(int(row[name] or 0) for row in mine) for name in ("connect", "reuse")]

    def kept_share(self):
        """Of the requests, how many went over a connection that was there already."""
        connects, reused = self._counts()
        return reused / max(1, connects + reused)

    def cpu_us(self):
        return measure.process_cpu_us(self.process.pid)
