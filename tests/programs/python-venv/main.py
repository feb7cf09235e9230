"""Python in an environment of its own: where it finds itself, its library and its packages."""

import os
import sys
import time

sys.path.append(sys.argv[1])
import six
import tinykvm

count = 0


def answer(number):
    places = [sys.prefix, sys.base_prefix, sys.executable, six.__file__, os.__file__]
    return f"{number} {sys.prefix != sys.base_prefix} {' '.join(places)} {six.moves.reduce(int.__mul__, range(1, number + 2))}"


def serve(request):
    global count
    count += 1
    number = request.url[1:]
    return str(count) if number == "count" else answer(int(number))


if "KVM_NAME" in os.environ:
    tinykvm.serve(serve)
for number in range(100):
    print(answer(number), end="\n--\n")
begun = time.perf_counter_ns()
for number in range(100):
    answer(number)
print("ns", (time.perf_counter_ns() - begun) // 100)
