#!/usr/bin/env python3
"""What idle event streams cost, and how soon a change reaches them.

    python3 streams.py --binary ../../target/release/burgee --streams 10000 --raw ../results/streams.jsonl

A fake upstream, which is part of this script, announces versions on its `/sse/server`; Burgee follows it, and clients
listen to Burgee's `/sse/client`. The server is held on CPU 0, everything else on CPU 1. Prints one JSON row for each of:

    memory    resident bytes of the server for each idle stream, and what the kernel holds for both ends of one
    idle      the server's CPU while nothing happens but heartbeats, in percent of a core
    all       milliseconds from the announcement upstream to the first and to the last of all clients, over --changes;
              `from_publish` counts from the upstream's last byte of the new rules in place of the announcement
    requests  latency of `GET /features/evaluated`, 200 a second, while all listen: when nothing happens, and during changes
    one       milliseconds from the announcement upstream to a single client's event, over 200 changes

The clients' own work, which is this script's, is part of what `all` shows. Needs as many file descriptors as streams.
Talks to 127.0.0.1 only, ends only what it started.
"""
import argparse
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PUBLISHABLE, SECRET = "pub_bench_0123456789abcdef", "sec_bench_0123456789abcdef0123"
TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Upstream:
    """The reference document, another version of it at each change, and word of it on a stream."""

    def __init__(self):
        with open(os.path.join(HERE, "..", "reference.json")) as file:
            self.document = json.load(file)
        self.version, self.given = 1, 0.0
        self.streams, self.lock = [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.prepare()
        threading.Thread(target=self.accept, daemon=True).start()

    def prepare(self):
        """Another meaning each time, so that each version is published."""
        self.document["flagStateVersion"] = self.version
        constant = {"filter": {"type": "constant", "value": self.version % 2 == 0}}
        self.document["features"][0]["targeting"] = {"version": self.version, "rules": [constant]}
        self.body = json.dumps(self.document).encode()

    def announce(self):
        """Tells of the next version; gives the moment."""
        self.version += 1
        self.prepare()
        data = json.dumps({"name": "flags-updated", "data": json.dumps({"flagStateVersion": self.version})})
        event = f"event: message\ndata: {data}\n\n".encode()
        with self.lock:
            moment = time.perf_counter()
            for stream in self.streams:
                stream.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        return moment

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        held = b""
        while True:
            while b"\r\n\r\n" not in held:
                received = client.recv(65536)
                if not received:
                    return
                held += received
            head, held = held.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET /sse/server"):
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                               b"transfer-encoding: chunked\r\n\r\n3\r\n:\n\n\r\n")
                with self.lock:
                    self.streams.append(client)
                return
            body = self.body
            client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                           % (len(body), body))
            self.given = time.perf_counter()


class Server:
    def __init__(self, binary, upstream, folder, streams):
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            self.port, self.admin = one.getsockname()[1], two.getsockname()[1]
        config = os.path.join(folder, "burgee.toml")
        with open(config, "w") as file:
            file.write(f"""
[server]
listen = "127.0.0.1:{self.port}"
workers = 1
[admin]
listen = "127.0.0.1:{self.admin}"
[limits]
connections = {streams + 100}
streams = {streams + 10}
streams_per_environment = {streams + 10}
[[environments]]
name = "bench"
publishable_keys = ["{PUBLISHABLE}"]
[environments.source]
type = "reflag"
url = "http://127.0.0.1:{upstream.port}"
secret_key = "{SECRET}"
[environments.reflag]
secret_flags = []
""")
        self.process = subprocess.Popen(["taskset", "-c", "0", binary, "serve", "--config", config],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not upstream.streams or self.get("/features/evaluated")[0] != 200:
            if time.monotonic() > deadline:
                sys.exit("the server follows no stream")
            time.sleep(0.05)

    def get(self, path):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               f"Authorization: Bearer {PUBLISHABLE}\r\n\r\n".encode())
                answer = b""
                while received := client.recv(65536):
                    answer += received
            return int(answer.split(b" ", 2)[1]), answer
        except (OSError, IndexError):
            return 0, b""

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Clients:
    """Listens on so many streams."""

    def __init__(self, server, count, version):
        request = (f"GET /sse/client?publishableKey={PUBLISHABLE} HTTP/1.1\r\nHost: bench\r\n"
                   "Accept: text/event-stream\r\nAccept-Encoding: gzip, deflate, br\r\nCache-Control: no-cache\r\n"
                   "Origin: https://shop.example\r\nReferer: https://shop.example/\r\n"
                   "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\r\n").encode()
        self.poll, self.sockets = select.epoll(), {}
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            client.sendall(request)
            client.setblocking(False)
            self.sockets[client.fileno()] = client
            self.poll.register(client.fileno(), select.EPOLLIN)
        self.until_told(version)

    def until_told(self, version, patience=30.0):
        """Waits until everybody was told of a version; gives the moments of the first and of the last."""
        wanted = b"id: %d\n" % version
        missing, first, last = set(self.sockets), None, None
        deadline = time.monotonic() + patience
        while missing:
            if time.monotonic() > deadline:
                sys.exit(f"{len(missing)} of {len(self.sockets)} were not told of {version}")
            for fd, _ in self.poll.poll(1.0):
                received = self.sockets[fd].recv(4096)
                if not received:
                    sys.exit("a stream ended")
                if wanted in received:
                    last = time.perf_counter()
                    first = first or last
                    missing.discard(fd)
        return first, last

    def drain(self, seconds):
        """Reads what comes, for so long; gives how many pieces that were."""
        deadline, pieces = time.monotonic() + seconds, 0
        while (left := deadline - time.monotonic()) > 0:
            for fd, _ in self.poll.poll(left):
                pieces += bool(self.sockets[fd].recv(4096))
        return pieces

    def close(self):
        for client in self.sockets.values():
            client.close()


