"""TinyKVM guest programs in Python.

    import tinykvm

    def answer(request):
        return f"Hello {request.url}"

    tinykvm.serve(answer)

or, to change the bodies of others:

    tinykvm.set_filter(
        lambda start: tinykvm.FILTER_TRANSFORM,
        lambda data: tinykvm.filter_write(data.upper()),
    )
    tinykvm.wait_for_requests()

What is done before serve() or wait_for_requests() is done once; the process is then frozen, and every
request finds it as it was at that moment. Needs no compiler: calls to the host go through the C
library's syscall().
"""

import os
import random
import sys
import traceback

try:
    import ctypes
except MemoryError:
    # From 3.14 on, it makes room for functions that the host could call when it is loaded.
    message = 'ctypes of this Python needs "executable_heap": true, or allow(..., exec_memory)'
    raise PermissionError(message) from None

_WAIT_FOR_REQUESTS = 0x10001
_WAIT_FOR_REQUESTS_PAUSED = 0x10002
_BACKEND_RESPONSE = 0x10010
_HTTP_SET = 0x10021
_HTTP_FIND = 0x10022
_SET_FILTER = 0x10040
_FILTER_WRITE = 0x10041

# What the begin function of a filter answers: the body is none of its business; it wants the body part
# by part, as it comes; or all of it in one piece.
FILTER_PASS = 0
FILTER_TRANSFORM = 1
FILTER_WHOLE_BODY = 2

_FILTER_ENCODED = 1
_FILTER_DELIVERY = 1
_UNKNOWN_LENGTH = 2**64 - 1

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


class _Texts:
    """What VCL and the client say. Strings are decoded as Latin-1, as in WSGI."""

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
        """What VCL passed."""
        return self._text("arg")


class Request(_Texts):
    """What is asked for."""

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
        return _header(0, name)


def _header(where, name):
    """The value of a header field of the request (0) or the response (1), or None."""
    name = name.encode("latin-1")
    length = _syscall(_HTTP_FIND, where, name, ctypes.c_long(len(name)), None, ctypes.c_long(0))
    if length <= 0:
        return None
    room = ctypes.create_string_buffer(length + 1)
    _syscall(_HTTP_FIND, where, name, ctypes.c_long(len(name)), room, ctypes.c_long(length))
    return room.raw[len(name) + 1 : length].decode("latin-1").strip()


def set_header(field):
    """Sets a header field of the answer: "Name: value". Without a colon, it is a name to be
    removed."""
    field = field.encode("latin-1")
    _syscall(_HTTP_SET, 1, field, ctypes.c_long(len(field)))


def is_sandboxed():
    """True inside a TinyKVM VM, false when the program was started by hand."""
    return "KVM_NAME" in os.environ


def _checked(result):
    """What `answer` returned, as status, content type and body."""
    whole = result if isinstance(result, tuple) else (200, "text/html; charset=utf-8", result)
    if [isinstance(*it) for it in zip(whole, (int, str, (str, bytes, bytearray)))] != [True] * 3:
        wanted = "a body (str or bytes), or (status, content type, body)"
        raise TypeError(f"{wanted} should be returned, not {result!r:.200}")
    status, kind, body = whole
    return status, kind.encode("latin-1"), body.encode() if isinstance(body, str) else bytes(body)


def serve(answer):
    """Says that the program is ready, and answers every request with what `answer(request)`
    returns: a body (str or bytes), or (status, content type, body)."""
    raw = _Request()
    while True:
        _syscall(ctypes.c_long(_WAIT_FOR_REQUESTS_PAUSED), ctypes.byref(raw))
        # The generator behind random.random() was frozen with the rest.
        random.seed(os.urandom(16))
        try:
            status, kind, body = _checked(answer(Request(raw)))
        except Exception:
            traceback.print_exc(file=sys.stderr)
            status, kind, body = 500, b"text/plain", b"Internal error"
        _syscall(
            ctypes.c_long(_BACKEND_RESPONSE),
            ctypes.c_long(status),
            kind,
            ctypes.c_long(len(kind)),
            body,
            ctypes.c_long(len(body)),
            None,
        )


