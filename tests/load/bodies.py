#!/usr/bin/env python3
"""Sends and fetches bodies that are too large for varnishtest, and looks at every byte.

usage: bodies.py HOST PORT SIZE...

The server is the guest program `echo`, with the method and the path passed through.
"""

import functools
import http.client
import sys

CHUNK = 1 << 16


@functools.cache
def pattern(size):
    """Text in which every 16-byte line is its own offset, as the program makes it."""
    return b"".join(b"%015d\n" % at for at in range(0, size, 16))[:size]


def fnv_of_zeros(size):
    """FNV-1a of that many zero bytes: each only multiplies."""
    return 0xCBF29CE484222325 * pow(0x100000001B3, size, 1 << 64) % (1 << 64)


def pieces(body):
    """The body in pieces, which makes http.client send it chunked."""
    for at in range(0, len(body), CHUNK):
        yield body[at : at + CHUNK]


class Client:
    """One connection, and what is expected on it."""

    def __init__(self, host, port):
        self.connection = http.client.HTTPConnection(host, port, timeout=50)

    def request(self, method, path, body=None, chunked=False):
        """The response's status, headers and body."""
        headers = {"Content-Type": "application/x-test"} if body is not None else {}
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
            sent = pieces(body)
        else:
            sent = body
        self.connection.request(method, path, sent, headers, encode_chunked=chunked)
        response = self.connection.getresponse()
        return response, response.read()


def expect(what, found, wanted):
    """Fails, without printing megabytes."""
    if found != wanted:
        sys.exit(f"{what}: {str(found)[:200]!r} instead of {str(wanted)[:200]!r}")


def upload(client, size):
    """A body up, in every way, and down again."""
    body = pattern(size)
    for method, chunked in (("POST", False), ("GET", False), ("POST", True)):
        what = f"{method} with {size} bytes{' chunked' if chunked else ''}"
        response, back = client.request(method, "/echo", body, chunked)
        wanted = body
        if size == 0:
            # No body: the program is asked as for a GET.
            expect(what, response.status, 404)
            wanted = b"not found"
        else:
            expect(what, response.status, 200)
            expect(what, response.headers["Content-Type"], "application/x-test")
        expect(what, response.headers["Content-Length"], str(len(wanted)))
        expect(what, back == wanted, True)
    if size > 0:
        response, text = client.request("POST", "/check", bytes(size))
        wanted = f"type=application/x-test len={size} aligned=1 sum={fnv_of_zeros(size):016x}"
        expect(f"check {size}", text.decode().partition(" arg= ")[2], wanted)


def download(client, size):
    """A body down, and only its length."""
    for method in ("GET", "HEAD"):
        what = f"{method} response of {size} bytes"
        response, body = client.request(method, f"/mmap/{size}")
        expect(what, response.status, 200)
        expect(what, response.headers["Content-Length"], str(size))
        expect(what, body == (b"" if method == "HEAD" else pattern(size)), True)


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    for size in map(int, sys.argv[3:]):
        # Made before there is a connection, which would not wait for ever.
        pattern(size)
        client = Client(host, port)
        upload(client, size)
        if size > 0:
            download(client, size)


if __name__ == "__main__":
    main()
