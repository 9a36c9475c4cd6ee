"""Types into a shell that sits at a terminal, presses the tab key, and tells what stood on the line then.

Standard input: JSON, {"shell": [...], "setup": TEXT, "lines": [[TYPED, EXPECTED], ...]}. Standard output: JSON, for each line null when
what was expected stood there, or else the terminal's text.
"""

import json
import os
import pty
import select
import sys
import time

PATIENCE = 20


def main():
    task = json.load(sys.stdin)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "dumb"
        os.execv(task["shell"][0], task["shell"])
    shown = b""

    def until(text):
        nonlocal shown
        deadline = time.time() + PATIENCE
        while text not in shown and time.time() < deadline:
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    shown += os.read(terminal, 65536)
                except OSError:
                    break
        before, found, after = shown.partition(text)
        shown = after if found else b""
        return None if found else before.decode("utf-8", "replace")

    os.write(terminal, (task["setup"] + "\n").encode())
    outcomes = [until(b"ready to go")]
    for typed, expected in task["lines"]:
        # Away with what stands there from before.
        os.write(terminal, b"\x15" + typed.encode() + b"\t")
        outcomes.append(until(expected.encode()))
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    print(json.dumps(outcomes))


main()
