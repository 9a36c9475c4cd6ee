"""Sends requests to a control socket and shows what comes back. No line of Fail2ban's is used: pickle and a socket are all.

Standard input: JSON, a list of requests (any value each; {"@": TYPE, "v": VALUE} for what JSON has no word for). Standard
output: a line for each: the answer as Python shows it.
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


MADE = {
    "tuple": tuple,
    "set": set,
    "float": float,
    "int": int,
    "bytes": lambda text: text.encode("utf-8"),
    "dict": dict,
    "just": lambda value: value,
}


def meant(value):
    """The object that JSON has no word for."""
    return MADE[value["@"]](value["v"]) if "@" in value else value


def answer(server):
    received = b""
    while not received.endswith(END):
        part = server.recv(65536)
        if not part:
            return "closed"
        received += part
    return repr(Reader(io.BytesIO(received[: -len(END)])).load())


def connected():
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.settimeout(20)
    server.connect(sys.argv[1])
    return server


def main():
    server = connected()
    for number, request in enumerate(json.load(sys.stdin, object_hook=meant)):
        try:
            # Older protocols have no word for bytes and sets, and would name a class.
            protocol = 4 + number % 2 if any(kind in repr(request) for kind in ("b'", "{'", "set(")) else number % 6
            server.sendall(pickle.dumps(request, protocol) + END)
            shown = answer(server)
        except TimeoutError:
            shown = "no answer"
        print(shown.replace("\n", "\\n"), flush=True)
        if shown in ("closed", "no answer"):
            server = connected()


main()
