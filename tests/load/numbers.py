#!/usr/bin/env python3
"""Many clients at once, each with many requests, of which every fifth crashes the program.

usage: numbers.py HOST PORT CLIENTS REQUESTS [SECONDS]

The guest program `misbehave` answers /number/N with N, unless N is a multiple of five: then it
crashes, or ends in another bad way, and the answer must be 500. With SECONDS it stops after
that time, whatever is left.
"""

import asyncio
import re
import sys
import time

HEAD = re.compile(rb"HTTP/1\.1 ([0-9]{3}) .*?\r\nContent-Length: ([0-9]+)\r\n", re.DOTALL)


async def client(host, port, first, requests, until, wrong):
    """One connection. Returns how many answers were right."""
    reader, writer = await asyncio.open_connection(host, port)
    right = 0
    for number in range(first, first + requests):
        if time.monotonic() > until:
            break
        writer.write(b"GET /number/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = HEAD.match(head).groups()
        body = await reader.readexactly(int(length))
        crash = number % 5 == 0
        wanted = (b"500", b"") if crash else (b"200", b"%d after 0" % number)
        if (status, body) == wanted:
            right += 1
        else:
            wrong.append(f"{number}: {status} {body[:100]}")
    writer.close()
    return right


async def main():
    host, port, clients, requests = sys.argv[1], *map(int, sys.argv[2:5])
    until = time.monotonic() + (float(sys.argv[5]) if len(sys.argv) > 5 else 1e9)
    wrong = []
    begun = time.monotonic()
    right = await asyncio.gather(
        *(client(host, port, 1 + i * requests, requests, until, wrong) for i in range(clients))
    )
    print(f"{sum(right)} right, {len(wrong)} wrong in {time.monotonic() - begun:.1f} s")
    if wrong:
        sys.exit("\n".join(wrong[:20]))
    if len(sys.argv) <= 5 and sum(right) != clients * requests:
        sys.exit("some are missing")


if __name__ == "__main__":
    asyncio.run(main())
