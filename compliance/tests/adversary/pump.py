"""Lines that a pattern finds hard, made from Python's own syntax tree of it; and what Python's engine says of texts.

One JSON request a line on standard input, one answer a line:
  {"pumps": PATTERN, "seed": N, "most": N}    [[head, pump, tail], ...]: head + pump * n + tail is the line
  {"around": PATTERN}                         [before, after]: what stands around the group `content` in a match
  {"search": PATTERN, "multiline": BOOL, "texts": [...], "limit": SECONDS}
                                              for each text its named groups, null (no match) or "slow"
"""
import json
import random
import re
import signal
import sys
import warnings

try:
    from re import _compiler as compiler, _constants as c, _parser as parser
except ImportError:
    import sre_compile as compiler, sre_constants as c, sre_parse as parser

warnings.simplefilter("ignore")
REPEATS = tuple(getattr(c, name) for name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") if hasattr(c, name))
FAVOURITES = "a1 x:b./-[](),'\"=<>@_Z#\t\x01é"


class Sampler:
    """Writes texts that match a tree; one of its loops may be pumped."""

    def __init__(self, tree, rng):
        self.tree, self.rng = tree, rng
        self.groups = {}
        self.content = None

    def char(self, item):
        tree = parser.SubPattern(self.tree.state, [item])
        fits = compiler.compile(tree).fullmatch
        found = [char for char in FAVOURITES if fits(char)]
        if not found:
            found = [chr(n) for n in range(32, 127) if fits(chr(n))][:3]
        return self.rng.choice(found[:4]) if found else "?"

    def all(self, items):
        return "".join(self.one(item) for item in items)

    def one(self, item):
        op, av = item
        if op is c.LITERAL:
            return chr(av)
        if op in (c.NOT_LITERAL, c.ANY, c.IN):
            return self.char(item)
        if op is c.BRANCH:
            return self.all(self.rng.choice(av[1]))
        if op is c.SUBPATTERN:
            if self.content is not None and self.tree.state.groupdict.get("content") == av[0]:
                return self.content
            text = self.all(av[3])
            self.groups[av[0]] = text
            return text
        if op in REPEATS:
            low, high, body = av
            times = min(max(low, self.rng.choice((0, 1, 1, 2))), high)
            return "".join(self.all(body) for _ in range(times))
        if op is c.GROUPREF:
            return self.groups.get(av, "")
        if op is c.GROUPREF_EXISTS:
            branch = av[1] if av[0] in self.groups else av[2]
            return self.all(branch) if branch else ""
        if op is getattr(c, "ATOMIC_GROUP", None):
            return self.all(av)
        return ""


def parts(item):
    """The sequences directly below an item."""
    op, av = item
    if op is c.BRANCH:
        return list(av[1])
    if op is c.SUBPATTERN:
        return [av[3]]
    if op in REPEATS:
        return [av[2]]
    if op is c.GROUPREF_EXISTS:
        return [branch for branch in av[1:] if branch]
    if op in (c.ASSERT, c.ASSERT_NOT):
        return [av[1]]
    if op is getattr(c, "ATOMIC_GROUP", None):
        return [av]
    return []


def loops(items, before=(), after=()):
    """All loops without end (or with a late one), with the items that lead to each and those that follow it."""
    items = list(items)
    for at, item in enumerate(items):
        head, tail = list(before) + items[:at], items[at + 1:] + list(after)
        if item[0] in REPEATS and item[1][1] > 20:
            yield item, head, tail
        for part in parts(item):
            yield from loops(part, head, tail)


def pumps(pattern, seed, most):
    tree = parser.parse(pattern)
    rng = random.Random(seed)
    made = []

    def text(items):
        return Sampler(tree, rng).all(items)

    everything = text(tree)
    made.append(["", everything or "a", ""])
    made.append(["", everything + " ", "\x01"])
    for loop, head, tail in loops(tree):
        body = loop[1][2]
        fits = None
        try:
            again = parser.SubPattern(tree.state, [(c.MAX_REPEAT, (1, c.MAXREPEAT, body))])
            fits = compiler.compile(again).fullmatch
        except Exception:
            pass
        before = text(head)
        rest = text(tail)
        own = [text(body) for _ in range(3)]
        foreign = [" ", "a", "1", ":", ": a", rest, rest[: len(rest) // 2], rest[:1], everything, before[-8:]]
        candidates = own + [pump for pump in foreign if pump and (fits is None or fits(pump * 3))]
        candidates.append(own[0] + rest[:-1])
        candidates.append("".join(own))
        for pump in dict.fromkeys(pump for pump in candidates if pump):
            for end in (rest, rest[:-1] + "\x01", "", "\x01"):
                made.append([before, pump, end])
    made = [list(shape) for shape in dict.fromkeys(map(tuple, made)) if "\n" not in "".join(shape)]
    if len(made) > most:
        made = made[:2] + rng.sample(made[2:], most - 2)
    return made


def around(pattern):
    sampler = Sampler(parser.parse(pattern), random.Random(1))
    sampler.content = "\ue000"
    before, _, after = sampler.all(sampler.tree).partition("\ue000")
    return [before, after]


class Slow(Exception):
    pass


def alarm(*_):
    raise Slow


def search(pattern, multiline, texts, limit):
    compiled = re.compile(pattern, re.MULTILINE if multiline else 0)
    answers = []
    for text in texts:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, limit)
            found = compiled.search(text)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            answers.append(found and found.groupdict())
        except Slow:
            answers.append("slow")
    return answers


signal.signal(signal.SIGVTALRM, alarm)
for line in sys.stdin:
    q = json.loads(line)
    if "pumps" in q:
        answer = pumps(q["pumps"], q["seed"], q["most"])
    elif "around" in q:
        answer = around(q["around"])
    else:
        answer = search(q["search"], q["multiline"], q["texts"], q["limit"])
    print(json.dumps(answer), flush=True)
