#!/usr/bin/env python3
"""Every way in which a filtered body reaches a client, beside what the program makes of it by hand.

usage: deliveries.py HOST PORT SOCKET [COUNT [FIRST]]

Listens on SOCKET as the backend of a varnishd whose VCL does what header fields of the request say.
A case is a page of some depth of includes, a way through the cache, and filters on the way in and
out at some of its levels; each is asked for in several ways. Whatever comes has to be right to the
byte, and header fields have to fit it and each other. An answer that breaks off, or has status 503,
is a failure here, too: no case has a reason for one.
"""

import gzip
import http.client
import random
import sys
import time
import zlib

import origin

SEED = 20
FETCH, DELIVER = "suffix:+f", "upper suffix:/d"


def source(level, depth):
    """A page of that level: it includes the next one."""
    text = "<p>level %d begins, " % level + "padding " * (level * 40)
    if level < depth:
        text += "<esi:include src='{next}'/>"
    return text + ", level %d ends" % level


class Origin(origin.Handler):
    """Paths are /CASE/LEVEL/DEPTH/plain|gzip/length|chunked."""

    def answer(self, method, path, fields):
        if path == "/missing":
            body = b"nothing"
            self.wfile.write(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return True
        _, case, level, depth, coding, framing = path.split("/")
        following = f"/{case}/{int(level) + 1}/{depth}/{coding}/{framing}"
        body = source(int(level), int(depth)).replace("{next}", following).encode()
        tag = b'"%s-%s"' % (case.encode(), level.encode())
        head = [b"Content-Type: text/plain", b"ETag: " + tag, b"Cache-Control: max-age=1000"]
        if coding == "gzip":
            body = gzip.compress(body)
            head.append(b"Content-Encoding: gzip")
        if fields.get(b"if-none-match", b"").removeprefix(b"W/") == tag:
            self.wfile.write(b"\r\n".join([b"HTTP/1.1 304 Same", *head[:3], b"", b""]))
            return True
        if framing == "chunked":
            head.append(b"Transfer-Encoding: chunked")
            pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
            out = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in pieces) + b"0\r\n\r\n"
        else:
            head.append(b"Content-Length: %d" % len(body))
            out = body
        self.wfile.write(b"\r\n".join([b"HTTP/1.1 200 Fine", *head, b"", b""]))
        if method != b"HEAD":
            self.wfile.write(out)
        return True


class Case:
    """One page, and all that VCL is to do with it."""

    def __init__(self, number):
        chance = random.Random(SEED * 100_000 + number)
        self.number = number
        self.depth = chance.choice((0, 0, 1, 1, 2, 3, 4, 5))
        self.coding = chance.choice(("plain", "gzip"))
        self.framing = chance.choice(("length", "chunked"))
        levels = range(self.depth + 1)
        some = [level for level in levels if chance.random() < 0.5]
        ways = ([], [0], [self.depth], some, list(levels))
        self.fetch = chance.choice(ways)
        self.deliver = chance.choice(ways)
        self.way = chance.choice(("cache", "cache", "pass", "miss", "whole", "grace"))
        self.store = chance.choice(("", "", "gzip", "gunzip"))
        self.event = chance.choice(
            ("", "", "restart", "restart-first", "restart-rollback", "retry", "rollback", "synth")
        )
        # In compressed form: what the program writes must still be that.
        self.encoded = self.coding == "gzip" and not self.store and chance.random() < 0.2
        self.twice = chance.random() < 0.2

    def __str__(self):
        return " ".join(f"{name}={value}" for name, value in vars(self).items())

    def headers(self):
        return {
            "X-Fetch": "".join(map(str, self.fetch)) or "-",
            "X-Deliver": "".join(map(str, self.deliver)) or "-",
            "X-Way": self.way,
            "X-Store": self.store or "-",
            "X-Event": self.event or "-",
            "X-Do": "same" if self.encoded else DELIVER,
            "X-Encoded": "yes" if self.encoded else "-",
            "X-Twice": "yes" if self.twice else "-",
        }

    def path(self):
        return f"/{self.number}/0/{self.depth}/{self.coding}/{self.framing}"

    def wanted(self, level=0):
        """The page as it should be, filtered by hand."""
        if level == 0 and self.event == "synth":
            return b"synthetic"
        text = source(level, self.depth).encode()
        if level in self.fetch:
            text += b"+f"
        if level < self.depth:
            text = text.replace(b"<esi:include src='{next}'/>", self.wanted(level + 1))
        if level in self.deliver and not self.encoded:
            for _ in range(1 + self.twice):
                text = text.upper() + b"/d"
        return text


