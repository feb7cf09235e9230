#!/usr/bin/env python3
"""Whether a response begins with status 200 and breaks off, as one that can't go on has to.

usage: breaks_off.py HOST PORT PATH [FIELD: VALUE]...
"""

import http.client
import sys


def main():
    host, port, path, *fields = sys.argv[1:]
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", path, headers=dict(field.split(": ", 1) for field in fields))
    response = connection.getresponse()
    try:
        body = response.read()
    except http.client.IncompleteRead:
        sys.exit(0 if response.status == 200 else f"status {response.status}")
    sys.exit(f"{path} {fields}: status {response.status}, all of {body!r}")


if __name__ == "__main__":
    main()
