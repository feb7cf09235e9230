#!/usr/bin/env python3
"""Loads, uses and discards a VCL many times, and looks at what the cache process holds on to.

usage: reload.py WORKDIR HOST PORT VCL CYCLES

WORKDIR is varnishd's. The VCL is the path of a file in which programs answer /a and /b with
"Hello World".
"""

import http.client
import subprocess
import sys
import time

import held

# Cycles until allocators and caches have what they want.
SETTLED = 20
# Every so many cycles the old VCL is cooled before it is discarded.
COLD = 4


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

    def ask(self, path):
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        if answer != (200, b"Hello World"):
            sys.exit(f"{path}: {answer}")

    def figures(self):
        """What is held when discarded VCLs are gone."""
        for _ in range(100):
            names = [line for line in self.admin("vcl.list").splitlines() if line.strip()]
            if len(names) == 1:
                # Threads may still be on their way out.
                time.sleep(0.5)
                return held.figures(self.workdir)
            time.sleep(0.1)
        sys.exit(f"VCLs are not gone: {names}")


def main():
    workdir, host, port, vcl, cycles = sys.argv[1:6]
    varnish = Varnish(workdir, host, int(port))
    before = "vcl1"
    settled = None
    for cycle in range(int(cycles)):
        name = f"reload{cycle}"
        varnish.admin("vcl.load", name, vcl)
        varnish.admin("vcl.use", name)
        varnish.ask("/a")
        varnish.ask("/b")
        if cycle % COLD == 1:
            varnish.admin("vcl.state", before, "cold")
        varnish.admin("vcl.discard", before)
        before = name
        if cycle == SETTLED:
            settled = varnish.figures()
    held.check(settled, varnish.figures())


if __name__ == "__main__":
    main()
