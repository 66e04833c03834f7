"""Requests beside reloads of a large catalog: p99 with and without, in turns, on a server and a database of their own."""

import os
import re
import signal
import statistics
import threading
import time

import measure
from server import Server
from shop import HERE, Refused

RELOAD_SECONDS_MAX = 60


class Reloads:
    """Made once a run; the database and the servers come with the first measurement."""

    def __init__(self, options, shop):
        self.options = options
        self.shop = shop
        self.by_name = {}
        self.loaded = False

    @property
    def servers(self):
        return list(self.by_name.values())

    def measure(self, name, program, scenario, seed):
        server = self._server(name, program, scenario["relations"])
        if server.ask("GET", scenario["path"].replace("{n}", "7"))[0] != scenario["status"]:
            raise Refused("the database isn't served")
        text = f"GET {scenario['path']} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
        drive = lambda rate: self._drive(server, text.encode(), scenario["n_max"], seed, rate)
        closed = self._both(server, lambda: drive(None))
        rate = closed["quiet"]["requests_per_second"] / 2
        result = {"closed": closed, "open": self._both(server, lambda: drive(rate)) if self.options.open_loop else None}
        quiet = closed["quiet"]
        memory = measure.memory_kb(server.process.pid)
        return {
            "requests_per_second": quiet["requests_per_second"],
            "p50_ms": quiet["p50_ms"],
            "p99_ms": quiet["p99_ms"],
            "errors": sum(one["errors"] for pair in result.values() if pair for one in pair.values()),
            "rss_mb": memory[0] / 1024,
            "beside": result,
        }

    def _server(self, name, program, relations):
        if not self.loaded:
            self.shop.psql("create database wide")
            self.shop.psql(file=os.path.join(HERE, "wide.sql"), database="wide", variables=[f"relations={relations}"])
            self.loaded = True
        if name not in self.by_name:
            self.by_name[name] = Server(name, program, self.shop, self.options.pool, "wide", "wide")
        return self.by_name[name]

    def _drive(self, server, text, n_max, seed, rate):
        """One measurement; without a rate as many requests as the server answers."""
        options = self.options
        if rate:
            return measure.open_loop(
                options.open_loop, [text], server.port, options.seconds, 2 * options.connections, n_max, rate
            )
        ran = measure.wrk([text], server.port, options.seconds, options.connections, n_max, seed)
        return {
            "requests_per_second": ran["requests"] * 1e6 / ran["us"],
            "p50_ms": ran["p50_us"] / 1000,
            "p99_ms": ran["p99_us"] / 1000,
            "errors": ran["refused"] + ran["broken"],
        }

    def _both(self, server, drive):
        drive()
        quiet = drive()
        with Reloading(server) as reloading:
            reloading.wait_for_first()
            beside = drive()
            beside["reloads"] = reloading.finished
        # What the last reload leaves to do, connections that are replaced, is no quiet.
        time.sleep(6)
        return {"quiet": quiet, "reloading": beside}


class Reloading(threading.Thread):
    """A context in which one reload follows the other."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.ending = threading.Event()
        self.finished = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()

    def wait_for_first(self):
        """Returns in the middle of the second reload: the first has warmed up what there is to warm up."""
        self._until(lambda: self.finished)

    def run(self):
        while not self.ending.is_set():
            before = self._loads()
            self.server.process.send_signal(signal.SIGUSR1)
            self._until(lambda: self._loads() > before)
            self.finished += 1
            # A reload that is asked for sooner is only begun then.
            time.sleep(0.1)

    def _until(self, done):
        deadline = time.monotonic() + RELOAD_SECONDS_MAX
        while not done() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _loads(self):
        page = self.server.ask("GET", "/metrics", port=self.server.admin_port)[1].decode()
        found = re.search(r'^pgrst_schema_cache_loads_total\{status="SUCCESS"\} (\S+)', page, re.M)
        return float(found.group(1)) if found else 0


def reloads_report(rows):
    """A line for each way of asking: medians over the rounds, and the ratio of each round."""
    for way, words in (("closed", "as many requests as it answers"), ("open", "half as many")):
        pairs = [row["beside"][way] for row in rows if row.get("beside") and row["beside"][way]]
        if not pairs:
            continue
        p99 = {kind: statistics.median(pair[kind]["p99_ms"] for pair in pairs) for kind in ("quiet", "reloading")}
        ratios = [pair["reloading"]["p99_ms"] / max(pair["quiet"]["p99_ms"], 0.001) for pair in pairs]
        count = sum(pair["reloading"]["reloads"] for pair in pairs)
        yield (
            f"{words}: p99 {p99['reloading']:.2f} ms beside {count} reloads, {p99['quiet']:.2f} ms without, "
            f"{statistics.median(ratios):.2f} × (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        )
