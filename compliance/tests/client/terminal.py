"""Types into a program that sits at a terminal, and prints what the terminal showed.

Usage: terminal.py PROGRAM ARGUMENT...; standard input: JSON, a list of texts. Each is typed when the prompt is there. The last line
of the output is the exit status.
"""

import json
import os
import pty
import select
import sys
import time

PROMPT = b"fail2ban> "
PATIENCE = 30


def main():
    typed = [text.encode() for text in json.load(sys.stdin)]
    pid, terminal = pty.fork()
    if pid == 0:
        # Without a terminal's own sequences: only the program's words count.
        os.environ["TERM"] = "dumb"
        os.execv(sys.argv[1], sys.argv[1:])
    shown, prompts, ended = b"", 0, False
    deadline = time.time() + PATIENCE
    while not ended and time.time() < deadline:
        if shown.count(PROMPT) > prompts and typed:
            prompts += 1
            # The prompt is written before the line is read.
            time.sleep(0.05)
            os.write(terminal, typed.pop(0))
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                part = b""
            shown += part
            ended = not part
    if not ended:
        os.kill(pid, 9)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.stdout.buffer.write(shown.replace(b"\r\n", b"\n") + b"\n%d\n" % status)


main()
