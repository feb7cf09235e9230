#!/usr/bin/env python3
"""Clients that accept different encodings of the same URLs, in every order.

usage: encodings.py HOST PORT SOCKET

Listens on SOCKET as the backend of a varnishd whose VCL gives each client what it accepts.
"""

import gzip
import http.client
import itertools
import subprocess
import sys

import origin

# What clients accept, and what each gets.
CLIENTS = {
    "gzip, deflate, br, zstd": "zstd",
    "gzip, deflate, br": "br",
    "gzip, zstd;q=0, br;q=0.0": "gzip",
    None: None,
}
# What the backend does: whether it compresses, as it was asked to.
BACKENDS = ("plain", "gzip")
TEXT = b"".join(b"%d\n" % number for number in range(5000))
# Bodies of one URL in the cache: zstd, br, and one for all others.
VARIANTS = 3
# Encoding of the body that has a tag.
STRONG = {}


class Origin(origin.Handler):
    """The backend. Paths are /BACKEND/NUMBER."""

    fetches = 0

    def answer(self, _, path, fields):
        Origin.fetches += 1
        answer = [b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b'ETag: "strong"']
        body = TEXT
        if path.startswith("/gzip/") and fields.get(b"accept-encoding") == b"gzip":
            body = gzip.compress(TEXT)
            answer += [b"Content-Encoding: gzip", b"Vary: Accept-Encoding"]
        answer += [b"Content-Length: %d" % len(body), b"", body]
        self.wfile.write(b"\r\n".join(answer))
        return True


def decoded(body, encoding):
    if encoding is None:
        return body
    if encoding == "gzip":
        return gzip.decompress(body)
    tool = {"zstd": "zstd", "br": "brotli"}[encoding]
    return subprocess.run([tool, "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout


def ask(connection, method, path, accept):
    connection.putrequest(method, path, skip_accept_encoding=True)
    if accept is not None:
        connection.putheader("Accept-Encoding", accept)
    connection.endheaders()
    response = connection.getresponse()
    return response, response.read()


def check(connection, path, accept, want):
    response, body = ask(connection, "GET", path, accept)
    encoding = response.getheader("Content-Encoding")
    vary = response.getheader("Vary")
    tag = response.getheader("ETag")
    about = f"{path} for {accept!r}: {response.status} {encoding} {vary} {tag}"
    if (response.status, encoding, vary) != (200, want, "Accept-Encoding"):
        sys.exit(about)
    if decoded(body, encoding) != TEXT:
        sys.exit(f"{about}: the body is another one")
    # No two bodies have the same strong tag.
    if not tag.startswith("W/") and STRONG.setdefault((path, tag), encoding) != encoding:
        sys.exit(f"{about}: that tag was {STRONG[path, tag]}")
    response, body = ask(connection, "HEAD", path, accept)
    if response.getheader("Content-Encoding") != want or body:
        sys.exit(f"{about}: HEAD has {response.getheader('Content-Encoding')}")


def main():
    host, port, path = sys.argv[1:]
    origin.listen(path, Origin)
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    urls = 0
    for backend in BACKENDS:
        for number, order in enumerate(itertools.permutations(CLIENTS.items())):
            urls += 1
            # The second time, all of them are in the cache.
            for accept, want in 2 * order:
                check(connection, f"/{backend}/{number}", accept, want)
    if Origin.fetches != VARIANTS * urls:
        sys.exit(f"{Origin.fetches} fetches for {urls} URLs")


main()
