"""CPython with numpy: products of matrices, linear equations, a Fourier transform, sorting, masks in
every request."""

import os
import random
import secrets
import sys
import time
import uuid

sys.path.insert(0, sys.argv[1] + "/modules")
import numpy

REQUESTS = 100
ROUNDS = 3

matrix = numpy.arange(1.0, 10001.0).reshape(100, 100) % 17 + 20 * numpy.eye(100)
requests = 0


def answer(number):
    vector = (numpy.arange(100) * 7919 + number) % 1000
    product = matrix @ matrix.T @ vector
    solution = numpy.linalg.solve(matrix, vector)
    wave = numpy.sin(numpy.arange(256) * (2 * numpy.pi * (number % 50 + 1) / 256))
    peak = numpy.abs(numpy.fft.rfft(wave)).argmax()
    words = numpy.array([f"{value:03d}" for value in vector])
    back = numpy.allclose(matrix @ solution, vector)
    small = vector[vector < 100].sum()
    return f"{product.sum():.0f} {back} {peak} {numpy.sort(words)[number]} {small} {vector.std():.6f}"


def unique():
    # Its global generator was frozen with the rest; one that is made now has a new seed.
    numpy.random.seed(secrets.randbits(32))
    numbers = [random.random(), numpy.random.random(), numpy.random.default_rng().random()]
    values = zip(["random", "random.numpy", "random.generator"], numbers)
    return "\n".join(
        [
            f"urandom {os.urandom(16).hex()}",
            f"uuid {uuid.uuid4()}",
            f"nonce {secrets.token_hex(16)}",
            *(f"{name} {value}" for name, value in values),
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
    import tinykvm

    tinykvm.serve(respond)


main()
