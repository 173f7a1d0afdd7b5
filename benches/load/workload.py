"""The requests of the load bench, for the scripts that do not go through wrk, and a small HTTP client.

Request N of a work is the same here and in the Lua scripts (`visitors.lua` holds the twins of
`attributes` and `identity`); a change to one belongs in the other.

    python3 workload.py evaluated 3        # prints the first three requests
"""
import json
import os
import socket
import sys
from typing import NamedTuple
from urllib.parse import quote_plus

import flagsmith_document
from reflag_document import AREAS, COUNTRIES, PLANS, TOPICS, listed_company

PUBLISHABLE_KEY = os.environ.get("PUBLISHABLE_KEY", "pub_bench_0123456789abcdef")
SECRET_KEY = os.environ.get("SECRET_KEY", "sec_bench_0123456789abcdef0123")


class Work(NamedTuple):
    dialect: str
    path: str
    script: str
    """for wrk"""
    key: str
    """class of the key it is sent with"""
    varies: bool
    """whether answers differ from request to request"""
    unconditional: str = ""
    """for a work with If-None-Match: the same one without"""


WORKS = {
    "evaluated": Work("reflag", "/features/evaluated", "evaluated.lua", "publishable", True),
    "enabled": Work("reflag", "/features/enabled", "enabled.lua", "publishable", True),
    "one_flag": Work("reflag", "/features/evaluated", "one_flag.lua", "secret", True),
    "features": Work("reflag", "/features", "features.lua", "secret", False),
    "features_304": Work("reflag", "/features", "features_conditional.lua", "secret", False, "features"),
    "identities": Work("flagsmith", "/api/v1/identities/", "identities.lua", "publishable", True),
    "flags": Work("flagsmith", "/api/v1/flags/", "flags.lua", "publishable", False),
    "flag": Work("flagsmith", "/api/v1/flags/", "flag.lua", "publishable", True),
    "document": Work("flagsmith", "/api/v1/environment-document/", "document.lua", "secret", False),
    "document_304": Work("flagsmith", "/api/v1/environment-document/", "document_conditional.lua", "secret", False,
                         "document"),
}


def of_dialect(dialect):
    return [name for name, work in WORKS.items() if work.dialect == dialect]


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


def identity(number, run="0", thread=0):
    """Who request `number` asks about: an identifier and five traits, named and sorted as they are sent.

    Nobody comes twice in a run, save every twentieth, who is one that the document overrides flags for.
    """
    identifier = "user-%s-%d-%d" % (run, thread, number)
    if number % 20 == 0:
        identifier = flagsmith_document.overridden_identity(number // 20 * 7 % 1000)
    regions, hosts = flagsmith_document.REGIONS, flagsmith_document.MAIL_HOSTS
    return identifier, {
        "plan": PLANS[number // 3 % 4], "region": regions[number * 13 % len(regions)],
        "email": "%s@mail%d.example" % (identifier, number % hosts),
        "app_version": "%d.%d.%d" % (3 + number % 4, number * 3 % 10, number % 7), "age": 18 + number % 60,
    }


def flag_asked_for(number):
    return flagsmith_document.flag_name(number % 10)


def target(work, number, run="0"):
    if work in ("evaluated", "enabled"):
        return "%s?%s&publishableKey=%s&reflag-sdk-version=browser-sdk%%2F1.6.1" % (
            WORKS[work].path, query(attributes(number, run)), PUBLISHABLE_KEY)
    if work == "one_flag":
        return "%s?%s&key=%s" % (WORKS[work].path, query(one_flag_attributes(number, run)), one_flag_key(number))
    if work == "flag":
        return "%s?feature=%s" % (WORKS[work].path, flag_asked_for(number))
    return WORKS[work].path


def query(pairs):
    return "&".join("context.%s=%s" % (path, quote_plus(value)) for path, value in pairs)


def body(work, number, run="0"):
    """What is sent behind the head; none for works that get."""
    if work != "identities":
        return None
    identifier, traits = identity(number, run)
    sent = [{"trait_key": name, "trait_value": value} for name, value in traits.items()]
    return json.dumps({"identifier": identifier, "traits": sent}, separators=(",", ":")).encode()


def request(work, number, run="0", etag=None):
    sent = body(work, number, run)
    lines = ["%s %s HTTP/1.1" % ("GET" if sent is None else "POST", target(work, number, run)), "Host: 127.0.0.1"]
    if WORKS[work].dialect == "flagsmith":
        lines.append("X-Environment-Key: " + (SECRET_KEY if WORKS[work].key == "secret" else PUBLISHABLE_KEY))
    elif WORKS[work].key == "secret":
        lines.append("Authorization: Bearer " + SECRET_KEY)
    if sent is not None:
        lines += ["Content-Type: application/json", "Content-Length: %d" % len(sent)]
    if WORKS[work].unconditional and etag:
        lines.append("If-None-Match: " + etag)
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (sent or b"")


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
