#!/usr/bin/env python3
"""Has guest programs touch fields of framing, wherever they can, and reads what is sent.

usage: framing.py HOST PORT SOCKET

Listens on SOCKET as the backend of a varnishd whose VCL (see framing.vtc) calls the program `http`
in the subroutine that X-At names, or has the body go through the filter. Every message is read byte
by byte here, by client and backend: it ends where its one field of framing says, none has a field of
the program's, and nothing comes behind its end.
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
# Added and set by calls, and as extra headers of the answer.
CALLS = ("a", "s", "x")
PLACES = (
    "recv", "hash", "miss", "fetch", "response", "retry", "deliver", "restart", "synth", "error",
    "backend",
)
# Where a request's body is still to be sent on.
BEFORE_THE_BODY = ("recv", "fetch", "retry", "restart")
BODY = b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
UPLOAD = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
seen = []


def head(stream):
    """The lines of a message up to the empty one."""
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line.strip().decode())
    return lines


def values(lines, name):
    pairs = [line.partition(":")[::2] for line in lines[1:]]
    return [value.strip() for key, value in pairs if key.strip().lower().replace("_", "-") == name]


def framing(lines):
    """The one field by which a message ends, or None."""
    found = [(name, value) for name in ("content-length", "transfer-encoding")
             for value in values(lines, name)]
    assert len(found) <= 1, lines
    return found[0] if found else None


def chunked(stream):
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        assert stream.readline() == b"\r\n", body
    assert stream.readline() == b"\r\n", body
    return body


def body_of(lines, stream):
    match framing(lines):
        case None:
            return b""
        case ("content-length", length):
            return stream.read(int(length))
        case (_, encoding):
            assert encoding == "chunked", lines
            return chunked(stream)


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        while lines := head(self.rfile):
            seen.append((lines, body_of(lines, self.rfile)))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


def check_fields(lines, allowed):
    """None of the fields is there, but for those that are `allowed`."""
    for field in FIELDS:
        name = field.partition(":")[0].lower().replace("_", "-")
        assert values(lines, name) in ([], *allowed.get(name, [])), (field, lines)


def ask(stream, place, words, upload=None):
    """Makes a request, with a body in one framing or the other, and gives the answer."""
    seen.clear()
    method, length, sent = "GET", "", b""
    if upload == "content-length":
        method, length, sent = "POST", f"Content-Length: {len(UPLOAD)}\r\n", UPLOAD
    elif upload == "transfer-encoding":
        method, length = "POST", "Transfer-Encoding: chunked\r\n"
        sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(UPLOAD), UPLOAD)
    request = f"{method} /{place} HTTP/1.1\r\nHost: h\r\nX-At: {place}\r\narg: {words}\r\n{length}\r\n"
    stream.write(request.encode() + sent)
    stream.flush()
    lines = head(stream)
    kind, value = framing(lines)
    assert kind == "content-length", (place, words, lines)
    body = stream.read(int(value))
    check_fields(lines, {"content-length": [[value]], "connection": [["keep-alive"]]})
    for request, received in seen:
        sent = framing(request)
        assert received == (UPLOAD if upload else b""), (place, request, received)
        assert (sent is not None) == (upload is not None), (place, request)
        check_fields(request, {sent[0]: [[sent[1]]]} if sent else {})
    return lines, body


def calls(stream):
    """By calls and extra headers, in every subroutine."""
    for place in PLACES:
        for side in (0, 1):
            if side == 1 and place in ("recv", "hash", "miss", "fetch", "restart"):
                continue
            for call in CALLS:
                # All at once: none hides another. And removing counts as touching.
                touches = [f"{call}{side} {field}" for field in FIELDS]
                touches += [f"s{side} {field.partition(':')[0]}" for field in FIELDS]
                uploads = ("content-length", "transfer-encoding") if place in BEFORE_THE_BODY else ()
                for upload in (None, *uploads):
                    lines, body = ask(stream, place, "|".join(touches), upload)
                    assert lines[0].split()[1] == "200", (place, side, lines)
                    wanted = BODY if place not in ("synth", "error", "backend") else None
                    assert wanted is None or body == wanted, (place, side, body)
                    attempts = {"retry": 2, "restart": 2}.get(place, 1)
                    assert len(seen) == (0 if wanted is None else attempts), (place, upload, seen)
        print(place, "ok")


def filters(address):
    """By the first function of a filter, which may announce a length: then that is the only one."""
    for place in ("filter-fetch", "filter-delivery"):
        for field in FIELDS:
            name, _, value = field.partition(": ")
            with socket.create_connection(address, timeout=30) as connection:
                stream = connection.makefile("rwb")
                words = f"header:{name}={value.replace(' ', '~')}"
                request = f"GET / HTTP/1.1\r\nHost: h\r\nX-At: {place}\r\narg: {words}\r\n"
                stream.write(f"{request}Connection: close\r\n\r\n".encode())
                stream.flush()
                lines = head(stream)
                kind, length = framing(lines)
                announced = name.lower().replace("_", "-") == "content-length"
                if kind == "transfer-encoding":
                    assert chunked(stream) == BODY, (place, field)
                elif announced and length == value:
                    # It does not keep its word: the message breaks off, or ends there.
                    assert BODY.startswith(stream.read(int(length))), (place, field)
                else:
                    body = stream.read(int(length))
                    whole = body == BODY and len(body) == int(length)
                    assert whole or (announced and BODY.startswith(body)), (place, lines)
                assert stream.read() == b"", (place, field)
                check_fields(lines, {kind: [[length]], "connection": [["close"]]})
        print(place, "ok")


def main():
    host, port, path = sys.argv[1:4]
    origin.listen(path, Origin)
    address = (host, int(port))
    with socket.create_connection(address, timeout=30) as connection:
        calls(connection.makefile("rwb"))
        # Nothing is left that nobody asked for.
        connection.settimeout(0.2)
        try:
            rest = connection.recv(1)
        except TimeoutError:
            rest = b""
        assert rest == b"", rest
    filters(address)


main()
