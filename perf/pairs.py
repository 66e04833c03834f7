#!/usr/bin/env python3
"""Measures the pairs of perf/sql that read the sample shop: NAME.sql beside NAME_correlated.sql.

Prints for each: PostgreSQL's CPU time per statement with pgbench (conversion to text and sending included), the best of
some interleaved rounds; the executor's median time by EXPLAIN (ANALYZE, TIMING OFF), and the pages it touched. Needs what
loadtest/run.py needs; nothing else may use the machine meanwhile. An argument names the pairs by part of their name.
"""

import glob
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "loadtest"))
import measure  # noqa: E402
from shop import Shop  # noqa: E402

ROUNDS = 3
EXPLAINED = 8


def main():
    part = sys.argv[1] if len(sys.argv) > 1 else "rows-many"
    others = sorted(glob.glob(os.path.join(HERE, "sql", f"*{part}*_correlated.sql")))
    pairs = [(other.replace("_correlated", ""), other) for other in others]
    print(f"{'pair':24}{'CPU us':>9}{'corr.':>9}{'ratio':>7}{'executor ms':>13}{'corr.':>8}{'pages':>8}{'corr.':>8}")
    with Shop() as shop:
        for pair in pairs:
            spent = {path: [] for path in pair}
            for _ in range(ROUNDS):
                for path in pair:
                    spent[path].append(cpu_us(shop, path))
            ours, other = (min(spent[path]) for path in pair)
            (ms, pages), (other_ms, other_pages) = (explained(shop, path) for path in pair)
            name = os.path.basename(pair[0]).removesuffix(".sql")
            print(
                f"{name:24}{ours:9.1f}{other:9.1f}{ours / other:7.2f}{ms:13.3f}{other_ms:8.3f}{pages:8}{other_pages:8}",
                flush=True,
            )


def cpu_us(shop, path):
    """One client, one second, prepared."""
    command = [shop.bin + "/pgbench", "-n", "-M", "prepared", "-f", path, "-T", "1", "-U", "postgres"]
    before = measure.family_cpu_us(shop.process.pid)
    done = subprocess.run(command + [*shop.where(), "shop"], capture_output=True, text=True, check=True)
    spent = measure.family_cpu_us(shop.process.pid) - before
    return spent / int(re.search(r"actually processed: (\d+)", done.stdout).group(1))


def explained(shop, path):
    with open(path) as file:
        sql = file.read()
    times, pages = [], 0
    for _ in range(EXPLAINED):
        plan = shop.psql(sql="explain (analyze, buffers, timing off) " + sql.split("\n", 1)[1])
        times.append(float(re.search(r"Execution Time: ([\d.]+)", plan).group(1)))
        hit = re.search(r"shared hit=(\d+)", plan)
        pages = int(hit.group(1)) if hit else 0
    return statistics.median(times), pages


if __name__ == "__main__":
    main()