class Requests(threading.Thread):
    """Asks for all flags 200 times a second, in a process of its own, until it is stopped."""

    SCRIPT = """
import socket, sys, time
port, key = int(sys.argv[1]), sys.argv[2]
client = socket.create_connection(("127.0.0.1", port)); client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
request = (f"GET /features/evaluated?context.user.id=u1 HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer {key}\\r\\n\\r\\n").encode()
due = time.perf_counter()
while True:
    due += 0.005
    time.sleep(max(0, due - time.perf_counter()))
    client.sendall(request)
    head = b""
    while b"\\r\\n\\r\\n" not in head: head += client.recv(65536)
    head, rest = head.split(b"\\r\\n\\r\\n", 1)
    left = int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0]) - len(rest)
    while left > 0: left -= len(client.recv(65536))
    now = time.perf_counter(); print(now - due); sys.stdout.flush()
    due = max(due, now - 0.05)
"""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.process = subprocess.Popen([sys.executable, "-c", self.SCRIPT, str(server.port), PUBLISHABLE],
                                        stdout=subprocess.PIPE, text=True)
        self.latencies = []
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.latencies.append(float(line))

    def taken(self):
        latencies, self.latencies = self.latencies, []
        return latencies

    def stop(self):
        self.process.kill()
        self.process.wait()


def quantiles(values, scale=1_000.0):
    values = sorted(values)
    at = lambda share: round(values[min(len(values) - 1, int(share * len(values)))] * scale, 3)
    return {"p50": at(0.5), "p99": at(0.99), "max": at(1.0), "count": len(values)}


def kernel():
    """Bytes that the kernel holds for sockets: its own tables and the buffers."""
    with open("/proc/net/sockstat") as file:
        fields = next(line for line in file if line.startswith("TCP:")).split()
    buffers = int(fields[fields.index("mem") + 1]) * PAGE
    slab = 0
    try:
        with open("/proc/slabinfo") as file:
            for line in file:
                fields = line.split()
                if fields[0] in ("TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq"):
                    slab += int(fields[1]) * int(fields[3])
    except OSError:
        pass
    return buffers + slab


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--idle", type=float, default=40.0, help="seconds for which nothing happens")
    parser.add_argument("--raw", help="a file that the rows are added to")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    upstream = Upstream()
    rows = []

    def row(what, **fields):
        rows.append({"what": what, "streams": options.streams, **fields})
        print(json.dumps(rows[-1]), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        server = Server(os.path.abspath(options.binary), upstream, folder, options.streams)
        try:
            one = Clients(server, 1, 1)
            took = []
            for _ in range(200):
                told = upstream.announce()
                first, _ = one.until_told(upstream.version)
                took.append(first - told)
                time.sleep(0.02)
            rows.append({"what": "one", "streams": 1, **quantiles(took)})
            print(json.dumps(rows[-1]), flush=True)
            one.close()
            time.sleep(1)
            before, kernel_before = server.resident(), kernel()
            clients = Clients(server, options.streams, upstream.version)
            clients.drain(2)
            after, kernel_after = server.resident(), kernel()
            row("memory", resident_before=before, resident_after=after,
                resident_per_stream=round((after - before) / options.streams),
                kernel_for_both_ends_per_stream=round((kernel_after - kernel_before) / options.streams))
            cpu, since = server.cpu(), time.monotonic()
            pieces = clients.drain(options.idle)
            row("idle", cpu_percent=round(100 * (server.cpu() - cpu) / (time.monotonic() - since), 3),
                heartbeats_per_second=round(pieces / options.idle, 1))
            requests = Requests(server)
            clients.drain(5)
            quiet = requests.taken()
            firsts, lasts, from_publish = [], [], []
            for _ in range(options.changes):
                told = upstream.announce()
                first, last = clients.until_told(upstream.version)
                firsts.append(first - told)
                lasts.append(last - told)
                from_publish.append((first - upstream.given, last - upstream.given))
                clients.drain(0.3)
            busy = requests.taken()
            requests.stop()
            row("all", first_ms=quantiles(firsts), last_ms=quantiles(lasts),
                first_from_publish_ms=quantiles([first for first, _ in from_publish]),
                last_from_publish_ms=quantiles([last for _, last in from_publish]))
            row("requests", quiet_ms=quantiles(quiet), during_changes_ms=quantiles(busy))
            row("after", resident_per_stream=round((server.resident() - before) / options.streams))
            clients.close()
        finally:
            server.stop()
    if options.raw:
        with open(options.raw, "a") as file:
            for fields in rows:
                file.write(json.dumps(fields) + "\n")


if __name__ == "__main__":
    main()