class Client:
    def __init__(self, host, port):
        self.address = (host, port)
        self.connection = None

    def ask(self, method, path, headers):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(*self.address, timeout=30)
        self.connection.request(method, path, headers=headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.will_close:
            self.connection.close()
            self.connection = None
        return response, body


class Wrong(Exception):
    pass


def expect(what, found, wanted):
    if found != wanted:
        raise Wrong(f"{what}: {str(found)[:300]!r} instead of {str(wanted)[:300]!r}")


def decoded(response, body):
    coding = response.getheader("Content-Encoding")
    return zlib.decompress(body, 31) if coding == "gzip" else body


def whole(client, case, headers):
    """The page by GET."""
    response, body = client.ask("GET", case.path(), headers)
    expect("status", response.status, 200)
    expect("body", decoded(response, body), case.wanted())
    length = response.getheader("Content-Length")
    if length is not None:
        expect("Content-Length", int(length), len(body))
    return response, body


def ways(client, case, headers):
    """The page in all ways that a client can ask for it."""
    first, body = whole(client, case, headers)
    again, _ = whole(client, case, headers)
    tag, coding = first.getheader("ETag"), first.getheader("Content-Encoding")
    expect("ETag of the second", again.getheader("ETag"), tag)
    if case.way == "grace":
        time.sleep(0.02)
        stale, _ = whole(client, case, headers)
        expect("ETag when stale", stale.getheader("ETag"), tag)
    head, nothing = client.ask("HEAD", case.path(), headers)
    expect("HEAD: status", head.status, 200)
    expect("HEAD: body", nothing, b"")
    # What Varnish itself does to a body shows in its header fields only if it sees the body.
    known = case.way != "pass" or case.event == "synth"
    filtered = 0 in case.fetch or 0 in case.deliver
    if known or filtered:
        expect("HEAD: ETag", head.getheader("ETag"), tag)
    if known:
        expect("HEAD: Content-Encoding", head.getheader("Content-Encoding"), coding)
    length = head.getheader("Content-Length")
    # Varnish leaves that of a page with includes as it is if the page is not for the cache.
    if length is not None and (filtered or case.way not in ("pass", "miss") or case.depth == 0):
        expect("HEAD: Content-Length", int(length), len(body))
    part, some = client.ask("GET", case.path(), {**headers, "Range": "bytes=3-9"})
    if part.status == 206:
        expect("range", some, body[3:10])
        total = part.getheader("Content-Range").partition("/")[2]
        expect("range: Content-Range", total in ("*", str(len(body))), True)
    else:
        expect("range: status", part.status, 200)
        expect("range: body", decoded(part, some), case.wanted())
    if tag is not None:
        same, nothing = client.ask("GET", case.path(), {**headers, "If-None-Match": tag})
        if same.status == 200:
            expect("condition: body", decoded(same, nothing), case.wanted())
        else:
            expect("condition: status", same.status, 304)
            expect("condition: body", nothing, b"")
        if known or filtered:
            expect("condition: ETag", same.getheader("ETag"), tag)
    whole(client, case, headers)


def main():
    host, port, path = sys.argv[1:4]
    count, first, *_ = [*map(int, sys.argv[4:6]), *(300, 0)[len(sys.argv) - 4 :]]
    origin.listen(path, Origin)
    client, begun, failed = Client(host, int(port)), time.monotonic(), 0
    for number in range(first, first + count):
        case = Case(number)
        for accept in ({}, {"Accept-Encoding": "gzip"}):
            try:
                ways(client, case, {**case.headers(), **accept})
            except (Wrong, http.client.HTTPException, zlib.error, OSError) as error:
                failed += 1
                client = Client(host, int(port))
                print(f"{case} {accept}\n    {type(error).__name__} {error}", flush=True)
    print(f"{count} pages, {failed} failed, {time.monotonic() - begun:.1f} s")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
