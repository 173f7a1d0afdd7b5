#!/usr/bin/env python3
"""The control plane under load: how soon a change is evaluated, how many writes last, how long a large environment takes.

    python3 origin.py --binary ../../target/release/burgee latency writes large --rounds 3

`latency`: one caller switches a flag on and off for a company (the Management API's current call), then asks the edge of
the same process for that flag with `waitForVersion` of the version that the write gave; the answer has to show the change.
A row has the write alone and the way from the write's first byte to the answer that shows it. Once with 10 flags, once
with 100.

`writes`: connections that switch flags for as long as `--seconds`, each the next as soon as the one before was
acknowledged; the edge follows all the while. Every acknowledgement has to carry a version of its own, in the end the
environment's version has to be the one before plus the number of acknowledgements, and the edge has to have it. Beside it,
how often the same disk flushes 4 KiB, measured before and afterwards.

`large`: 1,000 flags and 100,000 companies, once 100 for each flag, once all for one. A row has the memory of the process,
the way from a write to the answer that shows it, and CPU of the server per `GET /features/evaluated` of all flags and of
one (wrk, one connection).

CPU of the server is told everywhere: on a machine that others use, times are theirs as much as the server's. The server runs at nice -10 where that is allowed. Prints one JSON row per round. Talks to 127.0.0.1 only, ends only what
it started.
"""
import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone

NICE = ["nice", "-n", "-10"] if os.geteuid() == 0 else []


class Connection:
    """A keep-alive connection. Reads heads and bodies of a told length, which is all that Burgee sends here."""

    def __init__(self, port, key):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        self.rest = b""

    def ask(self, method, path, body=None):
        sent = "" if body is None else json.dumps(body)
        fields = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{self.head}{fields}\r\n{sent}".encode())
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode().lower().split("\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
        while len(self.rest) < length:
            self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        status = int(lines[0].split()[1])
        if status != 200:
            raise SystemExit(f"{method} {path}: {status} {body[:300].decode(errors='replace')}")
        return json.loads(body)

    def more(self):
        part = self.socket.recv(1 << 20)
        if not part:
            raise SystemExit("the server closed a connection")
        self.rest += part


def app_file(flags, companies):
    """An app of so many flags, with so many companies listed; `companies` is a list of counts by flag."""
    lines = ['[app]\nname = "Bench"\n[[environments]]\nname = "Production"\nproduction = true\n']
    lines += [f'[[flags]]\nkey = "flag-{n}"\nname = "Flag {n}"\n' for n in range(flags)]
    first = 0
    for number, count in enumerate(companies):
        ids = ", ".join(f'"company-{n}"' for n in range(first, first + count))
        first += count
        lines.append(f'[[targeting]]\nflag = "flag-{number}"\nenvironment = "Production"\ncompanies = [{ids}]\n')
    return "".join(lines)


class Server:
    def __init__(self, binary, folder, app):
        self.binary, self.folder = os.path.abspath(binary), folder
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.edge, self.admin, self.port = [s.getsockname()[1] for s in sockets]
        for s in sockets:
            s.close()
        with open(os.path.join(folder, "burgee.toml"), "w") as file:
            file.write(
                f'[server]\nlisten = "127.0.0.1:{self.edge}"\n[admin]\nlisten = "127.0.0.1:{self.admin}"\n'
                f'[origin]\nlisten = "127.0.0.1:{self.port}"\ndatabase = "sqlite:origin.db"\n'
                '[[environments]]\nname = "bench"\n'
                'source = { type = "origin", app = "Bench", environment = "production" }\n'
            )
        with open(os.path.join(folder, "app.toml"), "w") as file:
            file.write(app)
        started = time.monotonic()
        self.origin("apply", "app.toml")
        self.apply_seconds = time.monotonic() - started
        self.key = self.origin("create-api-key", "--app", "Bench", "--scopes", "write:flag:targeting").strip()
        self.app = json.loads(self.origin("apps", "--json"))[0]["id"]
        command = [*NICE, self.binary, "serve", "--config", "burgee.toml"]
        self.process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                environment = self.management().ask("GET", f"/api/apps/{self.app}/environments")["data"][0]["id"]
                self.environment = self.management().ask("GET", f"/api/apps/{self.app}/environments/{environment}")
                self.id, access = environment, self.environment["sdkAccess"]
                self.publishable, self.secret = access["publishableKey"], access["secretKey"]
                self.at_edge().ask("GET", "/features/evaluated")
                return
            except (OSError, SystemExit):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def origin(self, *arguments):
        run = subprocess.run([self.binary, "origin", arguments[0], "--config", "burgee.toml", *arguments[1:]],
                             cwd=self.folder, check=True, capture_output=True, text=True)
        return run.stdout

    def management(self):
        return Connection(self.port, self.key)

    def at_edge(self):
        return Connection(self.edge, self.publishable)

    def company(self, company):
        return f"/api/apps/{self.app}/envs/{self.id}/companies/{company}/flags"

    def switch(self, caller, company, flag, on):
        update = {"flagKey": f"flag-{flag}", "specificTargetValue": True if on else None}
        return caller.ask("PATCH", self.company(company), {"updates": [update]})["flagStateVersion"]

    def version(self):
        return self.management().ask("GET", f"/api/apps/{self.app}/environments/{self.id}")["flagStateVersion"]

    def cpu_seconds(self):
        """Of all threads, by the nanosecond; those that ended in between are missed."""
        tasks, total = f"/proc/{self.process.pid}/task", 0
        for thread in os.listdir(tasks):
            try:
                with open(f"{tasks}/{thread}/schedstat") as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass
        return total / 1e9

    def memory_mib(self, member="VmRSS"):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(member + ":"))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def figures(name, seconds):
    ordered = sorted(seconds)
    at = lambda share: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
    return {f"{name}_p50_ms": at(0.5), f"{name}_p99_ms": at(0.99), f"{name}_max_ms": at(1)}


