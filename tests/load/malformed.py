#!/usr/bin/env python3
"""Has the guest program `http` set malformed header fields, in every way that it can.

usage: malformed.py HOST PORT
"""

import http.client
import sys

# Of the program's list: field 0 is right, these are wrong.
WRONG = range(1, 20)
# Nothing at all is nothing to set.
NOT_WRONG_TO_SET = {9, 10}
# Without a colon it is a name to be removed, so this is about another thing.
NOT_SET = {15}
NAMES = {"content-length", "last-modified", "date", "x-varnish", "age", "via", "connection",
         "accept-ranges", "content-type"}


def main():
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
    failures = []
    for how in ("append", "set", "extra"):
        for index in (0, *WRONG):
            if how != "append" and index in NOT_SET:
                continue
            connection.request("GET", f"/illegal/{index}", headers={"arg": how})
            response = connection.getresponse()
            body = response.read()
            right = index == 0 or (how != "append" and index in NOT_WRONG_TO_SET)
            wanted = (200, b"OK") if right else (500, b"")
            if (response.status, body) != wanted:
                failures.append(f"{how} of field {index}: {response.status} {body!r}")
            others = {name.lower() for name, _ in response.getheaders()} - NAMES
            if others != ({"x-value"} if index == 0 else set()):
                failures.append(f"{how} of field {index} left {others}")
    sys.exit("\n".join(failures) or 0)


if __name__ == "__main__":
    main()
