#!/usr/bin/env python3
"""How long it takes from the start of the process to the first good answer.

    python3 start.py --binary ../../target/release/burgee --document flagsmith.json --rounds 30 --raw ../results/start.jsonl

The document (`flagsmith_document.py`) comes from a fake upstream on loopback, which is this script and hands it out from memory;
so do the questions, which are asked over and over on one connection until the answer is 200. Both take their share of the
machine's CPUs. Prints milliseconds from the fork to the first connection that is taken and to the first good answer: least,
median and largest of the rounds.

Talks to 127.0.0.1 only, ends only what it started.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 10.0


def upstream(document):
    """Hands the document out to whoever asks; gives the port."""
    answer = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(document)) + document
    server = socket.create_server(("127.0.0.1", 0))

    def serve(client):
        asked = b""
        try:
            while received := client.recv(65536):
                asked += received
                if b"\r\n\r\n" in asked:
                    client.sendall(answer)
                    asked = b""
        except OSError:
            pass

    def accept():
        while True:
            threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def round_of(binary, config, port, key):
    """Seconds to the first connection and to the first good answer."""
    request = f"GET /api/v1/flags/ HTTP/1.1\r\nHost: bench\r\nX-Environment-Key: {key}\r\n\r\n".encode()
    started = time.perf_counter()
    process = subprocess.Popen([binary, "serve", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listening = None
        while True:
            if time.perf_counter() - started > PATIENCE:
                sys.exit("no good answer")
            try:
                with socket.create_connection(("127.0.0.1", port)) as client:
                    listening = listening or time.perf_counter() - started
                    client.settimeout(PATIENCE)
                    while time.perf_counter() - started <= PATIENCE:
                        client.sendall(request)
                        answer = client.recv(1 << 16)
                        if answer.startswith(b"HTTP/1.1 200"):
                            return listening, time.perf_counter() - started
                        if not answer:
                            break
                        time.sleep(0.0002)
            except OSError:
                pass
    finally:
        process.terminate()
        process.wait(15)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--document", required=True)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--raw", help="a file that the row is added to")
    options = parser.parse_args()
    with open(options.document, "rb") as file:
        document = file.read()
    key = json.loads(document)["api_key"]
    port, admin = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "burgee.toml")
        with open(config, "w") as file:
            file.write(f"""
[server]
listen = "127.0.0.1:{port}"
[admin]
listen = "127.0.0.1:{admin}"
[[environments]]
name = "bench"
[environments.source]
type = "flagsmith"
url = "http://127.0.0.1:{upstream(document)}/api/v1"
server_key = "ser.bench0123456789"
push = false
""")
        rounds = [round_of(os.path.abspath(options.binary), config, port, key) for _ in range(options.rounds)]

    def spread(values):
        return [round(1_000 * value, 1) for value in (min(values), statistics.median(values), max(values))]

    row = {"what": "start", "bytes": len(document), "rounds": options.rounds,
           "listening_ms": spread([listening for listening, _ in rounds]),
           "first_answer_ms": spread([answered for _, answered in rounds])}
    print(json.dumps(row))
    if options.raw:
        with open(options.raw, "a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
