"""Runs a Python program again and again, each time in a child of one warm interpreter.

`warm.py PROGRAM`: a JSON line {"args": [...]} on stdin, a JSON line {"code", "out", "err"} on stdout.
"""
import json
import os
import runpy
import signal
import sys
import tempfile

program = sys.argv[1]
nothing = os.open(os.devnull, os.O_RDWR)


def run(args):
    sys.argv = [program] + args
    try:
        runpy.run_path(program, run_name="__main__")
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1


def streams(out, err):
    for number, target in ((1, out), (2, err)):
        os.dup2(target, number)
    sys.stdout, sys.stderr = (
        open(number, "w", encoding="utf-8", errors="surrogateescape", closefd=False) for number in (1, 2)
    )


def child(request, out, err):
    status = 1
    try:
        os.dup2(nothing, 0)
        streams(out.fileno(), err.fileno())
        signal.alarm(10)
        status = run(request["args"])
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except ValueError:
                pass
        os._exit(status & 255)


answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
streams(nothing, nothing)
run(["-V"])  # loads whatever there is to load
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line), out, err)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "backslashreplace"))
        print(json.dumps({"code": status, "out": texts[0], "err": texts[1]}), file=answers, flush=True)
