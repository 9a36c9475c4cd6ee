"""Sends requests to a control socket and shows what comes back. No line of Fail2ban's is used: pickle and a socket are all.

Standard input: JSON, a list of requests (any value each). Standard output: a line for each: the answer as Python shows it.
The protocols 0 to 5 of pickle take turns. Usage: drive.py SOCKET
"""

import io
import json
import pickle
import socket
import sys

END = b"<F2B_END_COMMAND>"


class Shown:
    """An instance of a class that may not exist here; shown by the name it came with."""

    def __init__(self, *args):
        self.args = args

    def __repr__(self):
        return "%s%r" % (self.name, self.args)


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("builtins", "str"):
            return str
        return type(name, (Shown,), {"name": module + "." + name})


def answer(server):
    received = b""
    while not received.endswith(END):
        part = server.recv(65536)
        if not part:
            return "closed"
        received += part
    return repr(Reader(io.BytesIO(received[: -len(END)])).load())


def main():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(60)
        server.connect(sys.argv[1])
        for number, request in enumerate(json.load(sys.stdin)):
            server.sendall(pickle.dumps(request, number % 6) + END)
            print(answer(server).replace("\n", "\\n"), flush=True)


main()
