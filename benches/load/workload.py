"""The requests of the load bench, for the scripts that do not go through wrk, and a small HTTP client.

Request N of a work is the same here and in the Lua scripts (`visitors.lua` holds the twin of
`attributes`); a change to one belongs in the other.

    python3 workload.py evaluated 3        # prints the first three requests
"""
import os
import socket
import sys
from urllib.parse import quote_plus

from reflag_document import AREAS, COUNTRIES, LISTED_COMPANIES, PLANS, TOPICS, listed_company

PUBLISHABLE_KEY = os.environ.get("PUBLISHABLE_KEY", "pub_bench_0123456789abcdef")
SECRET_KEY = os.environ.get("SECRET_KEY", "sec_bench_0123456789abcdef0123")

# work: (path, wrk script, class of the key it is sent with)
WORKS = {
    "evaluated": ("/features/evaluated", "evaluated.lua", "publishable"),
    "enabled": ("/features/enabled", "enabled.lua", "publishable"),
    "one_flag": ("/features/evaluated", "one_flag.lua", "secret"),
    "features": ("/features", "features.lua", "secret"),
    "features_304": ("/features", "features_conditional.lua", "secret"),
}


def attributes(number, run="0", thread=0):
    """The evaluation context of request `number`, five to eight attributes sorted by name.

    User and company differ from request to request, thread to thread and run to run, so that no cache
    of results can help; every twentieth company is one that the document's lists may name.
    """
    user = "user-%s-%d-%d" % (run, thread, number)
    company = "company-%s-%d-%d" % (run, thread, number)
    if number % 20 == 0:
        company = listed_company(number // 20 * 7)
    found = [("company.id", company), ("company.plan", PLANS[number // 3 % 4])]
    if number % 3:
        found.append(("company.seats", str(1 + number * 37 % 500)))
    if number % 7 != 3:
        found.append(("other.app_version", "%d.%d" % (3 + number % 4, number * 3 % 10)))
    found.append(("other.country", COUNTRIES[number * 13 % 40]))
    if number % 11 > 2:
        found.append(("user.created_at", "20%02d-%02d-%02dT08:30:00Z"
                      % (18 + number // 12 % 6, 1 + number % 12, 1 + number % 28)))
    found += [("user.email", "%s@mail%d.example" % (user, number % 9)), ("user.id", user)]
    return found


def one_flag_key(number):
    return "%s-%s" % (AREAS[number % 10], TOPICS[0])


def one_flag_attributes(number, run="0", thread=0):
    """What a server SDK sends when it asks for a single flag: the two ids."""
    return [pair for pair in attributes(number, run, thread) if pair[0].endswith(".id")]


def target(work, number, run="0"):
    if work in ("evaluated", "enabled"):
        return "%s?%s&publishableKey=%s&reflag-sdk-version=browser-sdk%%2F1.6.1" % (
            WORKS[work][0], query(attributes(number, run)), PUBLISHABLE_KEY)
    if work == "one_flag":
        return "%s?%s&key=%s" % (WORKS[work][0], query(one_flag_attributes(number, run)), one_flag_key(number))
    return WORKS[work][0]


def query(pairs):
    return "&".join("context.%s=%s" % (path, quote_plus(value)) for path, value in pairs)


def request(work, number, run="0", etag=None):
    lines = ["GET %s HTTP/1.1" % target(work, number, run), "Host: 127.0.0.1"]
    if WORKS[work][2] == "secret":
        lines.append("Authorization: Bearer " + SECRET_KEY)
    if work == "features_304" and etag:
        lines.append("If-None-Match: " + etag)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection:
    """One keep-alive connection over loopback, one request at a time."""

    def __init__(self, port, timeout=30.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""

    def ask(self, message):
        """Sends one request; gives status, headers (lower-case names) and body."""
        self.socket.sendall(message)
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if status in (204, 304):
            return status, headers, b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return status, headers, self._chunks()
        return status, headers, self._exactly(int(headers.get("content-length", "0")))

    def close(self):
        self.socket.close()

    def _chunks(self):
        body = b""
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self._until(b"\r\n"):
                    pass
                return body
            body += self._exactly(size)
            self._exactly(2)

    def _until(self, mark):
        while mark not in self.held:
            self._receive()
        head, self.held = self.held.split(mark, 1)
        return head

    def _exactly(self, count):
        while len(self.held) < count:
            self._receive()
        part, self.held = self.held[:count], self.held[count:]
        return part

    def _receive(self):
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed the connection")
        self.held += part


if __name__ == "__main__":
    for n in range(1, int(sys.argv[2]) + 1):
        sys.stdout.write(request(sys.argv[1], n, etag=os.environ.get("ETAG")).decode())
