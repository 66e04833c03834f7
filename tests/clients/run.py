#!/usr/bin/env python3
"""Drives the clients that applications use for PostgREST through their features, against `trunkline demo`.

    run.py [SERVER]        the program to run; target/release/trunkline by default

Fetches @supabase/postgrest-js from npm and postgrest from PyPI into a temporary folder, so it needs a network, Node 20
and Python's venv; a client that can't be fetched is passed over with a line that says so. `make clients` runs it, the
gate does not.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATIENCE_SECONDS = 60


class Demo:
    """`trunkline demo` with scratch.sql loaded into it, reloaded and ready."""

    def __init__(self, server):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile("w+")
        command = [server, "demo", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def __enter__(self):
        try:
            self._wait("served", lambda: self._status("/") == 200)
            text = self._text()
            self.token = re.search(r"TOKEN=(\S+)", text).group(1)
            psql = shlex.split(re.search(r"Look inside: (.*)", text).group(1))
            subprocess.run([*psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", os.path.join(HERE, "scratch.sql")], check=True)
            self._wait("reloaded", lambda: self._status("/paper", {"Accept-Profile": "archive"}) == 200)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def _text(self):
        self.log.seek(0)
        return self.log.read()

    def _status(self, path, headers=None):
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers or {})) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def _wait(self, what, done):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the demo was not {what}:\n{self._text()}")
            time.sleep(0.05)


def fetch_javascript(folder):
    if not shutil.which("npm"):
        return None
    with open(os.path.join(folder, "package.json"), "w") as file:
        json.dump({"private": True, "type": "module"}, file)
    shutil.copy(os.path.join(HERE, "javascript.mjs"), folder)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "@supabase/postgrest-js@2"]
    done = subprocess.run(install, cwd=folder, capture_output=True)
    return ["node", os.path.join(folder, "javascript.mjs")] if done.returncode == 0 else None


def fetch_python(folder):
    environment = os.path.join(folder, "venv")
    if subprocess.run([sys.executable, "-m", "venv", environment], capture_output=True).returncode != 0:
        return None
    python = os.path.join(environment, "bin", "python")
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", "postgrest>=2,<3"], capture_output=True)
    return [python, os.path.join(HERE, "python.py")] if done.returncode == 0 else None


def main():
    server = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "target", "release", "trunkline")
    failed = False
    for name, fetch in {"postgrest-js": fetch_javascript, "postgrest-py": fetch_python}.items():
        with tempfile.TemporaryDirectory() as folder:
            command = fetch(folder)
            if command is None:
                print(f"{name}: could not be fetched; passed over")
                continue
            # A demo of its own: each client finds the same rows.
            with Demo(server) as demo:
                done = subprocess.run([*command, demo.url, demo.token])
            failed = failed or done.returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
