#!/usr/bin/env python3
"""Drives Trunkline and what it is compared with through the scenarios of scenarios.json, in interleaved rounds.

Makes a private PostgreSQL with the sample shop, starts the servers, and prints for each scenario: requests/s, CPU per
request of the server and of PostgreSQL, p50, p99, errors, memory. Beside them Trunkline with connections that waiting
reads share (pipelined), the ceiling (a hand-written server with one query), pgbench sending the same SQL in one pipeline
(the limit without any HTTP), and, where one is given, PostgREST. Needs Python 3.9 or newer, wrk, and PostgreSQL's server programs; nothing else may use the machine meanwhile.
"""

import argparse
import json
import os
import platform
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

import measure
from proxy import Haproxy
from reloads import Reloads, reloads_report
from server import Server, token
from shop import HERE, Refused, Shop

ROOT = os.path.dirname(HERE)
# What pgbench sends beside which scenario.
TWINS = {"one_row": ["one_row"], "rows_100": ["rows_100", "rows_100_json_agg"]}
# The one scenario that the ceiling was written for.
CEILING_SCENARIOS = {"one_row"}
# Trunkline once more, for throughput: reads that wait share a few connections.
PIPELINED = {"db-pool": 4, "server-threads": 2, "server-db-pipeline": 4}
PIPELINED_SCENARIOS = {"one_row", "one_row_wide", "rows_100", "embed_one"}
PROGRAM = {"pipelined": "trunkline"}
# Servers that take part in some scenarios alone.
ONLY_IN = {"ceiling": CEILING_SCENARIOS, "pipelined": PIPELINED_SCENARIOS}
SOAK_GROWTH_MB_MAX = 16


def main():
    # Ended from outside, it stops what it started all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options()
    with open(os.path.join(HERE, "scenarios.json")) as file:
        scenarios = json.load(file)
    if options.list:
        for scenario in scenarios:
            print(f"{scenario['name']:14} {scenario['method']:6} {scenario['path']}")
        return
    if options.only:
        picked = [name for word in options.only.split(",") for name in matching(word.strip(), scenarios)]
        scenarios = [scenario for scenario in scenarios if scenario["name"] in picked]
    measure.need_wrk()
    options.open_loop = options.open_loop and built("openloop")
    wanted = programs(options)
    # Ten thousand idle clients are as many descriptors here and in the server, which inherits the limit.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    say("loading the sample shop ...")
    with Shop() as shop:
        servers, rounds = [], None
        try:
            for name, program in wanted.items():
                more = PIPELINED if name == "pipelined" else {}
                servers.append(Server(name, program, shop, options.pool, more=more))
            rounds = Rounds(options, shop, servers)
            results = rounds.run(scenarios)
        finally:
            for server in servers + (rounds.reloads.servers if rounds else []):
                server.stop()
    report(results, scenarios)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    if options.soak:
        judge_soak(results)


def matching(word, scenarios):
    """The scenario of that name, else all whose name contains the word."""
    names = [scenario["name"] for scenario in scenarios]
    found = [word] if word in names else [name for name in names if word in name]
    if not found:
        raise Refused("no such scenario: " + word)
    return found


