#!/usr/bin/env python3
"""Has the guest program `http` touch fields of framing, wherever it can, and reads what is sent.

usage: framing.py HOST PORT SOCKET

Listens on SOCKET as the backend of a varnishd whose VCL (see framing.vtc) calls the program in the
subroutine that X-At names. Every message is read byte by byte here, by client and backend: none
has a field of the program's, and nothing comes behind its end.
"""

import socket
import socketserver
import sys

import origin

FIELDS = (
    "Content-Length: 40", "content-length: 4", "CONTENT-LENGTH: 0", "Content_Length: 7",
    "Transfer-Encoding: chunked", "transfer-encoding: gzip, chunked", "Transfer_Encoding: chunked",
    "Connection: X-Test", "Connection: close", "Keep-Alive: timeout=1", "Proxy-Connection: close",
    "TE: trailers", "Trailer: X-Test", "Upgrade: h2c", "HTTP2-Settings: AA", "Expect: 100-continue",
)
CALLS = ("a", "s")
PLACES = ("recv", "hash", "miss", "fetch", "response", "retry", "deliver", "synth", "error", "backend")
BODY = b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
seen = []


def head(stream):
    """The lines of a message up to the empty one."""
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line.strip().decode())
    return lines


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        while lines := head(self.rfile):
            seen.append(lines)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


def values(lines, name):
    pairs = [line.partition(":")[::2] for line in lines[1:]]
    return [value.strip() for key, value in pairs if key.strip().lower().replace("_", "-") == name]


def check_fields(lines, allowed):
    for field in FIELDS:
        name = field.partition(":")[0].lower().replace("_", "-")
        assert values(lines, name) in ([], *allowed.get(name, [])), (field, lines)


def ask(stream, place, words):
    seen.clear()
    stream.write(f"GET /{place} HTTP/1.1\r\nHost: h\r\nX-At: {place}\r\narg: {words}\r\n\r\n".encode())
    stream.flush()
    lines = head(stream)
    lengths = values(lines, "content-length")
    assert len(lengths) == 1, (place, words, lines)
    body = stream.read(int(lengths[0]))
    check_fields(lines, {"content-length": [lengths], "connection": [["keep-alive"]]})
    for request in seen:
        check_fields(request, {})
    return lines, body


def main():
    host, port, path = sys.argv[1:4]
    origin.listen(path, Origin)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        stream = connection.makefile("rwb")
        for place in PLACES:
            for side in (0, 1):
                for call in CALLS:
                    # All at once: none hides another. And removing counts as touching.
                    touches = [f"{call}{side} {field}" for field in FIELDS]
                    touches += [f"s{side} {field.partition(':')[0]}" for field in FIELDS]
                    if side == 1 and place in ("recv", "hash", "miss", "fetch"):
                        continue
                    lines, body = ask(stream, place, "|".join(touches))
                    assert lines[0].split()[1] == "200", (place, side, lines)
                    wanted = BODY if place not in ("synth", "error", "backend") else None
                    assert wanted is None or body == wanted, (place, side, body)
                    print(place, side, call, "ok")
        # Nothing is left that nobody asked for.
        connection.settimeout(0.2)
        try:
            rest = connection.recv(1)
        except TimeoutError:
            rest = b""
        assert rest == b"", rest


main()