class _FilterStart(ctypes.Structure):
    """struct filter_start of tinykvm_abi.h"""

    _fields_ = [
        ("method", ctypes.c_void_p),
        ("url", ctypes.c_void_p),
        ("arg", ctypes.c_void_p),
        ("config", ctypes.c_void_p),
        ("method_len", ctypes.c_uint32),
        ("url_len", ctypes.c_uint32),
        ("arg_len", ctypes.c_uint32),
        ("config_len", ctypes.c_uint32),
        ("request_headers", ctypes.c_void_p),
        ("response_headers", ctypes.c_void_p),
        ("num_request_headers", ctypes.c_uint32),
        ("num_response_headers", ctypes.c_uint32),
        ("length", ctypes.c_uint64),
        ("status", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("reserved", ctypes.c_uint32),
        ("prng", ctypes.c_uint64 * 2),
    ]


class FilterStart(_Texts):
    """A body that is about to be filtered; for the begin function only."""

    @property
    def config(self):
        """What VCL passed as the second."""
        return self._text("config")

    @property
    def status(self):
        """The status of the response."""
        return self._raw.status

    @property
    def length(self):
        """The length of the body, or None if nobody knows it yet."""
        return None if self._raw.length == _UNKNOWN_LENGTH else self._raw.length

    @property
    def is_delivery(self):
        """True if the body is on its way to a client, false if it is on its way into the cache."""
        return bool(self._raw.flags & _FILTER_DELIVERY)

    def request_header(self, name):
        """The value of a header field of the request, or None."""
        return _header(0, name)

    def response_header(self, name):
        """The value of a header field of the response, or None. set_header() sets one."""
        return _header(1, name)


class _FilterOutput(ctypes.Structure):
    """struct filter_output of tinykvm_abi.h: a buffer of the host's, which takes it when it is full
    or when a function of the filter returns."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("capacity", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    ]


_output = _FilterOutput()
# What the host calls must not be collected.
_filter_functions = ()


def filter_write(data):
    """Writes output: any amount of it, bytes or str, in the chunk and end functions of a filter."""
    data = data.encode() if isinstance(data, str) else bytes(data)
    length = len(data)
    filled = _output.length
    if length <= _output.capacity - filled:
        ctypes.memmove(_output.data + filled, data, length)
        _output.length = filled + length
    else:
        _syscall(ctypes.c_long(_FILTER_WRITE), data, ctypes.c_long(length))


def set_filter(begin, chunk, end=None, encoded=False):
    """The program filters bodies with these functions; before wait_for_requests() or serve().

    begin(start) looks at the FilterStart, may set header fields of the response, and returns one of
    FILTER_PASS, FILTER_TRANSFORM and FILTER_WHOLE_BODY. chunk(data) gets a part of the body, or all
    of it, as bytes. end() comes behind the last one. An exception says that the filter has failed.
    What the program remembers lasts until the body has ended. `encoded`: bodies come as they are
    sent or stored, gzip and all.
    """

    def guarded(function, *arguments):
        """Whether it came back, and with what."""
        try:
            answer = function(*arguments)
            # What is not flushed is forgotten.
            sys.stdout.flush()
            return True, answer
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return False, None

    def call_begin(raw):
        # The generator behind random.random() was frozen with the rest.
        random.seed(os.urandom(16))
        done, answer = guarded(begin, FilterStart(raw.contents))
        if done and type(answer) is not int:
            print(f"begin answered {answer!r}, not one of FILTER_...", file=sys.stderr)
            return -1
        return answer if done else -1

    def call_chunk(address, length):
        done, _ = guarded(chunk, ctypes.string_at(address, length))
        return 0 if done else -1

    def call_end():
        done, _ = guarded(end) if end else (True, None)
        return 0 if done else -1

    global _filter_functions
    try:
        _filter_functions = (
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_FilterStart))(call_begin),
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)(call_chunk),
            ctypes.CFUNCTYPE(ctypes.c_int)(call_end),
        )
    except MemoryError:
        # Python compiles what the host is to call.
        message = 'a filter in Python needs "executable_heap": true, or allow(..., exec_memory)'
        raise PermissionError(message) from None
    _syscall(
        ctypes.c_long(_SET_FILTER),
        *_filter_functions,
        ctypes.byref(_output),
        ctypes.c_long(_FILTER_ENCODED if encoded else 0),
    )


def wait_for_requests():
    """The program is ready: from now on the functions of set_filter() are called. Never returns."""
    _syscall(ctypes.c_long(_WAIT_FOR_REQUESTS))
