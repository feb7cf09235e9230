"""What the backends of these tests have in common: requests on a Unix socket, one after another."""

import os
import socketserver
import threading


class Handler(socketserver.StreamRequestHandler):
    """Reads requests; `answer` gets method, path and header fields, and says whether to go on."""

    def handle(self):
        try:
            while self.one():
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass

    def one(self):
        line = self.rfile.readline().split()
        if len(line) != 3:
            return False
        fields = {}
        while (field := self.rfile.readline().strip()):
            name, _, value = field.partition(b":")
            fields[name.lower()] = value.strip()
        return self.answer(line[0], line[1].decode(), fields)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def listen(path, handler):
    """Serves on the socket `path` from now on."""
    if os.path.exists(path):
        os.unlink(path)
    server = Server(path, handler)
    # varnishd may be somebody else.
    os.chmod(path, 0o666)
    threading.Thread(target=server.serve_forever, daemon=True).start()
