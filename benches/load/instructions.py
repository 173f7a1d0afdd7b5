#!/usr/bin/env python3
"""User-space instructions that a server spends on a request, counted by valgrind.

    python3 instructions.py --port 8000 --works evaluated,one_flag -- burgee serve --config bench.toml
    python3 instructions.py --port 8000 --ceiling evaluated=30000 -- burgee serve --config bench.toml

The server runs twice under callgrind: once it gets --first requests, once --second, over one keep-alive
connection, one at a time, always the same sequence. The difference of the two totals belongs to the
requests between them; start, stop and the first requests' extra work cancel out. Time plays no part, so a
busy machine does not disturb it and CI can hold a ceiling.

COMMAND must be the server itself, not a shell or `env` around it (settings: set them in the environment of
this script). {port} in it is replaced. Prints one JSON row per work.

Exit: 0; 1 when a ceiling is exceeded; 2 when the server or valgrind did not do what was expected.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import workload

DEFAULT_ETAG = '"none"'


class Failed(Exception):
    """Something that leaves no figure to print; shown without a traceback."""


def count(command, port, work, requests, options):
    """Instructions of one whole run of the server: start, `requests` requests, stop."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise Failed("port %d is taken" % port)
    folder = tempfile.mkdtemp(prefix="burgee-instructions-")
    totals, said = os.path.join(folder, "callgrind.out"), os.path.join(folder, "output")
    server = None
    try:
        with open(said, "wb") as output:
            server = subprocess.Popen(
                ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + totals, *command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        connection = connect(server, port, options)
        send(connection, work, requests, options)
        # Closed before the end, so that no run has to wait for the server's drain time.
        connection.close()
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(options.patience)
        with open(totals) as file:
            found = re.search(r"^totals: (\d+)", file.read(), re.M)
        if not found:
            raise Failed("callgrind wrote no total")
        return int(found.group(1))
    except (Failed, OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        with open(said, "rb") as output:
            tail = output.read()[-1500:].decode(errors="replace")
        raise Failed("%s, %d requests: %s\n%s" % (work, requests, error, tail))
    finally:
        if server is not None and server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def connect(server, port, options):
    """The one connection, once the server listens; then time to read its document before the first request."""
    deadline = time.monotonic() + options.patience
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Failed("the server ended with exit code %s while starting" % server.returncode)
        try:
            connection = workload.Connection(port, options.patience)
            time.sleep(options.settle)
            return connection
        except OSError:
            time.sleep(0.1)
    raise Failed("the server does not listen after %d s" % options.patience)


def send(connection, work, requests, options):
    """Both runs spend the same requests on getting going, then `requests` of the sequence."""
    first = workload.WORKS[work].unconditional or work
    deadline = time.monotonic() + options.patience
    while True:
        status, headers, body = connection.ask(workload.request(first, 0))
        if status != 503 or time.monotonic() > deadline:
            break
        time.sleep(1)
    if status != 200:
        raise Failed("the server answers %d: %s" % (status, body[:300].decode(errors="replace")))
    if json.loads(body) is None:
        raise Failed("the server answers null")
    etag = headers.get("etag", DEFAULT_ETAG)
    expected = 304 if workload.WORKS[work].unconditional else 200
    for number in range(1, requests + 1):
        status, _, _ = connection.ask(workload.request(work, number, etag=etag))
        if status != expected:
            raise Failed("request %d is answered %d, not %d" % (number, status, expected))


def ceiling(text):
    work, _, number = text.partition("=")
    if work not in workload.WORKS or not number.isdigit():
        raise argparse.ArgumentTypeError("%r is not WORK=NUMBER with a work of %s" % (text, ", ".join(workload.WORKS)))
    return work, int(number)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--works", default="evaluated,features,features_304,one_flag",
                        help="all of one document: %s" % " or ".join(
                            ",".join(workload.of_dialect(each)) for each in ("reflag", "flagsmith")))
    parser.add_argument("--first", type=int, default=200, help="requests of the shorter run")
    parser.add_argument("--second", type=int, default=1200, help="requests of the longer run")
    parser.add_argument("--ceiling", type=ceiling, action="append", default=[], metavar="WORK=NUMBER")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds between connecting and the first request")
    parser.add_argument("--patience", type=int, default=120, help="seconds that a start or a stop may take")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    options = parser.parse_args()
    options.works = options.works.split(",")
    for work in options.works:
        if work not in workload.WORKS:
            parser.error("unknown work %s; there are %s" % (work, ", ".join(workload.WORKS)))
    for work, _ in options.ceiling:
        if work not in options.works:
            parser.error("a ceiling for %s, which is not measured" % work)
    if options.second <= options.first:
        parser.error("--second must be more than --first")
    if not shutil.which("valgrind"):
        parser.error("valgrind is not installed")
    return options


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = [part.replace("{port}", str(options.port)) for part in options.command]
    ceilings = dict(options.ceiling)
    exceeded = False
    try:
        for work in options.works:
            shorter = count(command, options.port, work, options.first, options)
            longer = count(command, options.port, work, options.second, options)
            each = (longer - shorter) / (options.second - options.first)
            made = {"work": work, "instructions_per_request": round(each), "requests": [options.first, options.second],
                    "totals": [shorter, longer]}
            if work in ceilings:
                made["ceiling"] = ceilings[work]
                made["exceeded"] = each > ceilings[work]
                exceeded = exceeded or made["exceeded"]
            print(json.dumps(made), flush=True)
    except Failed as error:
        print("instructions.py: %s" % error, file=sys.stderr)
        return 2
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
