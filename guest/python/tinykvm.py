"""TinyKVM guest programs in Python.

    import tinykvm

    def answer(request):
        return f"Hello {request.url}"

    tinykvm.serve(answer)

What is done before serve() is done once; the process is then frozen, and every request finds it as
it was at that moment. Needs no compiler: calls to the host go through the C library's syscall().
"""

import ctypes
import os
import random
import sys
import traceback

_WAIT_FOR_REQUESTS_PAUSED = 0x10002
_BACKEND_RESPONSE = 0x10010
_HTTP_SET = 0x10021
_HTTP_FIND = 0x10022

# PyDLL: the interpreter's lock is kept, nobody else needs it while the host works.
_syscall = ctypes.PyDLL(None).syscall
_syscall.restype = ctypes.c_long


class _Request(ctypes.Structure):
    """struct kvm_request of tinykvm_abi.h"""

    _fields_ = [
        ("method", ctypes.c_void_p),
        ("url", ctypes.c_void_p),
        ("arg", ctypes.c_void_p),
        ("content_type", ctypes.c_void_p),
        ("method_len", ctypes.c_uint16),
        ("url_len", ctypes.c_uint16),
        ("arg_len", ctypes.c_uint16),
        ("content_type_len", ctypes.c_uint16),
        ("content", ctypes.c_void_p),
        ("content_len", ctypes.c_uint64),
        ("headers", ctypes.c_void_p),
        ("num_headers", ctypes.c_uint16),
        ("info_flags", ctypes.c_uint16),
        ("reserved0", ctypes.c_uint32),
        ("prng", ctypes.c_uint64 * 2),
        ("reserved1", ctypes.c_uint64 * 2),
    ]


class Request:
    """What is asked for. Strings are decoded as Latin-1, as in WSGI."""

    def __init__(self, raw):
        self._raw = raw

    def _text(self, name):
        length = getattr(self._raw, name + "_len")
        return ctypes.string_at(getattr(self._raw, name), length).decode("latin-1")

    @property
    def method(self):
        return self._text("method")

    @property
    def url(self):
        return self._text("url")

    @property
    def argument(self):
        return self._text("arg")

    @property
    def content_type(self):
        return self._text("content_type")

    @property
    def body(self):
        """The request body, as bytes."""
        if not self._raw.content:
            return b""
        return ctypes.string_at(self._raw.content, self._raw.content_len)

    def header(self, name):
        """The value of a header field, or None."""
        room = ctypes.create_string_buffer(65536)
        field = name.encode("latin-1")
        length = _syscall(_HTTP_FIND, 0, field, ctypes.c_long(len(field)), room, ctypes.c_long(65535))
        if length <= 0:
            return None
        return room.raw[len(field) + 1 : length].decode("latin-1").strip()


def set_header(field):
    """Sets a header field of the answer: "Name: value"."""
    field = field.encode("latin-1")
    _syscall(_HTTP_SET, 1, field, ctypes.c_long(len(field)))


def is_sandboxed():
    """True inside a TinyKVM VM, false when the program was started by hand."""
    return "KVM_NAME" in os.environ


def serve(answer):
    """Says that the program is ready, and answers every request with what `answer(request)`
    returns: a body (str or bytes), or (status, content type, body)."""
    raw = _Request()
    while True:
        _syscall(ctypes.c_long(_WAIT_FOR_REQUESTS_PAUSED), ctypes.byref(raw))
        # The generator behind random.random() was frozen with the rest.
        random.seed(os.urandom(16))
        try:
            result = answer(Request(raw))
        except Exception:
            traceback.print_exc(file=sys.stderr)
            result = (500, "text/plain", "Internal error")
        if not isinstance(result, tuple):
            result = (200, "text/html; charset=utf-8", result)
        status, kind, body = result
        kind = kind.encode("latin-1")
        if isinstance(body, str):
            body = body.encode()
        _syscall(
            ctypes.c_long(_BACKEND_RESPONSE),
            ctypes.c_long(status),
            kind,
            ctypes.c_long(len(kind)),
            body,
            ctypes.c_long(len(body)),
            None,
        )
