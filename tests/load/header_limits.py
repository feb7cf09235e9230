#!/usr/bin/env python3
"""Requests with as many header fields as the request function takes, and one more.

usage: header_limits.py HOST PORT
"""

import socket
import sys

MOST = 64


def ask(path, count):
    """Status, headers and body of the answer to a request with that many fields of its own."""
    lines = [f"GET {path} HTTP/1.1", "Connection: close"]
    lines += [f"X-Field-{i}: value {i}" for i in range(count)]
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    return int(status.split()[1]), headers, body


def fields_seen(count):
    """How many fields the program saw, or the status if it did not answer."""
    status, _, body = ask("/request", count)
    if status != 200:
        return status, None
    number = int(body.partition("\nheaders: at ")[2].partition("\n")[0])
    for i in range(count):
        assert f"\nheader: X-Field-{i}: value {i}\n" in body, body
    assert "wrong" not in body, body
    return status, number


def main():
    # Varnish adds fields of its own to a backend request.
    _, few = fields_seen(1)
    added = few - 1
    assert fields_seen(MOST - added) == (200, MOST), fields_seen(MOST - added)
    assert fields_seen(MOST - added + 1) == (500, None)
    assert fields_seen(MOST - added) == (200, MOST)
    # Other functions of programs have no such limit.
    status, headers, body = ask("/fill", 80)
    assert (status, body) == (200, "full"), (status, body)
    for name in ("X-VCL-One: 1", "X-VCL-Three: 3", "Content-Type: text/plain"):
        assert name in headers, headers


if __name__ == "__main__":
    main()