def judge_soak(results):
    """Fails where an answer was wrong or memory is higher than after the second round, when every buffer has grown."""
    memory = results["rss_mb_by_round"].get("trunkline") or [0]
    settled, last = memory[min(1, len(memory) - 1)], memory[-1]
    measured = [one for servers in results["scenarios"].values() for one in servers.get("trunkline", [])]
    errors = sum(one.get("errors", 0) for one in measured)
    print(f"soak: {len(memory)} rounds, {settled:.1f} MB after the second, {last:.1f} MB after the last, {errors} errors")
    if errors or last > settled + SOAK_GROWTH_MB_MAX:
        raise Refused(f"the soak failed: errors, or more than {SOAK_GROWTH_MB_MAX} MB of growth")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help="only these scenarios, by name or part of it, separated by commas")
    parser.add_argument("--seconds", type=int, default=5, help="length of one measurement (5)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each; medians are printed (3)")
    parser.add_argument("--connections", type=int, default=16, help="keep-alive connections (16)")
    parser.add_argument("--pool", type=int, default=10, help="db-pool, and pgbench's clients (10)")
    parser.add_argument("--trunkline", metavar="COMMAND", help="Trunkline (target/release/trunkline {config})")
    parser.add_argument("--ceiling", metavar="PATH", help="the ceiling's program (target/release/ceiling)")
    parser.add_argument("--postgrest", "--against", metavar="COMMAND", help="PostgREST, to compare with (none)")
    parser.add_argument("--soak", type=int, metavar="SECONDS", help="rounds for so long; fails on errors or growth")
    parser.add_argument("--without", metavar="NAMES", default="", help="leave out: trunkline, pipelined, ceiling, pgbench")
    parser.add_argument("--open-loop", action="store_true", help="also measure latency at half of the reached rate")
    parser.add_argument("--json", metavar="FILE", help="also write every measurement there")
    parser.add_argument("--list", action="store_true", help="print the scenarios and end")
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def built(name, given=None):
    """The path of one of our programs: the one given, or where cargo puts it."""
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")
    program = given or os.path.join(target, "release", name)
    if not shutil.which(shlex.split(program)[0]):
        package = "" if name == "trunkline" else " -p trunkline-bench"
        raise Refused(f"{program} not found: build it (cargo build --release{package}), or see --help to leave it out")
    return program


def programs(options):
    """Name to path of the servers that take part."""
    given = {"trunkline": options.trunkline, "pipelined": options.trunkline, "ceiling": options.ceiling, "postgrest": options.postgrest}
    wanted = given.keys() - set(options.without.split(","))
    if not options.postgrest:
        wanted -= {"postgrest"}
    return {name: built(PROGRAM.get(name, name), path) for name, path in given.items() if name in wanted}


