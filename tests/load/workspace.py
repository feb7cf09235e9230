#!/usr/bin/env python3
"""Workspaces that are full to the byte: what comes out is right, or an error.

usage: workspace.py HOST PORT SOCKET

Listens on SOCKET as the backend of a varnishd whose VCL leaves the bytes that X-Left says in a
workspace, at the place that X-At says, and then does what X-Do says; see workspace_exactly_full.vtc.
The backend's body is in small letters. What a client gets with status 200 is what the programs
make of it: nothing else, not even for those who ask later.
"""

import gzip
import http.client
import sys

import origin

ORIGINAL = b"secret " * 20
UPPER = ORIGINAL.upper()


class Origin(origin.Handler):
    def answer(self, _, path, fields):
        body = gzip.compress(ORIGINAL, mtime=0) if "gzip" in path else ORIGINAL
        if path.startswith("/part/"):
            body = b'<p>(<esi:include src="/of%s"/>)' % path.encode()
        encoding = b"Content-Encoding: gzip\r\n" if "gzip" in path else b""
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"o\"\r\n"
            b"Content-Type: text/plain\r\n" + encoding
            + b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        return True


class Client:
    def __init__(self, host, port):
        self.address = host, int(port)
        self.connection = None

    def get(self, path, headers):
        """Status, header fields and body; status 0 if there is no whole answer."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            self.connection.request("GET", path, headers=headers)
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            result = answer.status, answer.headers, body
            if answer.will_close:
                self.close()
        except (http.client.HTTPException, ConnectionError):
            self.close()
            return 0, {}, b""
        return result

    def close(self):
        self.connection.close()
        self.connection = None


# What is done, where, and what a right answer is.
CASES = {
    "filter": ("fetch deliver", lambda headers, body: body == UPPER),
    "two": ("fetch deliver", lambda headers, body: body == UPPER + b"END"),
    "gzip": ("fetch deliver", lambda headers, body: body == UPPER),
    "esi": ("fetch", lambda headers, body: body == UPPER),
    "argument": ("fetch deliver", lambda headers, body: body == b"PREFIX" + UPPER),
    "header": ("fetch deliver", lambda headers, body: body == UPPER and headers["X-Set"] == "1"),
    "after": ("fetch", lambda headers, body: body == UPPER),
    "own": ("fetch deliver", lambda headers, body: body == UPPER),
    "string": ("deliver", lambda headers, body: headers["X-String"] == "Hello World"),
    "part": ("part", lambda headers, body: body == b"<p>(" + UPPER + b")"),
    "program": ("fetch", lambda headers, body: body == b"Hello World"
                and headers["Content-Length"] == "11" and headers["X-Frame"] is None),
    "synth": ("synth", lambda headers, body: body == b"Hello World"
              and headers["Content-Type"] == "text/plain"),
}
# Beyond what any of it takes, in steps of what a workspace is given out in.
LEFT = 800
STEP = 8
# What a program's header fields leave for others.
RESERVED = {"header": 3800}


def check(client, do, at, is_right):
    # With the least and with the most room there has to be one of each.
    right = wrong = 0
    least = RESERVED.get(do, 0)
    for left in range(least, least + LEFT, STEP):
        path = f"/{do}/{at}/{left}"
        headers = {"X-Do": do, "X-At": at}
        status, fields, body = client.get(path, {**headers, "X-Left": str(left)})
        if status == 200 and b"Guru Meditation" in body:
            # A part for which the VCL failed: the page says so.
            assert do == "part" and ORIGINAL not in body, (path, body)
            wrong += 1
        elif status == 200:
            assert is_right(fields, body), (path, "full", fields, body)
            right += 1
        else:
            assert status == 0 or status >= 500, (path, status)
            assert ORIGINAL not in body, (path, status, body)
            wrong += 1
        # Whoever asks next, with all the room there is, gets what is right.
        status, fields, body = client.get(path, headers)
        assert status == 200 and is_right(fields, body), (path, "after", status, fields, body)
    assert wrong > 0 and right > 0, (do, at, right, wrong)
    print(f"{do} at {at}: {right} right, {wrong} failed")


def main():
    host, port, path = sys.argv[1:4]
    origin.listen(path, Origin)
    client = Client(host, port)
    for do, (places, is_right) in CASES.items():
        for at in places.split():
            check(client, do, at, is_right)


main()
