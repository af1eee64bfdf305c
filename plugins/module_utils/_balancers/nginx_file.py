# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The `upstream` blocks of an NGINX configuration file, and edits of their `server` lines that leave all else as it was.  Pure.

https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server says what a line may hold.  How words are cut is NGINX's own way,
measured: a quote is one at the start of a word alone (``weight="3"`` is refused), ``#`` begins a comment there alone, ``${`` opens no
block.  Of ``down`` and ``drain``, and of several weights, the last holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterator, List, Tuple

from .._domain.members import DISABLED, DRAINED, ENABLED, Change

TOKEN = re.compile(
    r"""[ \t\r\n]+ | \#[^\n]*
    | (?P<mark>[;{}])
    | (?P<quoted>"(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*')
    | (?P<bare>(?!["'])(?:\\.|\$\{|[^ \t\r\n;{\\])+)""",
    re.VERBOSE | re.DOTALL,
)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
MEANT = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}

STATES = {"down": DISABLED, "drain": DRAINED}
BACKUP = "backup"
PARAMETER = {state: parameter for parameter, state in STATES.items()}
DEFAULT_WEIGHT = 1


class Unclear(ValueError):
    """A file that is not as NGINX would have it, or not as it can be edited."""


@dataclass(frozen=True)
class Word:
    """One word of a directive.

    :param value: without quotes and escapes.
    :param start: where it begins in the text.
    :param end: behind it.
    """

    value: str
    start: int
    end: int


@dataclass(frozen=True)
class Server:
    """One `server` directive.

    :param words: all of it, `server` itself included.
    :param end: behind its ``;``.
    :param weight: as written, or what NGINX takes when nothing is.
    """

    words: Tuple[Word, ...]
    end: int
    weight: int

    @property
    def start(self) -> int:
        """Where it begins in the text."""
        return self.words[0].start

    @property
    def address(self) -> str:
        """As written; its name."""
        return self.words[1].value

    @property
    def parameters(self) -> Tuple[Word, ...]:
        """What stands behind the address."""
        return self.words[2:]

    @property
    def state(self) -> str:
        """One of the states that all balancers share."""
        out = [word.value for word in self.parameters if word.value in STATES]
        return STATES[out[-1]] if out else ENABLED

    @property
    def tier(self) -> int:
        """1 for one that is served only while none of the others is available."""
        return int(any(word.value == BACKUP for word in self.parameters))


@dataclass
class Upstream:
    """One `upstream` block.

    :param inside: behind its ``{``.
    :param sticky: whether it binds clients to members.
    :param includes: whether some of it stands in other files.
    """

    name: str
    inside: int
    servers: List[Server] = field(default_factory=list)
    sticky: bool = False
    includes: bool = False

    @property
    def by_address(self) -> dict[str, Server]:
        """The servers by their names, in order."""
        return {server.address: server for server in self.servers}