def message(scenario, port, headers, body):
    """The whole HTTP request, `{n}` still in it."""
    lines = [f"{scenario['method']} {scenario['path']} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def every_message(scenario, port):
    return [message(scenario, port, headers, body) for headers in every_header(scenario) for body in every_body(scenario)]


def every_body(scenario):
    """The scenario's body, once for each number that stands for `"{b}"` where it has bodies."""
    if "body" not in scenario:
        return [None]
    body = scenario["body"]
    text = json.dumps(body * scenario["body_repeat"] if "body_repeat" in scenario else body)
    return [text.replace('"{b}"', str(1 + number)).encode() for number in range(scenario.get("bodies", 1))]


def every_header(scenario):
    """The scenario's headers, once for each token where it uses tokens."""
    headers = scenario.get("headers", {})
    if "tokens" not in scenario:
        return [headers]
    return [{**headers, "Authorization": "Bearer " + token(number)} for number in range(scenario["tokens"])]


class Rounds:
    """Everything is measured once a round, one after the other, so that a machine that warms up or slows down does so
    for all of them."""

    def __init__(self, options, shop, servers):
        self.options = options
        self.shop = shop
        self.servers = servers
        self.reloads = Reloads(options, shop)
        self.pgbench = "pgbench" not in options.without.split(",")
        self.results = {"machine": machine(), "options": vars(options), "start": {}, "scenarios": {}, "twins": {}}
        self.results.update({"open_loop": {}, "rss_mb_by_round": {}})

    def run(self, scenarios):
        for server in self.servers:
            idle_kb = measure.memory_kb(server.process.pid)[0]
            self.results["start"][server.name] = {"start_ms": round(server.start_ms), "rss_mb": idle_kb / 1024}
        started = time.monotonic()
        round_number = 0
        while self.another(round_number, started):
            for scenario in scenarios:
                say(f"round {round_number + 1}: {scenario['name']}")
                for server in self.servers:
                    if scenario["name"] not in ONLY_IN.get(server.name, {scenario["name"]}):
                        continue
                    by_server = self.results["scenarios"].setdefault(scenario["name"], {})
                    by_server.setdefault(server.name, []).append(self.one(server, scenario, round_number))
                if self.pgbench:
                    for twin in TWINS.get(scenario["name"], []):
                        self.results["twins"].setdefault(twin, []).append(self.twin(twin))
                if scenario["method"] != "GET":
                    self.shop.tidy()
            round_number += 1
            for server in self.servers:
                rss_mb = measure.memory_kb(server.process.pid)[0] / 1024
                self.results["rss_mb_by_round"].setdefault(server.name, []).append(rss_mb)
        if self.options.open_loop:
            for scenario in scenarios:
                self.open(scenario)
        return self.results

    def another(self, round_number, started):
        if self.options.soak:
            return round_number < 2 or time.monotonic() < started + self.options.soak
        return round_number < self.options.rounds

    def open(self, scenario):
        """Latency at half of the rate that saturates: what a client sees of a server that isn't flooded."""
        if "kind" in scenario or scenario["method"] != "GET" or "times_postgrest" not in scenario["goal"]:
            return
        for server in self.servers:
            closed = medians(self.results["scenarios"][scenario["name"]].get(server.name, []))
            if "requests_per_second" not in closed:
                continue
            say(f"open loop: {scenario['name']} on {server.name}")
            messages = every_message(scenario, server.port)
            result = measure.open_loop(
                self.options.open_loop, messages, server.port, self.options.seconds, 4 * self.options.connections,
                scenario.get("n_max", 1), closed["requests_per_second"] / 2,
            )
            self.results["open_loop"].setdefault(scenario["name"], {})[server.name] = result

    def one(self, server, scenario, seed):
        try:
            refusal = self.refusal(server, scenario)
            if refusal:
                return {"not_served": refusal}
            kind = scenario.get("kind", "load")
            kinds = {"load": self.load, "slow_reader": self.slow_reader, "idle": self.idle, "reload": self.reload}
            kinds["haproxy"] = self.haproxy
            return kinds[kind](server, scenario, seed)
        except (OSError, Refused) as error:
            return {"not_served": str(error) or type(error).__name__}

    def twin(self, name):
        try:
            return measure.pgbench(self.shop, name, self.options.seconds, self.options.pool)
        except Refused as error:
            return {"not_served": str(error)}

    def refusal(self, server, scenario):
        """Why the scenario can't be measured: the answer isn't the one expected."""
        if scenario.get("kind") in ("slow_reader", "reload"):
            return None
        path = scenario["path"].replace("{n}", "7")
        status, body = server.ask(scenario["method"], path, every_header(scenario)[0], every_body(scenario)[0])
        if status != scenario["status"]:
            return f"status {status} instead of {scenario['status']}"
        if "rows" in scenario:
            rows = len(json.loads(body))
            if rows != scenario["rows"]:
                return f"{rows} rows instead of {scenario['rows']}"
        return None

    def load(self, server, scenario, seed):
        pid = server.process.pid
        messages = every_message(scenario, server.port)
        drive = lambda seconds: measure.wrk(
            messages, server.port, seconds, self.options.connections, scenario.get("n_max", 1), seed
        )
        drive(1)
        rss_before, _ = measure.memory_kb(pid)
        measure.forget_peak(pid)
        server_before, pg_before = measure.process_cpu_us(pid), measure.family_cpu_us(self.shop.process.pid)
        ran = drive(self.options.seconds)
        server_us = measure.process_cpu_us(pid) - server_before
        pg_us = measure.family_cpu_us(self.shop.process.pid) - pg_before
        rss, peak = measure.memory_kb(pid)
        count = max(ran["requests"], 1)
        # wrk counts every status from 400 on; where such a status is expected, the others are the wrong ones.
        wrong = ran["refused"] if scenario["status"] < 400 else ran["requests"] - ran["refused"]
        return {
            "requests_per_second": ran["requests"] * 1e6 / ran["us"],
            "server_us": server_us / count,
            "postgresql_us": pg_us / count,
            "p50_ms": ran["p50_us"] / 1000,
            "p99_ms": ran["p99_us"] / 1000,
            "errors": wrong + ran["broken"],
            "rss_mb": rss / 1024,
            "rss_growth_mb": max(0, peak - rss_before) / 1024,
        }

    def reload(self, server, scenario, seed):
        return self.reloads.measure(server.name, programs(self.options)[server.name], scenario, seed)

    def haproxy(self, server, scenario, seed):
        """Two instances behind HAProxy. One of them is stopped and started again while requests come: none may fail."""
        pair = [Server(f"{server.name}-{word}", server.program, self.shop, server.pool) for word in ("one", "two")]
        try:
            with Haproxy(pair, self.shop.directory) as proxy:
                messages = [message(scenario, proxy.port, headers) for headers in every_header(scenario)]
                drive = lambda seconds: measure.wrk(
                    messages, proxy.port, seconds, self.options.connections, scenario.get("n_max", 1), seed
                )
                drive(1)
                before, proxy_before = [measure.process_cpu_us(one.process.pid) for one in pair], proxy.cpu_us()
                calm = drive(self.options.seconds)
                spent = sum(measure.process_cpu_us(one.process.pid) - then for one, then in zip(pair, before))
                proxy_us = proxy.cpu_us() - proxy_before
                kept = proxy.kept_share()
                upgrades = threading.Thread(target=upgrade, args=(pair, self.options.seconds))
                upgrades.start()
                stormy = drive(self.options.seconds)
                upgrades.join()
        finally:
            for one in pair:
                one.stop()
        failed = sum(ran["refused"] + ran["broken"] for ran in (calm, stormy))
        count = max(calm["requests"], 1)
        say(f"  HAProxy: {proxy_us / count:.1f} µs a request, {kept:.1%} of the requests over a kept connection")
        return {
            "requests_per_second": calm["requests"] * 1e6 / calm["us"],
            "server_us": spent / count,
            "p50_ms": calm["p50_us"] / 1000,
            "p99_ms": calm["p99_us"] / 1000,
            # A pool of connections that is opened anew for each request is a mistake of the set-up.
            "errors": failed + (0 if kept > 0.9 else 1),
        }

    def slow_reader(self, server, scenario, _seed):
        pid = server.process.pid
        rss_before, _ = measure.memory_kb(pid)
        measure.forget_peak(pid)
        arguments = ["slow", server.port, scenario["path"], json.dumps(scenario["headers"]), 8_000_000]
        done = subprocess.run(client(arguments), capture_output=True, text=True)
        if done.returncode:
            return {"not_served": (done.stderr.strip().splitlines() or ["the client failed"])[-1]}
        seen = json.loads(done.stdout)
        rss, peak = measure.memory_kb(pid)
        if seen["status"] != scenario["status"]:
            return {"not_served": f"status {seen['status']} instead of {scenario['status']}"}
        wrong = 0 if seen["complete"] and seen["rows"] == scenario["rows"] else 1
        memory = {"rss_mb": rss / 1024, "rss_growth_mb": max(0, peak - rss_before) / 1024}
        return {**memory, "errors": wrong, "seconds": seen["seconds"], "rows": seen["rows"]}

    def idle(self, server, scenario, _seed):
        pid = server.process.pid
        rss_before, _ = measure.memory_kb(pid)
        arguments = ["idle", server.port, scenario["path"], scenario["connections"]]
        with subprocess.Popen(client(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            killer = threading.Timer(120, process.kill)
            killer.start()
            line = process.stdout.readline()
            answered = json.loads(line)["answered"] if line else 0
            rss, _ = measure.memory_kb(pid)
            started = time.monotonic()
            served = server.ask("GET", scenario["path"])[0] == scenario["status"]
            beside_ms = (time.monotonic() - started) * 1000
            process.communicate("\n")
            killer.cancel()
        wrong = scenario["connections"] - answered + (0 if served else 1)
        memory = {"rss_mb": rss / 1024, "rss_growth_mb": max(0, rss - rss_before) / 1024}
        return {**memory, "errors": wrong, "p50_ms": beside_ms}


def upgrade(pair, seconds):
    """Ends each instance with SIGTERM and starts it again, spread over the time."""
    for server in pair:
        time.sleep(seconds / 5)
        server.stop()
        time.sleep(seconds / 5)
        server.start()


def client(arguments):
    return [sys.executable, os.path.join(HERE, "clients.py"), *map(str, arguments)]


def machine():
    """Where and what was measured, for the record."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "commit": commit.stdout.strip(),
        "command": " ".join(["loadtest/run.py", *sys.argv[1:]]),
        "load_before": os.getloadavg()[0],
    }


COLUMNS = [
    ("requests_per_second", "req/s", "{:.0f}"),
    ("server_us", "server µs", "{:.1f}"),
    ("postgresql_us", "PostgreSQL µs", "{:.0f}"),
    ("p50_ms", "p50 ms", "{:.2f}"),
    ("p99_ms", "p99 ms", "{:.2f}"),
    ("errors", "errors", "{:.0f}"),
    ("rss_mb", "RSS MB", "{:.1f}"),
    ("rss_growth_mb", "+MB", "{:.1f}"),
]


def medians(measurements):
    served = [measurement for measurement in measurements if "not_served" not in measurement]
    if len(served) < len(measurements):
        return {"not_served": next(one["not_served"] for one in measurements if "not_served" in one)}
    numbers = [key for key, value in (served[0] if served else {}).items() if isinstance(value, (int, float))]
    typical = {key: statistics.median(one[key] for one in served) for key in numbers}
    if "errors" in typical:
        typical["errors"] = sum(one["errors"] for one in served)
    return typical


def report(results, scenarios):
    about = results["machine"]
    print(f"{about['cores']} × {about['cpu']}, Linux {about['kernel']}, commit {about['commit']}")
    for name, start in results["start"].items():
        print(f"{name}: ready after {start['start_ms']} ms, then {start['rss_mb']:.1f} MB")
    print(f"\n{'scenario':14} {'server':18}" + "".join(f" {title:>13}" for _, title, _ in COLUMNS) + "   goal")
    for scenario in scenarios:
        by_server = {name: medians(rows) for name, rows in results["scenarios"].get(scenario["name"], {}).items()}
        for name, typical in by_server.items():
            line(scenario["name"], name, typical, goal(scenario) if name == "trunkline" else "")
        rates = {name: typical.get("requests_per_second") for name, typical in by_server.items()}
        for twin in TWINS.get(scenario["name"], []):
            if twin in results["twins"]:
                typical = medians(results["twins"][twin])
                line(scenario["name"], "pgbench" + twin.removeprefix(scenario["name"]), typical, "")
                rates["pgbench" if twin == scenario["name"] else twin] = typical.get("requests_per_second")
        for other in ("pgbench", "ceiling", "postgrest"):
            if rates.get("trunkline") and rates.get(other):
                print(f"{'':14} Trunkline reaches {rates['trunkline'] / rates[other]:.2f} of {other}" + pipelined(rates, other))

    for scenario in scenarios:
        if scenario.get("kind") == "reload":
            for server, rows in results["scenarios"].get(scenario["name"], {}).items():
                for text in reloads_report(rows):
                    print(f"{scenario['name']} on {server}: {text}")
    for name, by_server in results["open_loop"].items():
        for server, seen in by_server.items():
            shares = f"p99 is {seen['p99_ms'] / max(seen['p50_ms'], 0.001):.1f} × p50 (goal ≤ 3)"
            rate = f"{seen['requests_per_second']:.0f} of {seen['asked_per_second']:.0f} req/s"
            print(f"open loop: {name} on {server}, {rate}: p50 {seen['p50_ms']:.2f} ms, {shares}, {seen['errors']} errors")


def pipelined(rates, other):
    if not rates.get("pipelined"):
        return ""
    return f", pipelined ({', '.join(f'{key} {value}' for key, value in PIPELINED.items())}) {rates['pipelined'] / rates[other]:.2f}"


def line(scenario, name, typical, note):
    start = f"{scenario:14} {name:18}"
    if "not_served" in typical:
        print(f"{start} not served yet ({typical['not_served']})")
        return
    cells = [form.format(typical[key]) if key in typical else "" for key, _, form in COLUMNS]
    print(start + "".join(f" {cell:>13}" for cell in cells) + (f"   {note}" if note else ""))


def goal(scenario):
    words = {"p99_times_quiet": "p99 ≤ {} × without reloads", "cpu_us": "≤ {} µs", "times_postgrest": "≥ {} × PostgREST", "rss_growth_mb": "+ ≤ {} MB", "rss_mb": "≤ {} MB", "errors": "{} errors"}
    return ", ".join(words[key].format(value) for key, value in scenario["goal"].items())


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"loadtest: {refused}")
    except KeyboardInterrupt:
        sys.exit(130)