def way_of_a_change(server, writes, flag=0):
    """Seconds of each write, and from its first byte to the answer of the edge that shows it."""
    management, edge = server.management(), server.at_edge()
    write, shown = [], []
    for number in range(writes):
        company, on = f"pilot-{number // 2 % 50}", number % 2 == 0
        start = time.perf_counter()
        version = server.switch(management, company, flag, on)
        written = time.perf_counter()
        path = f"/features/evaluated?key=flag-{flag}&context.company.id={company}&waitForVersion={version}"
        answer = edge.ask("GET", path)
        end = time.perf_counter()
        enabled = answer["features"].get(f"flag-{flag}", {}).get("isEnabled", False)
        if enabled != on:
            raise SystemExit(f"the answer at version {version} does not show the change: {answer}")
        write.append(written - start)
        shown.append(end - start)
    return write, shown


def latency(arguments, row):
    for flags in (10, 100):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            server = Server(arguments.binary, folder, app_file(flags, []))
            try:
                way_of_a_change(server, 50)
                cpu = server.cpu_seconds()
                write, shown = way_of_a_change(server, arguments.writes)
                cpu = server.cpu_seconds() - cpu
            finally:
                server.stop()
        row(
            work="latency", flags=flags, writes=len(write), **figures("write", write), **figures("shown", shown),
            server_cpu_us_per_write=round(1e6 * cpu / len(write)),
        )


