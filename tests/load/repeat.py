#!/usr/bin/env python3
"""Asks for some paths in turn, many times, and says what is not as expected.

usage: repeat.py HOST PORT TIMES PATH=STATUS[=BODY]...

Quieter than varnishtest's own client, whose log has a limit.
"""

import http.client
import sys


def main():
    host, port, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    connection = http.client.HTTPConnection(host, port, timeout=30)
    for turn in range(times):
        for wanted in sys.argv[4:]:
            path, status, *body = wanted.split("=", 2)
            connection.request("GET", path)
            response = connection.getresponse()
            text = response.read().decode()
            if response.status != int(status) or body not in ([], [text]):
                sys.exit(f"turn {turn}, {wanted}: status {response.status}, {text[:200]!r}")


if __name__ == "__main__":
    main()