@dataclass(frozen=True)
class Splice:
    """`text` in place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def upstreams(text: str) -> list[Upstream]:
    """All `upstream` blocks, wherever they stand.

    :raises Unclear: for a file that is not made of directives and blocks, or a weight that is no number.
    """
    found: list[Upstream] = []
    blocks: list[Upstream | None] = []  # those that are open; None for all other kinds
    words: list[Word] = []
    for mark, word in tokens(text):
        if not mark:
            words.append(word)
            continue
        if mark == "{":
            is_one = len(words) == 2 and words[0].value == "upstream"
            blocks.append(Upstream(words[1].value, word.end) if is_one else None)
            if blocks[-1]:
                found.append(blocks[-1])
        elif mark == ";":
            if blocks and blocks[-1] and words:
                _take(blocks[-1], tuple(words), word.end)
        elif words or not blocks:
            raise Unclear("line %d has a `}` where none belongs" % _line(text, word.start))
        else:
            blocks.pop()
        words = []
    if words or blocks:
        raise Unclear("it ends within a %s" % ("directive" if words else "block"))
    return found


def includes(text: str) -> list[str]:
    """The `include` directives of a file, each with its line: ``include conf.d/*.conf (line 7)``."""
    found: list[str] = []
    words: list[Word] = []
    for mark, word in tokens(text):
        if mark == ";" and [each.value for each in words[:1]] == ["include"]:
            found.append("%s (line %d)" % (" ".join(each.value for each in words), _line(text, words[0].start)))
        words = [] if mark else [*words, word]
    return found


def changed(text: str, upstream: Upstream, changes: list[Change]) -> str:
    """`text` with the states and weights that `changes` ask for; of each line nothing but these parameters is touched."""
    servers = upstream.by_address
    splices = [splice for change in changes for splice in _splices(text, servers[change.name], change)]
    return _spliced(text, splices)


def with_server(text: str, upstream: Upstream, address: str, weight: int | None) -> str:
    """`text` with one more server, out of traffic, below the last one and indented as that is."""
    line = "server %s%s down;" % (address, "" if weight is None else " weight=%d" % weight)
    if not upstream.servers:
        return _spliced(text, [Splice(upstream.inside, upstream.inside, " " + line)])
    last = upstream.servers[-1]
    indent = _blanks_before(text, last.start)
    rest = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=(\r?\n))").match(text, last.end)
    if indent is None or rest is None:  # it shares its line with others
        return _spliced(text, [Splice(last.end, last.end, " " + line)])
    return _spliced(text, [Splice(rest.end(), rest.end(), rest.group(1) + indent + line)])


def without_servers(text: str, upstream: Upstream, addresses: list[str]) -> str:
    """`text` without these servers; a line that holds nothing else goes as a whole."""
    splices = []
    for address in addresses:
        server = upstream.by_address[address]
        start, end = server.start, server.end
        indent = _blanks_before(text, start)
        rest = re.compile(r"[ \t]*\r?\n").match(text, end)
        if indent is not None and rest is not None:
            start, end = start - len(indent), rest.end()
        splices.append(Splice(start, end, ""))
    return _spliced(text, splices)


def tokens(text: str) -> Iterator[tuple[str, Word]]:
    """The words and marks of a configuration, one by one: a mark (``;``, ``{``, ``}``) and where it stands, or no mark and a word.

    :raises Unclear: for a quote that has no end.
    """
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise Unclear("what begins in line %d has no end" % _line(text, at))
        at = match.end()
        if match.lastgroup:
            value = match.group(match.lastgroup)
            if match.lastgroup == "mark":
                yield value, Word(value, match.start(), at)
            else:
                bare = value[1:-1] if match.lastgroup == "quoted" else value
                yield "", Word(ESCAPED.sub(lambda m: MEANT.get(m.group(1), m.group(0)), bare), match.start(), at)


def _take(upstream: Upstream, words: tuple[Word, ...], end: int) -> None:
    kind = words[0].value
    if kind == "server" and len(words) > 1:
        upstream.servers.append(Server(words, end, _weight(words)))
    upstream.sticky |= kind == "sticky"
    upstream.includes |= kind == "include"


def _weight(words: tuple[Word, ...]) -> int:
    written = _weights(words)
    if not written:
        return DEFAULT_WEIGHT
    number = written[-1].value[len("weight=") :]
    if not re.fullmatch(r"[0-9]{1,19}", number):
        raise Unclear("the weight of server %s is %r" % (words[1].value, number))
    return int(number)


def _weights(words: tuple[Word, ...]) -> list[Word]:
    return [word for word in words[2:] if word.value.startswith("weight=")]


def _splices(text: str, server: Server, change: Change) -> Iterator[Splice]:
    if change.weight is not None and change.weight != server.weight:
        written = _weights(server.words)
        at = written[-1] if written else Word("", server.words[1].end, server.words[1].end)
        yield Splice(at.start, at.end, "%sweight=%d" % ("" if written else " ", change.weight))
    if change.state is None or change.state == server.state:
        return
    for before, word in zip(server.words[1:], server.parameters):
        if word.value in STATES:
            yield Splice(_end_of_what_stays(text, before, word), word.end, "")
    if change.state != ENABLED:
        yield Splice(server.words[-1].end, server.words[-1].end, " " + PARAMETER[change.state])


def _end_of_what_stays(text: str, before: Word, word: Word) -> int:
    """Where to cut in front of `word`: a comment, and the end of its line, must stay."""
    gap = text[before.end : word.start]
    return before.end if not gap.strip(" \t\r\n") else before.end + len(gap.rstrip(" \t"))


def _blanks_before(text: str, at: int) -> str | None:
    """What indents `at`, when nothing else stands in front of it in its line."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    return before if not before.strip(" \t") else None


def _spliced(text: str, splices: list[Splice]) -> str:
    pieces, at = [], 0
    for splice in sorted(splices, key=lambda splice: (splice.start, splice.end)):
        pieces += [text[at : splice.start], splice.text]
        at = splice.end
    return "".join(pieces) + text[at:]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
