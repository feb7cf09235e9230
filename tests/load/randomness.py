#!/usr/bin/env python3
"""Asks the guest program `random` many times: what must differ between requests, what must not,
and what the time is.

usage: randomness.py HOST PORT PROGRAM...
"""

import http.client
import sys
import time

REQUESTS = 60
SOURCES = {"getrandom", "at_random", "prng"}


class Program:
    def __init__(self, host, port, name):
        self.connection = http.client.HTTPConnection(host, port, timeout=20)
        self.name = name

    def ask(self, path):
        self.connection.request("GET", f"/{self.name}{path}")
        response = self.connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            sys.exit(f"{self.name} {path}: {response.status} {text}")
        return text


def random_values(program):
    """One set of values for each source."""
    values = {}
    for _ in range(REQUESTS):
        lines = dict(line.split("=") for line in program.ask("/all").splitlines())
        if lines.keys() != SOURCES:
            sys.exit(f"{program.name}: sources {lines}")
        for source, value in lines.items():
            if len(value) != 32 or value in ("0" * 32, "f" * 32):
                sys.exit(f"{program.name}: {source} gives {value}")
            values.setdefault(source, []).append(value)
    return values


def differ(programs):
    """All values, of all programs and requests, are different."""
    everything = []
    for program in programs:
        for values in random_values(program).values():
            everything += values
    twice = {value for value in everything if everything.count(value) > 1}
    if twice:
        sys.exit(f"these came more than once: {sorted(twice)[:5]}")


def clocks(program):
    last = 0
    for _ in range(20):
        if (said := program.ask("/clocks")) != "ok":
            sys.exit(f"{program.name}: {said}")
        before = time.time_ns()
        realtime = int(program.ask("/realtime"))
        after = time.time_ns()
        # Measured on another processor, perhaps.
        if not before - 1_000_000 <= realtime <= after + 1_000_000:
            sys.exit(f"{program.name}: realtime {realtime} not in {before}..{after}")
        if abs(int(program.ask("/time")) - time.time()) > 2:
            sys.exit(f"{program.name}: time() is wrong")
        monotonic = int(program.ask("/monotonic"))
        if monotonic <= last:
            sys.exit(f"{program.name}: monotonic went from {last} to {monotonic}")
        last = monotonic
        time.sleep(0.01)


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    programs = [Program(host, port, name) for name in sys.argv[3:]]
    differ(programs)
    for program in programs:
        # What was drawn before the freeze is the same for ever.
        if len({program.ask("/init") for _ in range(10)}) != 1:
            sys.exit(f"{program.name}: the frozen state differs")
        clocks(program)


if __name__ == "__main__":
    main()
