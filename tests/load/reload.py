#!/usr/bin/env python3
"""Loads, uses and discards a VCL many times, and looks at what the cache process holds on to.

usage: reload.py WORKDIR HOST PORT VCL CYCLES

WORKDIR is varnishd's. The VCL is the path of a file in which programs answer /a and /b with
"Hello World".
"""

import http.client
import os
import subprocess
import sys
import time

# Cycles until allocators and caches have what they want.
SETTLED = 20
# Kilobytes, mappings: what may come and go. One leaked program is more than each of it.
MEMORY_SLACK = 8 * 1024
SIZE_SLACK = 200 * 1024
MAPS_SLACK = 20


class Varnish:
    def __init__(self, workdir, host, port):
        self.workdir = workdir
        self.address = (host, port)

    def admin(self, *command):
        done = subprocess.run(
            ["varnishadm", "-n", self.workdir, *command],
            capture_output=True, text=True, timeout=30,
        )
        if done.returncode != 0:
            sys.exit(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def child(self):
        """The cache process, as it says in the index of its shared memory."""
        with open(f"{self.workdir}/_.vsm_child/_.index", encoding="ascii") as index:
            return int(index.readline().split()[1])

    def ask(self, path):
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        if answer != (200, b"Hello World"):
            sys.exit(f"{path}: {answer}")

    def settle(self):
        """Waits until discarded VCLs are gone."""
        for _ in range(100):
            names = [line for line in self.admin("vcl.list").splitlines() if line.strip()]
            if len(names) == 1:
                return
            time.sleep(0.1)
        sys.exit(f"VCLs are not gone: {names}")


def figures(pid):
    """What a process holds on to."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        mappings = sum(1 for _ in maps)
    kilobytes = {name: int(lines[name].split()[0]) for name in ("RssAnon", "RssShmem", "VmSize")}
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "mappings": mappings,
        "memory": kilobytes["RssAnon"] + kilobytes["RssShmem"],
        "size": kilobytes["VmSize"],
        "threads": int(lines["Threads"]),
    }


def main():
    workdir, host, port, vcl, cycles = sys.argv[1:6]
    varnish = Varnish(workdir, host, int(port))
    pid = varnish.child()
    before = "vcl1"
    settled = None
    for cycle in range(int(cycles)):
        name = f"reload{cycle}"
        varnish.admin("vcl.load", name, vcl)
        varnish.admin("vcl.use", name)
        varnish.ask("/a")
        varnish.ask("/b")
        varnish.admin("vcl.discard", before)
        before = name
        if cycle == SETTLED:
            varnish.settle()
            settled = figures(pid)
    varnish.settle()
    # The threads of the last cycle may be on their way out.
    time.sleep(0.5)
    now = figures(pid)
    print("settled:", settled, "\nat last:", now)
    slack = {
        "descriptors": 2,
        "mappings": MAPS_SLACK,
        "memory": MEMORY_SLACK,
        "size": SIZE_SLACK,
        "threads": 2,
    }
    grown = [what for what, more in slack.items() if now[what] > settled[what] + more]
    if varnish.child() != pid:
        grown.append("the process is another one")
    sys.exit(f"grown: {grown}" if grown else 0)


if __name__ == "__main__":
    main()
