"""What is measured: CPU time from /proc, wrk's and pgbench's results."""

import json
import os
import re
import shutil
import subprocess
import tempfile

from shop import HERE, Refused

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


def stat(pid):
    """The fields of /proc/PID/stat after the command's name, which may hold anything."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def process_cpu_us(pid):
    """User and system time of a process with all its threads and the children it has waited for."""
    fields = stat(pid)
    return sum(int(field) for field in fields[11:15]) * TICK_US


def family_cpu_us(pid):
    """As `process_cpu_us`, with the children that still run: a postmaster and its backends."""
    while True:
        before = process_cpu_us(pid)
        total = before + sum(child_cpu_us(name, pid) for name in os.listdir("/proc") if name.isdigit())
        # A child that ended meanwhile was counted twice or not at all.
        if process_cpu_us(pid) - before < 5 * TICK_US:
            return total


def child_cpu_us(pid, parent):
    try:
        fields = stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(field) for field in fields[11:15]) * TICK_US if int(fields[1]) == parent else 0


def memory_kb(pid):
    """(RSS, highest RSS since `forget_peak`) in KiB."""
    with open(f"/proc/{pid}/status") as file:
        text = file.read()
    return tuple(int(re.search(name + r":\s+(\d+)", text).group(1)) for name in ("VmRSS", "VmHWM"))


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def need_wrk():
    """The path of wrk, installed with apt-get where that is possible."""
    if not shutil.which("wrk") and os.getuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", "wrk"], stdout=subprocess.DEVNULL, check=False)
    found = shutil.which("wrk")
    if not found:
        raise Refused("wrk not found: install it (apt-get install wrk) and try again")
    return found


def wrk(messages, port, seconds, connections, n_max, seed):
    """One run; `messages` are whole HTTP requests, `{n}` in them stands for a number from 1 to n_max."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0".join(messages))
        file.flush()
        command = [need_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
        command += ["-s", os.path.join(HERE, "scenario.lua"), f"http://127.0.0.1:{port}", "--"]
        done = subprocess.run(command + [file.name, str(n_max), str(seed)], capture_output=True, text=True)
    found = re.search(r"^RESULT (.*)$", done.stdout, re.M)
    if not found:
        raise Refused("wrk failed: " + (done.stderr or done.stdout).strip()[-300:])
    return json.loads(found.group(1))


def open_loop(program, messages, port, seconds, connections, n_max, rate):
    """Requests at a rate that doesn't wait for answers; latency counts from when a request was due."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0".join(messages))
        file.flush()
        command = [program, str(port), str(rate), str(seconds), str(connections), file.name, str(n_max)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Refused("openloop failed: " + done.stderr.strip()[-300:])
    return json.loads(done.stdout)


def pgbench(shop, twin, seconds, connections):
    """Transactions per second of one twin, and what one costs PostgreSQL."""
    command = [shop.bin + "/pgbench", "-n", "-M", "prepared", "-f", os.path.join(HERE, "twins", twin + ".sql")]
    command += ["-c", str(connections), "-T", str(seconds), "-U", "authenticator", *shop.where(), "shop"]
    before = family_cpu_us(shop.process.pid)
    done = subprocess.run(command, capture_output=True, text=True)
    spent = family_cpu_us(shop.process.pid) - before
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
    count = re.search(r"transactions actually processed: (\d+)", done.stdout)
    if done.returncode or not rate or not count or not int(count.group(1)):
        raise Refused("pgbench failed: " + (done.stderr or done.stdout).strip()[-300:])
    return {"requests_per_second": float(rate.group(1)), "postgresql_us": spent / int(count.group(1))}
