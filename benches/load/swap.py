#!/usr/bin/env python3
"""Latency of requests while a large document is swapped beneath another environment, and while it is not.

    python3 swap.py --binary ../../target/release/burgee --flags 10000 --rounds 3 --seconds 10

Burgee serves two environments from files: `bench`, which is asked, and `large`, whose document is replaced every
2 s by one with another version and other rules, or left alone. Rounds with and without swaps take turns. The
requests are those of evaluated.lua, paced by wrk so that neither side is the bottleneck. Prints one JSON row per
round and the ratio of the medians.

Talks to 127.0.0.1 only, ends only what it started.
"""
import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    return [s.getsockname()[1] for s in sockets]


def template(flags):
    """So many flags, made from the reference document's, with gaps for what a version changes: making a document must
    not take the processor from what is measured."""
    with open(os.path.join(HERE, "..", "reference.json")) as file:
        reference = json.load(file)["features"]
    features = []
    for number in range(flags):
        flag = dict(reference[number % len(reference)], key=f"flag-{number}")
        features.append(flag)
    features[0]["targeting"] = {"version": 1, "rules": [{"filter": {"type": "constant", "value": "@rule@"}}]}
    text = json.dumps({"success": True, "flagStateVersion": "@version@", "features": features})
    before, rest = text.split('"@version@"')
    return before, *rest.split('"@rule@"')


def document(template, version):
    """The template with a version, and with another rule in its first flag than in the version before."""
    before, between, after = template
    return f"{before}{version}{between}{'true' if version % 2 == 0 else 'false'}{after}"


def replace(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


def millis(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def served(admin, name):
    """Version of an environment and the age of its last change."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/status", timeout=5) as answer:
        environments = json.load(answer)["environments"]
    return next(e["version"] for e in environments if e["name"] == name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--flags", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--delay", type=int, default=5, help="ms that wrk waits before each request of a connection")
    arguments = parser.parse_args()
    port, admin = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        large, bench = os.path.join(folder, "large.json"), os.path.join(folder, "bench.json")
        subprocess.run(
            ["python3", os.path.join(HERE, "reflag_document.py"), "--out", bench], check=True, stdout=subprocess.DEVNULL
        )
        version, gaps = 1, template(arguments.flags)
        replace(large, document(gaps, version))
        script = os.path.join(folder, "paced.lua")
        with open(script, "w") as file:
            file.write(f'package.path = "{HERE}/?.lua;" .. package.path\n')
            file.write(f'dofile("{HERE}/evaluated.lua")\nfunction delay() return {arguments.delay} end\n')
        config = os.path.join(folder, "burgee.toml")
        with open(config, "w") as file:
            file.write(f'[server]\nlisten = "127.0.0.1:{port}"\nworkers = 1\n[admin]\nlisten = "127.0.0.1:{admin}"\n')
            for name, path in (("bench", bench), ("large", large)):
                file.write(f'[[environments]]\nname = "{name}"\n')
                if name == "bench":
                    file.write('publishable_keys = ["pub_bench_0123456789abcdef"]\n')
                file.write(f'secret_keys = ["sec_{name}_0123456789abcdef0123"]\n')
                file.write(f'source = {{ type = "file", path = "{path}", poll_interval = "100ms" }}\n')
        server = subprocess.Popen([arguments.binary, "serve", "--config", config], stderr=subprocess.DEVNULL)
        try:
            wait_until = time.monotonic() + 20
            while True:
                try:
                    if served(admin, "large") >= version and served(admin, "bench") > 0:
                        break
                except OSError:
                    pass
                if time.monotonic() > wait_until:
                    raise SystemExit("the server did not come up")
                time.sleep(0.05)
            rows = []
            for round_number in range(arguments.rounds):
                for swapping in (False, True):
                    stop, before = threading.Event(), version

                    def swap():
                        nonlocal version
                        while not stop.wait(2):
                            version += 1
                            replace(large, document(gaps, version))

                    swapper = threading.Thread(target=swap)
                    if swapping:
                        swapper.start()
                    run = subprocess.run(
                        ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "--latency", "-s", script,
                         f"http://127.0.0.1:{port}"],
                        check=True, capture_output=True, text=True,
                        env={**os.environ, "BENCH_RUN": f"{round_number}{int(swapping)}{os.getpid()}"},
                    ).stdout
                    stop.set()
                    if swapping:
                        swapper.join()
                        limit = time.monotonic() + 10
                        while served(admin, "large") < version and time.monotonic() < limit:
                            time.sleep(0.05)
                    if "Non-2xx" in run or "Socket errors" in run:
                        raise SystemExit(f"requests failed:\n{run}")
                    rows.append({
                        "round": round_number,
                        "swapping": swapping,
                        "swaps": served(admin, "large") - before,
                        "requests_per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", run)[1]),
                        "p50_ms": millis(re.search(r"^\s+50%\s+(\S+)", run, re.M)[1]),
                        "p99_ms": millis(re.search(r"^\s+99%\s+(\S+)", run, re.M)[1]),
                    })
                    print(json.dumps(rows[-1]), flush=True)
            median = {
                swapping: statistics.median(r["p99_ms"] for r in rows if r["swapping"] == swapping)
                for swapping in (False, True)
            }
            print(json.dumps({
                "flags": arguments.flags,
                "document_bytes": os.path.getsize(large),
                "p99_ms_without": median[False],
                "p99_ms_with": median[True],
                "ratio": round(median[True] / median[False], 2),
            }))
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
