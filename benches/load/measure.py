#!/usr/bin/env python3
"""CPU time per request of a server, as a multiple of what bare hyper needs for the same answers.

    python3 measure.py --subject 'burgee serve --config bench.toml' --port 8000 --document reflag.json \\
        --limit 'bare-hyper {port} {bodies}' --works evaluated,features --rounds 9 --raw rows.jsonl

Commands may hold {port}, {admin_port} (port + 1) and, for the limit, {bodies}. Several programs side by
side: repeat --subject NAME=COMMAND with {port} in each; they get --port, --port + 10 and so on.

For each work: sample answers are fetched and checked (200 and JSON; with --document also right), the limit
is started with the subject's own answer of median length, everybody gets a second of warm-up, then they
take turns in short rounds, another one first each time. The server is held on CPU 0, wrk and this script
on CPU 1. Prints one JSON row per program and work; README.md says how to read it.

Talks to 127.0.0.1 only, ends only what it started. Exit: 0; 1 when requests failed or an answer was wrong.
"""
import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import reference
import workload

HERE = os.path.dirname(os.path.abspath(__file__))
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024
DEFAULT_ETAG = '"none"'


class Failed(Exception):
    """Something that makes the figures worthless; shown without a traceback."""


class Server:
    """A program under the bench, in a session of its own so that it can be ended with its children."""

    def __init__(self, name, command, port, cpu, log):
        self.name, self.port, self.cpu, self.log = name, port, cpu, log
        self.command = shlex.split(command)
        self.process = None

    def start(self, work, patience):
        """Returns once `work` is answered 200."""
        if listening(self.port):
            raise Failed("port %d is taken; %s was not started" % (self.port, self.name))
        with on_cpu(self.cpu):
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                            start_new_session=True)
        deadline, seen = time.monotonic() + patience, "no connection"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed("%s ended with exit code %s while starting" % (self.name, self.process.returncode))
            try:
                connection = workload.Connection(self.port, 2.0)
                status, _, body = connection.ask(workload.request(work, 1, "start"))
                connection.close()
                if status == 200:
                    return
                seen = "%d %s" % (status, body[:200].decode(errors="replace"))
            except (OSError, ValueError, IndexError) as error:
                seen = str(error)
            time.sleep(0.02)
        raise Failed("%s is not ready after %d s: %s" % (self.name, patience, seen))

    def processes(self):
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = stat_fields(int(entry))
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(entry))
        found, left = [], [self.process.pid]
        while left:
            found.append(left.pop())
            left += children.get(found[-1], [])
        return found

    def rest(self):
        """Waits until work that a round left behind is over."""
        for _ in range(50):
            before = Cpu(self.processes())
            time.sleep(0.1)
            if Cpu(self.processes()).since(before)[0] < 0.005:
                return

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Cpu:
    """CPU time that processes have used so far. Linux tells it twice: user and system time of a process in
    ticks, threads that have ended included; and for each living thread its time on a CPU in nanoseconds."""

    def __init__(self, pids):
        self.user = self.system = 0.0
        self.threads = {}
        for pid in pids:
            fields = stat_fields(pid)
            if not fields:
                continue
            self.user += int(fields[11]) * TICK_SECONDS
            self.system += int(fields[12]) * TICK_SECONDS
            try:
                for thread in os.listdir("/proc/%d/task" % pid):
                    with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as file:
                        self.threads[pid, thread] = int(file.read().split()[0]) / 1e9
            except (OSError, IndexError, ValueError):
                self.threads[pid, "unreadable"] = None

    def since(self, before):
        """Total, user and system seconds. The total is the finer one, unless it misses threads that came and
        went in between: then the two are further apart than the ticks' rounding explains."""
        user, system = self.user - before.user, self.system - before.system
        total = user + system
        if self.threads.keys() == before.threads.keys() and None not in self.threads.values():
            fine = sum(self.threads.values()) - sum(before.threads.values())
            rounding = 4 * TICK_SECONDS * len({pid for pid, _ in self.threads})
            if fine > 0 and abs(fine - total) <= rounding + 0.02 * total:
                share = user / total if total else 0.0
                return fine, fine * share, fine * (1 - share)
        return total, user, system


class on_cpu:
    """What is started inside runs on that CPU. Set here rather than between fork and exec."""

    def __init__(self, cpu):
        self.cpu = cpu

    def __enter__(self):
        self.before = os.sched_getaffinity(0)
        if self.cpu is not None:
            os.sched_setaffinity(0, {self.cpu})

    def __exit__(self, *_):
        os.sched_setaffinity(0, self.before)


