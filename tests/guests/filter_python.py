"""A filter in Python that does what its argument says, one word.

same, upper     the body, in capitals
large           each part many times, in one write of a megabyte and more
whole           wants the body in one piece, and writes it in reverse
pass            wants nothing to do with it
saw             sets X-Saw to what it was told
text            writes str, bytearray and memoryview
random          a random number
begin, chunk, end    raises an exception there
none            begin answers nothing
print           prints something in each function
"""

import random
import sys

import tinykvm

word = ""
parts = 0


def fail(where):
    if word == where:
        raise ValueError(f"no {where}")


def begin(start):
    global word
    word = start.argument
    fail("begin")
    if word == "saw":
        saw = [
            start.method,
            start.url,
            start.config,
            start.status,
            start.length,
            start.is_delivery,
            start.request_header("X-Request"),
            start.response_header("X-Response"),
            start.response_header("X-Missing"),
        ]
        tinykvm.set_header("X-Saw: " + " ".join(map(str, saw)))
        tinykvm.set_header("X-Response")
    if word == "print":
        print("begun")
    if word == "none":
        return None
    if word == "whole":
        return tinykvm.FILTER_WHOLE_BODY
    return tinykvm.FILTER_PASS if word == "pass" else tinykvm.FILTER_TRANSFORM


def chunk(data):
    global parts
    parts += 1
    fail("chunk")
    if word == "upper":
        data = data.upper()
    elif word == "large":
        tinykvm.filter_write("a little, and then: ")
        data = data * (2**20 // len(data) + 1)
    elif word == "whole":
        data = data[::-1]
    elif word == "text":
        tinykvm.filter_write("größer")
        tinykvm.filter_write(bytearray(b", "))
        data = memoryview(data)[1:]
    elif word == "random":
        data = f"{random.random()}"
    elif word == "print":
        print("part", parts)
    tinykvm.filter_write(data)
    # Not an answer to anything.
    return -1


def end():
    fail("end")
    if word == "print":
        print("ended")
        print("with an error", file=sys.stderr)


tinykvm.set_filter(begin, chunk, end, encoded="encoded" in sys.argv)
tinykvm.wait_for_requests()
