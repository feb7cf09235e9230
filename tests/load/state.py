#!/usr/bin/env python3
"""Has the guest program `state` change things, and looks whether the next request sees it.

usage: state.py HOST PORT PROGRAM reset|kept

"reset": nothing may be seen. "kept": what is memory must be seen, which shows that the program
can tell the difference.
"""

import http.client
import sys

# In the order of the program's own list.
THINGS = (
    "stack global brk heap mmap munmap mprotect general flags segments fsbase gsbase xmm mxcsr "
    "x87 ymm zmm signals descriptors"
).split()
# Not every machine has these, nor does every program need them.
MAY_LACK = {"ymm", "zmm", "descriptors"}
# What a program that is not reset must still find.
KEPT = "global brk heap mmap signals".split()


class Program:
    def __init__(self, host, port, name):
        self.connection = http.client.HTTPConnection(host, port, timeout=20)
        self.name = name

    def ask(self, path):
        self.connection.request("GET", f"/{self.name}{path}")
        response = self.connection.getresponse()
        return response.status, response.read().decode()

    def plant(self, thing):
        """Changes a thing; false if that is not possible here."""
        status, said = self.ask(f"/plant/{thing}")
        if said == "unsupported" and thing in MAY_LACK:
            return False
        if (status, said) != (200, "planted"):
            sys.exit(f"/plant/{thing}: {status} {said}")
        return True

    def expect(self, path, wanted, after):
        found = self.ask(path)
        if found != (200, wanted):
            sys.exit(f"{path} after {after}: {found}")


def reset(program):
    program.expect("/probe/all", "clean", "nothing")
    for thing in THINGS:
        if program.plant(thing):
            program.expect(f"/probe/{thing}", "clean", thing)
            program.plant(thing)
            program.expect("/probe/all", "clean", thing)
        program.expect("/counter", "1", thing)
    # All of them, one after the other.
    for thing in THINGS:
        program.plant(thing)
    program.expect("/probe/all", "clean", "everything")


def kept(program):
    for thing in KEPT:
        program.plant(thing)
        program.expect(f"/probe/{thing}", "dirty", thing)


def main():
    host, port, name, mode = sys.argv[1:5]
    program = Program(host, int(port), name)
    {"reset": reset, "kept": kept}[mode](program)


if __name__ == "__main__":
    main()