def flushes(folder, seconds=1):
    """How often 4 KiB are written over what is there and flushed, as the database's log is most of the time."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(4 << 20))
        os.fsync(file.fileno())
        took, start = [], time.perf_counter()
        while time.perf_counter() - start < seconds:
            one = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 4096, 4096 * (len(took) % 1024))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - one)
    return took


def writes(arguments, row):
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        server = Server(arguments.binary, folder, app_file(10, []))
        try:
            flushed = flushes(folder)
            before, cpu, outcomes = server.version(), server.cpu_seconds(), []
            start = time.perf_counter()
            end = start + arguments.seconds
            # Processes, not threads: one interpreter would be the slower side.
            children = []
            each = max(1, arguments.connections // arguments.clients)
            for child in range(arguments.clients):
                out, into = os.pipe()
                pid = os.fork()
                if pid == 0:
                    os.close(out)
                    told = write_on(server, child, each, end)
                    with os.fdopen(into, "w") as file:
                        json.dump(told, file)
                    os._exit(0)
                os.close(into)
                children.append((pid, out))
            for pid, out in children:
                with os.fdopen(out) as file:
                    outcomes += json.load(file)
                if os.waitpid(pid, 0)[1]:
                    raise SystemExit("a client failed")
            took = time.perf_counter() - start
            cpu = server.cpu_seconds() - cpu
            after = server.version()
            flushed += flushes(folder)
            versions = {version for version, _ in outcomes}
            if len(versions) != len(outcomes) or after != before + len(outcomes):
                raise SystemExit(f"{len(outcomes)} writes, {len(versions)} versions, {before} to {after}")
            shown = server.at_edge().ask("GET", f"/features/evaluated?waitForVersion={after}")["flagStateVersion"]
            if shown < after:
                raise SystemExit(f"the edge is at version {shown}, the origin at {after}")
            row(
                work="writes", connections=each * arguments.clients, seconds=round(took, 2), writes=len(outcomes),
                writes_per_second=round(len(outcomes) / took), server_cpu_us_per_write=round(1e6 * cpu / len(outcomes)),
                **figures("write", [seconds for _, seconds in outcomes]),
                flushes_per_second=round(len(flushed) / 2), **figures("flush", flushed),
                memory_mib=round(server.memory_mib(), 1),
            )
        finally:
            server.stop()


def write_on(server, child, connections, end):
    outcomes = []

    def one(number):
        caller, count = server.management(), 0
        while time.perf_counter() < end:
            # Each connection has companies of its own, so that every write changes something.
            company, turn = f"company-{child}-{number}-{count // 10 % 20}", count // 200
            start = time.perf_counter()
            version = server.switch(caller, company, count % 10, turn % 2 == 0)
            outcomes.append((version, time.perf_counter() - start))
            count += 1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def cpu_per_request(server, query, seconds):
    path = f"http://127.0.0.1:{server.edge}/features/evaluated?{query}"
    command = ["wrk", "-t1", "-c1", f"-d{seconds}s", "-H", f"Authorization: Bearer {server.publishable}", path]
    cpu = server.cpu_seconds()
    run = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cpu = server.cpu_seconds() - cpu
    if "Non-2xx" in run or "Socket errors" in run:
        raise SystemExit(run)
    requests = int(next(line for line in run.splitlines() if "requests in" in line).split()[0])
    return round(1e6 * cpu / requests, 1)


def large(arguments, row):
    for shape, companies in (("100 for each flag", [100] * 1000), ("all for one flag", [100_000])):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            server = Server(arguments.binary, folder, app_file(1000, companies))
            try:
                at_start = server.memory_mib()
                cpu = server.cpu_seconds()
                write, shown = way_of_a_change(server, 30)
                cpu = server.cpu_seconds() - cpu
                row(
                    work="large", flags=1000, companies=shape, apply_seconds=round(server.apply_seconds, 2),
                    memory_at_start_mib=round(at_start, 1), memory_mib=round(server.memory_mib(), 1),
                    memory_peak_mib=round(server.memory_mib("VmHWM"), 1),
                    **figures("write", write), **figures("shown", shown),
                    server_cpu_ms_per_write=round(1e3 * cpu / len(write), 1),
                    evaluated_cpu_us=cpu_per_request(server, "context.company.id=company-77", 2),
                    one_flag_cpu_us=cpu_per_request(server, "key=flag-0&context.company.id=company-77", 2),
                )
            finally:
                server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("works", nargs="+", choices=["latency", "writes", "large"])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--writes", type=int, default=600, help="of one round of `latency`")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--clients", type=int, default=2, help="processes that share the connections")
    parser.add_argument("--folder", help="where databases are made: the disk that is measured")
    arguments = parser.parse_args()
    rows = []
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    print(json.dumps({"at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "machine": machine}), flush=True)
    for number in range(arguments.rounds):
        def row(**values):
            busy = round(os.getloadavg()[0], 2)
            rows.append({"round": number, **values, "machine_load": busy})
            print(json.dumps(rows[-1]), flush=True)

        for work in arguments.works:
            {"latency": latency, "writes": writes, "large": large}[work](arguments, row)
    groups = {}
    for each in rows:
        groups.setdefault((each["work"], each.get("flags"), each.get("companies")), []).append(each)
    for (work, *_), group in groups.items():
        numbers = [name for name, value in group[0].items() if isinstance(value, (int, float)) and name != "round"]
        medians = {name: round(statistics.median(each[name] for each in group), 3) for name in numbers}
        print(json.dumps({"median_of": len(group), "work": work, **medians}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
