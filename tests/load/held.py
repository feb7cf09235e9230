#!/usr/bin/env python3
"""What the cache process of a varnishd holds on to: descriptors, memory, mappings, threads.

usage: held.py WORKDIR FILE

WORKDIR is varnishd's. The first time the figures are written to FILE; after that they are
compared with it, and what has grown is an error.
"""

import json
import os
import sys

# Kilobytes, mappings, threads: what allocators, caches and thread pools may come to hold in
# between, and forks to be in use. A leak in each of a hundred turns is more.
SLACK = {"descriptors": 2, "mappings": 30, "memory": 32 << 10, "size": 200 << 10, "threads": 4}


def child(workdir):
    """The cache process, as it says in the index of its shared memory."""
    with open(f"{workdir}/_.vsm_child/_.index", encoding="ascii") as index:
        return int(index.readline().split()[1])


def figures(workdir):
    """What it holds on to."""
    pid = child(workdir)
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        mappings = sum(1 for _ in maps)
    kilobytes = {name: int(lines[name].split()[0]) for name in ("RssAnon", "RssShmem", "VmSize")}
    return {
        "process": pid,
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "mappings": mappings,
        "memory": kilobytes["RssAnon"] + kilobytes["RssShmem"],
        "size": kilobytes["VmSize"],
        "threads": int(lines["Threads"]),
    }


def check(before, now):
    """Fails if anything has grown."""
    print("before:", before, "\nnow:", now)
    if before["process"] != now["process"]:
        sys.exit("the process is another one")
    grown = [what for what, more in SLACK.items() if now[what] > before[what] + more]
    if grown:
        sys.exit(f"grown: {grown}")


def main():
    workdir, file = sys.argv[1:3]
    if os.path.exists(file):
        with open(file, encoding="ascii") as old:
            check(json.load(old), figures(workdir))
    else:
        with open(file, "w", encoding="ascii") as new:
            json.dump(figures(workdir), new)


if __name__ == "__main__":
    main()
