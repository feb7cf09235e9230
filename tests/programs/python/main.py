"""CPython: json, re, sqlite3, zlib, hashlib, asyncio, threading, uuid in every request."""

import asyncio
import hashlib
import json
import os
import random
import re
import sqlite3
import ssl
import sys
import threading
import time
import uuid
import zlib

REQUESTS = 100
ROUNDS = 3

database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("create table squares (number integer primary key, square integer)")
database.executemany(
    "insert into squares values (?, ?)", [(number, number * number) for number in range(1000)]
)
requests = 0


async def doubled(number):
    await asyncio.sleep(0)
    return 2 * number


async def several(number):
    return sum(await asyncio.gather(*(doubled(number + i) for i in range(4))))


def in_thread(number):
    results = []
    thread = threading.Thread(target=lambda: results.append(number**3))
    thread.start()
    thread.join()
    return results[0]


def answer(number):
    text = json.dumps({"number": number, "list": list(range(number % 10))}, sort_keys=True)
    packed = zlib.compress(text.encode() * 20)
    assert zlib.decompress(packed) == text.encode() * 20
    database.execute("insert into squares values (?, ?)", (5000 + number, number))
    total = database.execute(
        "select sum(square) from squares where number >= ?", (number,)
    ).fetchone()[0]
    database.execute("delete from squares where number >= 5000")
    return json.dumps(
        {
            "words": re.findall(r"[a-z]+", text),
            "sha256": hashlib.sha256(text.encode()).hexdigest()[:16],
            "crc": zlib.crc32(packed),
            "total": total,
            "async": asyncio.run(several(number)),
            "thread": in_thread(number),
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, text)),
        }
    )


def unique():
    return "\n".join(
        [
            f"urandom {os.urandom(16).hex()}",
            f"uuid {uuid.uuid4()}",
            f"nonce {ssl.RAND_bytes(16).hex()}",
            f"random {random.random()}",
            f"monotonic {time.monotonic_ns()}",
            f"realtime {time.time_ns()}",
        ]
    )


def respond(request):
    global requests
    requests += 1
    if request.url == "/unique":
        return unique()
    if request.url == "/count":
        return str(requests)
    if request.url == "/nothing":
        return None
    return answer(int(request.url[1:]))


def main():
    native = "KVM_NAME" not in os.environ
    for number in range(REQUESTS):
        text = answer(number)
        if native:
            print(text, end="\n--\n")
    if native:
        begun = time.monotonic_ns()
        for number in range(ROUNDS * REQUESTS):
            answer(number % REQUESTS)
        print("ns", (time.monotonic_ns() - begun) // (ROUNDS * REQUESTS))
        return
    ssl.RAND_bytes(16)  # OpenSSL's generator has its seed before the freeze
    sys.path.insert(0, sys.argv[1])
    import tinykvm

    tinykvm.serve(respond)


main()
