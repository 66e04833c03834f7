"""The servers under test: started with a configuration of their own, asked whether they are ready, stopped."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import shlex
import subprocess
import time

from shop import Refused, free_port

SECRET = "the load test's secret, longer than thirty-two bytes"


def token(number):
    """An HS256 token of its own for each number, valid until the year 2100."""
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
    claims = {"role": "customer", "sub": f"user {number}", "exp": 4102444800}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())).decode()


class Server:
    """One running server; `start_ms` is the time to the first answer that says ready."""

    def __init__(self, name, program, shop, pool, database="shop", schemas="shop, bulk", more=None):
        self.name = name
        self.more = more or {}
        self.program, self.pool = program, pool
        self.port = free_port()
        self.admin_port = None
        self.log_path = os.path.join(shop.directory, f"{name}-{database}.log")
        if name == "ceiling":
            command = [program, str(self.port), shop.socket, "postgres", "shop", str(pool)]
        else:
            self.admin_port = free_port()
            config = os.path.join(shop.directory, f"{name}-{database}.conf")
            with open(config, "w") as file:
                for option, value in self._config(shop, pool, database, schemas).items():
                    file.write(f"{option} = {json.dumps(value)}\n")
            # A program, or a whole command in which `{config}` stands for the configuration's path.
            command = [word.replace("{config}", config) for word in shlex.split(program)]
            if "{config}" not in program:
                command.append(config)
        self.command = command
        self.start()

    def start(self):
        log = open(self.log_path, "a")
        started = time.monotonic()
        # A session of its own, as a service has: Linux shares processors out between sessions (sched_autogroup), and each of
        # PostgreSQL's processes is one. In that of the load generator the two would get together what one of those gets.
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        try:
            self._wait_until_ready(started)
        except BaseException:
            self.stop()
            raise
        self.start_ms = (time.monotonic() - started) * 1000

    def _config(self, shop, pool, database, schemas):
        return {
            "db-uri": shop.uri(database),
            "db-schemas": schemas,
            "db-anon-role": "anon",
            "db-pool": pool,
            "db-config": False,
            "jwt-secret": SECRET,
            "log-level": "crit",
            "server-host": "127.0.0.1",
            "server-port": self.port,
            "admin-server-port": self.admin_port,
            **self.more,
        }

    def _wait_until_ready(self, started):
        while time.monotonic() < started + 30:
            if self.process.poll() is not None:
                raise Refused(f"{self.name} ended: " + open(self.log_path).read().strip()[-500:])
            try:
                if self.admin_port is None:
                    self.ask("GET", "/")
                    return
                if self.ask("GET", "/ready", port=self.admin_port)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.002)
        raise Refused(f"{self.name} isn't ready after 30 s")

    def ask(self, method, path, headers=None, body=None, port=None):
        """(status, body) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
