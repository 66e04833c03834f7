"""Clients that wrk can't play, each run as a process of its own: one that reads slowly, ten thousand that do nothing.

    clients.py slow PORT PATH HEADERS_JSON BYTES_PER_SECOND     prints {"rows":…, "bytes":…, "seconds":…, "complete":…}
    clients.py idle PORT PATH COUNT                             prints {"answered":…}, then waits for a line, then ends
"""

import json
import resource
import socket
import sys
import time


def head(path, headers, port):
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Chunked:
    """Counts the rows of a body as its bytes come; knows whether the last chunk, or the promised length, has come."""

    def __init__(self, answer_head):
        lower = answer_head.lower()
        self.status = int(answer_head.split(b" ")[1])
        self.left = None
        if b"content-length:" in lower:
            self.left = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        self.rows = 0
        self.bytes = 0
        self.tail = b""

    def take(self, data):
        text = self.tail + data
        self.rows += text.count(b'"id":') - self.tail.count(b'"id":')
        self.bytes += len(data)
        self.tail = text[-8:]
        if self.left is not None:
            self.left -= len(data)

    @property
    def complete(self):
        return self.left == 0 if self.left is not None else self.tail.endswith(b"\r\n0\r\n\r\n")


def slow(port, path, headers, bytes_per_second):
    stream = socket.socket()
    # Small, so that the kernel's buffers don't hide the client's slowness.
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    stream.settimeout(60)
    stream.connect(("127.0.0.1", port))
    started = time.monotonic()
    stream.sendall(head(path, headers, port))
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(1024)
        if not more:
            raise SystemExit("the connection ended before the head")
        data += more
    answer_head, _, rest = data.partition(b"\r\n\r\n")
    body = Chunked(answer_head)
    body.take(rest)
    while not body.complete:
        time.sleep(max(0, started + body.bytes / bytes_per_second - time.monotonic()))
        more = stream.recv(64 * 1024)
        if not more:
            break
        body.take(more)
    seconds = time.monotonic() - started
    result = {"status": body.status, "rows": body.rows, "bytes": body.bytes}
    print(json.dumps({**result, "seconds": round(seconds, 1), "complete": body.complete}))


def idle(port, path, count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    message = head(path, {}, port)
    streams = []
    answered = 0
    for _ in range(count):
        try:
            stream = socket.create_connection(("127.0.0.1", port), timeout=10)
            stream.sendall(message)
            answered += stream.recv(65536).startswith(b"HTTP/1.1 200")
            streams.append(stream)
        except OSError:
            break
    print(json.dumps({"answered": answered}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    if sys.argv[1] == "slow":
        slow(int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]), float(sys.argv[5]))
    else:
        idle(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
