#!/usr/bin/env python3
"""Bodies through the guest program `filter`, and every byte that comes out.

usage: filters.py HOST PORT SOCKET WORKDIR sizes|large|failures|clients

Listens on SOCKET as the backend of a varnishd whose VCL sends the body through the program, with
the words in X-Do, on its way in (X-Where: fetch) or out (delivery).
"""

import gzip
import http.client
import random
import socket
import sys
import time
import zlib

import held
import origin

SIZES = (0, 1, 4095, 4096, 4097, 70_000, 1_000_000)
LARGE = 1 << 30
PIECE = 1 << 20
# What the cache process may hold more while a gigabyte passes, in KB.
ROOM = 32 << 10


def text(size):
    """Lines that are their own offset."""
    return b"".join(b"%015d\n" % at for at in range(0, size, 16))[:size]


def checksum(body):
    total = 0
    for byte in body:
        total = (total * 31 + byte) & 0xFFFFFFFF
    return total


def boundaries(size, seed):
    """Where parts begin and end: large and small ones."""
    chance = random.Random(seed)
    at = 0
    while at < size:
        length = chance.choice((1, 2, 3, 100, 1000, 5000, 20_000, 100_000))
        yield at, min(at + length, size)
        at += length


class Origin(origin.Handler):
    """A backend. Paths are /SIZE/length|chunked|close/plain|gzip/SEED[/...]."""

    def answer(self, method, path, _):
        _, size, framing, coding, seed, *rest = path.split("/")
        return self.body(int(size), framing, coding, int(seed), rest, method == b"HEAD")

    def body(self, size, framing, coding, seed, rest, head):
        fields = [b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b'ETag: "strong"']
        if size == LARGE:
            self.wfile.write(b"\r\n".join([*fields, b"Content-Length: %d" % size, b"", b""]))
            piece = text(PIECE)
            for _ in range(size // PIECE):
                self.wfile.write(piece)
            return True
        body = text(size)
        if coding == "gzip":
            body = gzip.compress(body)
            fields.append(b"Content-Encoding: gzip")
        if framing == "length":
            fields.append(b"Content-Length: %d" % len(body))
        elif framing == "chunked":
            fields.append(b"Transfer-Encoding: chunked")
        else:
            fields.append(b"Connection: close")
        self.wfile.write(b"\r\n".join([*fields, b"", b""]))
        if head:
            return True
        for start, end in boundaries(len(body), seed):
            part = body[start:end]
            if "broken" in rest and end > len(body) // 2:
                return False
            if framing == "chunked":
                part = b"%x\r\n%s\r\n" % (len(part), part)
            self.wfile.write(part)
        if framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        return framing != "close"


class Client:
    def __init__(self, host, port):
        self.address = (host, port)
        self.connection = None

    def ask(self, path, do, where, **headers):
        """Response and body; `None` for a body that broke off, or no response at all."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(*self.address, timeout=50)
        headers = {"X-Do": do, "X-Where": where, **headers}
        try:
            self.connection.request("GET", path, headers=headers)
            response = self.connection.getresponse()
            body = response.read()
        except (http.client.HTTPException, ConnectionError):
            self.connection.close()
            self.connection = None
            return None, None
        if response.will_close:
            self.connection.close()
            self.connection = None
        if response.getheader("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        return response, body


def expect(what, found, wanted):
    """Fails, without printing megabytes."""
    if found != wanted:
        sys.exit(f"{what}: {str(found)[:200]!r} instead of {str(wanted)[:200]!r}")


def wanted(do, body):
    """What the program makes of a body, whatever its parts were."""
    if "upper" in do:
        body = body.upper()
    if "whole" in do:
        body = body[::-1]
    if "sum" in do:
        body += b"\n%d %08x\n" % (len(body), checksum(body))
    return body


def sizes(client):
    number = 0
    for size in SIZES:
        plain = text(size)
        for do in ("same", "direct upper", "sum", "whole"):
            for where in ("fetch", "delivery"):
                for framing in ("length", "chunked", "close"):
                    for coding in ("plain", "gzip"):
                        answer = wanted(do, plain)
                        number += 1
                        path = f"/{size}/{framing}/{coding}/{number}"
                        gzipped = {"Accept-Encoding": "gzip"} if number % 2 else {}
                        what = f"{path} {do} {where} {gzipped}"
                        for _ in range(2):
                            response, body = client.ask(path, do, where, **gzipped)
                            if response is None:
                                sys.exit(f"{what}: no answer")
                            expect(f"{what}: status", response.status, 200)
                            # A body without a byte stays one, unless Varnish finds out late.
                            if size or body:
                                expect(what, body, answer)
    # Amounts of output that fit into no buffer, from random parts.
    for seed in range(5):
        plain = text(30_000)
        for where in ("fetch", "delivery"):
            response, body = client.ask(f"/30000/chunked/plain/{seed}/l{where}", "large", where)
            expect(f"large {seed} {where}", len(body or b""), 64 * len(plain))


def memory(workdir):
    """What the cache process holds for itself, in KB."""
    figures = held.figures(workdir)
    return figures["memory"]


def large(client, workdir):
    """A gigabyte each way, which nobody may hold."""
    for where in ("fetch", "delivery"):
        before = memory(workdir)
        connection = http.client.HTTPConnection(*client.address, timeout=50)
        headers = {"X-Do": "same", "X-Where": where}
        begun = time.monotonic()
        connection.request("GET", f"/{LARGE}/length/plain/0", headers=headers)
        response = connection.getresponse()
        piece, total, most = text(PIECE), 0, 0
        left = memoryview(piece)
        while (part := response.read(PIECE)):
            at = total % PIECE
            if part != piece[at : at + len(part)] and part != (piece + piece)[at : at + len(part)]:
                sys.exit(f"{where}: wrong bytes at {total}")
            total += len(part)
            if total % (64 * PIECE) < len(part):
                most = max(most, memory(workdir))
        del left
        expect(f"{where}: length", total, LARGE)
        print(f"{where}: {time.monotonic() - begun:.1f} s, {most - before} KB more than before")
        if most > before + ROOM:
            sys.exit(f"{where}: {most - before} KB more while a body passes")


def failures(client):
    """Whatever fails wherever: an error, or the original, or a body that breaks off; the next is
    right, and nothing broken is in the cache."""
    plain = text(700_000)
    number = 0
    for policy in ("error", "original"):
        for where in ("fetch", "delivery"):
            for place in ("begin=", "chunk=", "later=", "end="):
                for fault in ("crash", "exit", "fail", "loop", "hog", "overflow"):
                    if (place, fault) in (("later=", "loop"), ("later=", "hog"), ("begin=", "overflow")):
                        continue
                    number += 1
                    early = place in ("begin=", "chunk=")
                    # Without output before the second part the original can still go on.
                    do = f"{place}{fault}" + (" quiet" if number % 2 and not early else "")
                    path = f"/700000/chunked/plain/{number}/{policy}"
                    result(client, path, do, where, policy, plain)
                    response, body = client.ask(f"/5/length/plain/{number}/n", "upper", where)
                    expect(f"after {do} {where}", body, text(5).upper())


def result(client, path, do, where, policy, plain):
    what = f"{path} {do} {where}"
    early = "begin=" in do or "chunk=" in do
    for again in range(2):
        response, body = client.ask(path, do, where, **{"X-Policy": policy})
        status = response and response.status
        if policy == "original" and body == plain and status == 200:
            # Nothing is left of what the filter did.
            expect(f"{what}: ETag", response.getheader("ETag") is not None, True)
            continue
        # Without a response, or one that broke off, once there was output, or header fields were
        # sent; an error where there was not.
        begun = not early or (where == "delivery" and "begin=" not in do)
        if status == 503 or (status is None and begun):
            if policy == "original" and early:
                sys.exit(f"{what}: an error instead of the original")
            continue
        sys.exit(f"{what}, time {again}: status {status}, {len(body or b'')} bytes")


class Stalled:
    """A client that asks for a large body and does not read it."""

    def __init__(self, client, path, where):
        self.socket = socket.create_connection(client.address, timeout=20)
        head = f"GET {path} HTTP/1.1\r\nHost: h\r\nX-Do: same\r\nX-Where: {where}\r\n\r\n"
        self.socket.sendall(head.encode())
        if b"200" not in self.socket.recv(100):
            sys.exit(f"{path}: no answer")

    def leave(self):
        self.socket.close()


def clients(client):
    """Clients that stall, leave, and come while others stall; backends that break off."""
    big = "/20000000/length/plain/1"
    plain = text(5)
    # Into the cache first, so that deliveries are quick.
    expect("big", len(client.ask(big, "same", "none")[1]), 20_000_000)
    stalled = Stalled(client, big, "delivery")
    time.sleep(1)
    # Longer than the limits of one call and of a body: waiting costs nothing of them.
    response, _ = client.ask("/5/length/plain/2", "upper", "delivery")
    expect("all VMs of deliveries are in use", response.status, 503)
    response, body = client.ask("/5/length/plain/3", "upper", "delivery", **{"X-Policy": "original"})
    expect("another program", body, plain.upper())
    response, body = client.ask("/5/length/plain/4", "upper", "fetch")
    expect("fetches have a VM", body, plain.upper())
    # It is still there, and gets all of its body when it reads.
    total = 0
    while total < 20_000_000:
        part = stalled.socket.recv(1 << 20)
        if not part:
            sys.exit(f"the stalled delivery broke off after {total} bytes")
        total += len(part)
    stalled.leave()
    for _ in range(5):
        stalled = Stalled(client, big, "delivery")
        stalled.leave()
        stalled = Stalled(client, "/20000000/chunked/plain/5", "fetch")
        stalled.leave()
    for _ in range(100):
        response, body = client.ask("/5/length/plain/6", "upper", "delivery")
        if response.status == 200:
            break
        time.sleep(0.1)
    expect("the VM came back", body, plain.upper())
    # A backend that breaks off leaves nothing in the cache.
    for framing in ("length", "chunked"):
        for do in ("upper", "whole"):
            for _ in range(2):
                response, body = client.ask(f"/300000/{framing}/plain/7/broken", do, "fetch")
                if response is not None and response.status != 503:
                    sys.exit(f"{framing} {do}: {response.status} {len(body)} of a broken body")


def main():
    host, port, path, workdir, what = sys.argv[1:6]
    origin.listen(path, Origin)
    client = Client(host, int(port))
    if what == "sizes":
        sizes(client)
    elif what == "large":
        large(client, workdir)
    elif what == "clients":
        clients(client)
    else:
        failures(client)


if __name__ == "__main__":
    main()