def stat_fields(pid):
    """The fields of /proc/PID/stat after the command name: state, parent, ..."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def resident_mib(pids):
    pages = 0
    for pid in pids:
        try:
            with open("/proc/%d/statm" % pid) as file:
                pages += int(file.read().split()[1])
        except (OSError, IndexError):
            pass
    return pages * PAGE_KIB / 1024


def listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def sample(server, work, options, document, run):
    """Fetches and checks some answers; gives the one of median length and the tag to send, if any."""
    connection = workload.Connection(server.port)
    bodies, etag = [], None
    count = options.samples if workload.WORKS[work].varies else 1
    plain = workload.WORKS[work].unconditional or work
    for number in range(1, count + 1):
        status, headers, body = connection.ask(workload.request(plain, number, run))
        if status != 200:
            raise Failed("%s answers %s with %d: %s" % (server.name, work, status,
                                                        body[:300].decode(errors="replace")))
        try:
            value = json.loads(body)
        except ValueError as error:
            raise Failed("%s answers %s with something that is not JSON: %s" % (server.name, work, error))
        expected = None if document is None else reference.answer(document, work, number, run)
        if expected is not None:
            wrong = reference.differences(value, expected)
            if wrong:
                raise Failed("%s answers request %d of %s wrongly:\n  %s"
                             % (server.name, number, work, "\n  ".join(wrong[:10])))
        bodies.append(body)
        etag = headers.get("etag")
    if plain != work:
        etag = etag or DEFAULT_ETAG
        status, _, _ = connection.ask(workload.request(work, 1, run, etag))
        if status != 304:
            raise Failed("%s answers %s with If-None-Match: %s with %d, not 304"
                         % (server.name, plain, etag, status))
        bodies.append(b"")
    connection.close()
    return sorted(bodies, key=len)[len(bodies) // 2] if count > 1 else bodies[-1], etag


def load(server, work, etag, seconds, options, run):
    """One round of wrk against one server; the row of that round."""
    script = os.path.join(HERE, workload.WORKS[work].script)
    command = ["wrk", "-t1", "-c%d" % options.connections, "-d%ds" % seconds, "--timeout", "10s", "--latency",
               "-s", script, "http://127.0.0.1:%d" % server.port]
    environment = dict(os.environ, BENCH_RUN=run)
    if etag:
        environment["ETAG"] = etag
    pids = server.processes()
    resident = 0.0
    before, started = Cpu(pids), time.monotonic()
    wrk = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while True:
            try:
                said, _ = wrk.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                resident = max(resident, resident_mib(pids))
    finally:
        if wrk.poll() is None:
            wrk.kill()
            wrk.wait()
    wall = time.monotonic() - started
    total, user, system = Cpu(server.processes()).since(before)
    counted = re.search(r"^\s*(\d+) requests in ", said, re.M)
    if wrk.returncode != 0 or not counted or int(counted.group(1)) == 0:
        raise Failed("wrk against %s: %s" % (server.name, said.strip()))
    requests = int(counted.group(1))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return {
        "requests": requests,
        "cpu_us": total / requests * 1e6, "user_us": user / requests * 1e6, "sys_us": system / requests * 1e6,
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)),
        "p50_ms": percentile(said, 50), "p99_ms": percentile(said, 99),
        "rss_mib": resident, "busy": total / wall,
        "errors": (int(failed.group(1)) if failed else 0) + (sum(map(int, broken.groups())) if broken else 0),
    }


def percentile(said, which):
    found = re.search(r"^\s+%d%%\s+([\d.]+)(us|ms|s|m)\s*$" % which, said, re.M)
    return float(found.group(1)) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[found.group(2)]


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def row(server, work, rounds, limit_rounds, idle, answer_bytes):
    def middle(member):
        return statistics.median(each[member] for each in rounds)

    low, high = quartiles([each["cpu_us"] for each in rounds])
    made = {
        "name": server.name, "work": work,
        "cpu_us_per_request": round(middle("cpu_us"), 2),
        "cpu_iqr_percent": round(100 * (high - low) / middle("cpu_us"), 1),
        "user_us": round(middle("user_us"), 2), "sys_us": round(middle("sys_us"), 2),
        "rps": round(middle("rps")), "p50_ms": round(middle("p50_ms"), 3), "p99_ms": round(middle("p99_ms"), 3),
        "rss_idle_mib": round(idle, 1), "rss_load_mib": round(max(each["rss_mib"] for each in rounds), 1),
        "busy": round(middle("busy"), 2), "answer_bytes": answer_bytes,
        "rounds": len(rounds), "requests": sum(each["requests"] for each in rounds),
        "errors": sum(each["errors"] for each in rounds),
    }
    if limit_rounds:
        ratios = [ours["cpu_us"] / limits["cpu_us"] for ours, limits in zip(rounds, limit_rounds)]
        made["ratio_to_limit"] = round(statistics.median(ratios), 3)
        made["ratio_quartiles"] = [round(value, 3) for value in quartiles(ratios)]
    return made


def run_work(work, subjects, idle, options, document, scratch, start_server, raw):
    """All rounds of one work; the number of failed requests."""
    answers = {each.name: sample(each, work, options, document, "before") for each in subjects}
    body, _ = answers[subjects[0].name]
    servers, limit = list(subjects), None
    if options.limit:
        folder = os.path.join(scratch, work)
        os.makedirs(folder)
        # For the conditional work any body will do: the limit answers 304 to If-None-Match and sends none.
        with open(os.path.join(folder, workload.WORKS[work].path.replace("/", "_")), "wb") as file:
            file.write(body or b"{}")
        limit = start_server("limit", options.limit, options.limit_port, work, bodies=folder)
        idle["limit"] = resident_mib(limit.processes())
        answers["limit"] = (body, answers[subjects[0].name][1])
        servers.append(limit)

    rounds = {each.name: [] for each in servers}
    for each in servers:
        load(each, work, answers[each.name][1], 1, options, "%s-w" % options.run)
    for number in range(options.rounds):
        first = number % len(servers)
        for each in servers[first:] + servers[:first]:
            each.rest()
            made = load(each, work, answers[each.name][1], options.seconds, options, "%s-%d" % (options.run, number))
            rounds[each.name].append(made)
            if raw:
                raw.write(json.dumps(dict({"name": each.name, "work": work, "round": number}, **made)) + "\n")
                raw.flush()

    limit_rounds = rounds.get("limit")
    for each in servers:
        print(json.dumps(row(each, work, rounds[each.name], limit_rounds, idle[each.name],
                             len(answers[each.name][0]))), flush=True)
    for each in subjects:
        sample(each, work, options, document, "after")
    if limit:
        limit.stop()
    return sum(made["errors"] for each in rounds.values() for made in each)


def machine():
    model = ""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}


def fill(command, **places):
    """Like str.format, but leaves other braces alone: a command may hold JSON."""
    for name, value in places.items():
        command = command.replace("{%s}" % name, str(value))
    return command


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", action="append", required=True, metavar="[NAME=]COMMAND")
    parser.add_argument("--limit", metavar="COMMAND", help="bare-hyper, with {port} and {bodies}; omit to have no ratio")
    parser.add_argument("--port", type=int, default=8000, help="port of the first subject")
    parser.add_argument("--limit-port", type=int, default=18000)
    parser.add_argument("--works", default=None,
                        help="of one document; default: all that the document of --document answers, Reflag's without one")
    parser.add_argument("--document", help="the document being served: answers are compared with the naive evaluator")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="length of a round; wrk knows whole seconds only")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--samples", type=int, default=40, help="answers checked before and after each work")
    parser.add_argument("--patience", type=int, default=30, help="seconds that a server may take to its first 200")
    parser.add_argument("--raw", help="append every round to this file as JSON lines")
    parser.add_argument("--log", help="append the servers' output to this file")
    parser.add_argument("--unpinned", action="store_true", help="let the scheduler choose CPUs; do not mix such rows")
    options = parser.parse_args()
    for work in (options.works or "").split(",") if options.works else []:
        if work not in workload.WORKS:
            parser.error("unknown work %s; there are %s" % (work, ", ".join(workload.WORKS)))
    if not options.unpinned and not {0, 1} <= os.sched_getaffinity(0):
        parser.error("CPUs 0 and 1 are not both available; --unpinned does without")
    if not shutil.which("wrk"):
        parser.error("wrk is not installed")
    if len(options.subject) > 1 and any("{port}" not in command for command in options.subject):
        parser.error("several subjects need {port} in each command")
    options.run = "%x" % (int(time.time()) & 0xFFFFFF)
    return options


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    document = None
    if options.document:
        with open(options.document, "rb") as file:
            document = json.load(file)
    dialect = "flagsmith" if document is not None and "feature_states" in document else "reflag"
    options.works = options.works.split(",") if options.works else workload.of_dialect(dialect)
    server_cpu = None if options.unpinned else 0
    if not options.unpinned:
        os.sched_setaffinity(0, {1})
    log = open(options.log, "ab") if options.log else subprocess.DEVNULL
    raw = open(options.raw, "a") if options.raw else None
    if raw:
        raw.write(json.dumps({"run": options.run, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                              "machine": machine(), "pinned": not options.unpinned,
                              "seconds": options.seconds, "connections": options.connections}) + "\n")
    scratch = tempfile.mkdtemp(prefix="burgee-load-")
    started = []

    def start_server(name, command, port, work, bodies=""):
        server = Server(name, fill(command, port=port, admin_port=port + 1, bodies=shlex.quote(bodies)), port,
                        server_cpu, log)
        started.append(server)
        server.start(work, options.patience)
        server.rest()
        return server

    failures = 0
    try:
        subjects, idle = [], {}
        for index, given in enumerate(options.subject):
            named = re.match(r"([\w.-]+)=(.+)", given, re.S)
            name, command = named.groups() if named else ("subject" + (str(index + 1) if index else ""), given)
            if name == "limit" or name in idle:
                raise Failed("the name %s is taken" % name)
            subjects.append(start_server(name, command, options.port + 10 * index, options.works[0]))
            idle[name] = resident_mib(subjects[-1].processes())
        for work in options.works:
            failures += run_work(work, subjects, idle, options, document, scratch, start_server, raw)
    except (Failed, ConnectionError, socket.timeout) as error:
        print("measure.py: %s" % error, file=sys.stderr)
        return 1
    finally:
        for server in started:
            server.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    if failures:
        print("measure.py: %d requests failed" % failures, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
