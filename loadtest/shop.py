"""The private PostgreSQL with the sample shop: made, loaded, measured and removed here."""

import glob
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "512MB",
    "max_connections": "100",
    "max_wal_size": "4GB",
    # The disk is not what is measured, and nothing may run beside the measurement.
    "fsync": "off",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}


class Refused(Exception):
    """What the user has to put right, as one line."""


def free_port():
    """A free port below the range from which the kernel picks ports of outgoing connections."""
    for _ in range(200):
        port = random.randrange(20000, 32768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise Refused("no free port between 20000 and 32767")


def binaries():
    """Where initdb, postgres and pgbench are: PG_BIN, the newest Debian package, or PATH."""
    packaged = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[-2]))
    on_path = shutil.which("initdb")
    found = os.environ.get("PG_BIN") or (packaged[-1] if packaged else on_path and os.path.dirname(on_path))
    if not found or not os.path.exists(os.path.join(found, "initdb")):
        raise Refused("PostgreSQL's initdb not found: install the server's package or set PG_BIN")
    return found


class Shop:
    """A context: inside, the server runs on a unix socket in `directory`."""

    def __init__(self):
        self.bin = binaries()
        self.port = free_port()
        self.directory = tempfile.mkdtemp(prefix="trunkline-loadtest-")
        self.process = None
        # PostgreSQL refuses to run as root.
        self.identity = {}
        if os.getuid() == 0:
            try:
                owner = pwd.getpwnam("postgres")
            except KeyError:
                raise Refused("run as an ordinary user, or as root with a user named postgres") from None
            self.identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self):
        data = os.path.join(self.directory, "data")
        initdb = [self.bin + "/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        made = subprocess.run(
            initdb + ["--no-sync"], cwd=self.directory, capture_output=True, text=True, **self.identity
        )
        if made.returncode:
            raise Refused("initdb failed: " + made.stderr.strip())
        command = [self.bin + "/postgres", "-D", data, "-p", str(self.port), "-k", self.directory]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        log = open(os.path.join(self.directory, "log"), "w")
        self.process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log, **self.identity)
        deadline = time.monotonic() + 30
        while subprocess.run([self.bin + "/pg_isready", "-q", *self.where()]).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Refused("PostgreSQL didn't start: " + open(log.name).read()[-500:])
            time.sleep(0.05)
        self.psql("create database shop", database="postgres")
        self.psql(file=os.path.join(HERE, "shop.sql"))

    def where(self):
        return ["-h", self.directory, "-p", str(self.port)]

    @property
    def socket(self):
        return os.path.join(self.directory, f".s.PGSQL.{self.port}")

    def uri(self, database="shop"):
        return f"postgresql://authenticator@/{database}?host={self.directory}&port={self.port}"

    def psql(self, sql=None, file=None, database="shop", variables=()):
        what = ["-c", sql] if sql else ["-f", file]
        what += [word for variable in variables for word in ("-v", variable)]
        command = [self.bin + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *self.where(), "-U", "postgres", "-d", database]
        done = subprocess.run(command + what, capture_output=True, text=True)
        if done.returncode:
            raise Refused("psql failed: " + done.stderr.strip())
        return done.stdout

    def tidy(self):
        """Back to the state that was loaded, so that each round meets the same data."""
        self.psql("delete from shop.event where id > 200000")
        self.psql("vacuum shop.event")
        self.psql("vacuum shop.album")
        self.psql("vacuum bulk.stock")
