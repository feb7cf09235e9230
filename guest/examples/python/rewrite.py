"""A filter of text: mail addresses are hidden, and links become secure ones.

Its argument is what stands in place of an address.
"""

import gc
import re

import tinykvm

ADDRESS = re.compile(rb"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")

instead = b""
rest = b""
hidden = 0


def rewrite(text):
    global hidden
    text, count = ADDRESS.subn(instead, text)
    hidden += count
    return text.replace(b"http://", b"https://")


def begin(start):
    global instead
    if not (start.response_header("Content-Type") or "").startswith("text/"):
        return tinykvm.FILTER_PASS
    instead = (start.argument or "(hidden)").encode().replace(b"\\", rb"\\")
    return tinykvm.FILTER_TRANSFORM


def chunk(data):
    global rest
    text = rest + data
    # Neither an address nor a link goes across spaces, but both may go on in the next part.
    end = max(text.rfind(b" "), text.rfind(b"\n")) + 1
    tinykvm.filter_write(rewrite(text[:end]))
    rest = text[end:]


def end():
    tinykvm.filter_write(rewrite(rest))
    if hidden:
        print("addresses hidden:", hidden)


# Once, before the process is frozen: the expression's own tables are made when it is first used.
rewrite(b"a@b.c")
hidden = 0
gc.collect()
gc.freeze()
tinykvm.set_filter(begin, chunk, end)
tinykvm.wait_for_requests()
