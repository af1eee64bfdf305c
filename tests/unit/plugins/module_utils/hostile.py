# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger may say in place of a real answer, and what must become of it.

One way to spoil a text for every parser: pieces of a real one are replaced, doubled, cut out, torn off.  JSON, CSV, HTML and
lines of ``key: value`` are all made of such pieces, so that most of what comes out is nearly right.
"""

from __future__ import annotations

import copy
import json
import math
import re
import socket
import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError

# Bounded, so that all parsers together take less than a minute.
briefly = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

PIECE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\w.:/+-]+|[^\w\s]')

JUNK = [
    b"", b"0", b"-1", b"1.5", b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 400, b"9" * 5000, b"null", b"true", b"[]", b"{}",
    b'""', b'"x"', b'"9"', b'"\\ud800"', b'"\\u0000"', b"[" * 3000, b'{"a":' * 1500 + b"1" + b"}" * 1500, b"[" * 600 + b"]" * 600,
    b"\xff\xfe", b"\0", b"\r\n", b"\n\n", b"\n \n", b"\r\n\r\n", b";", b"'", b'"', b"<", b"<![", b"&#x110000;", b"#", b",", b"{", b"}",
    "\u2028".encode(), "²".encode(), "１".encode(), "é".encode(), b"\x1b[2J", b"{{ 1 }}", b"A" * 200_000, b"../../x", b"%00", b"-",
]  # fmt: skip


VALUES = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    10**400,
    math.inf,
    math.nan,
    "",
    "x",
    "9",
    "\ud800",
    "\0",
    "é\u2028",
    [],
    {},
    [None],
    {"a": 1},
    ["x"],
    [[]],
]


def spots(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything within a value of JSON."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*way, key)
        yield from spots(inner, (*way, key))


def misshapen(draw: Any, value: Any) -> bytes:
    """JSON that is `value` but for one thing in it, which is gone or something else."""
    *above, last = draw(st.sampled_from(list(spots(value))))
    copied = copy.deepcopy(value)
    inner = copied
    for key in above:
        inner = inner[key]
    if draw(st.integers(0, 3)) == 0:
        del inner[last]
    else:
        inner[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return json.dumps(copied).encode()


@st.composite
def spoilt(draw: Any, real: bytes) -> bytes:
    """A text that is nearly `real`, or nothing like it."""
    try:
        value = json.loads(real)
    except ValueError:
        value = None
    if isinstance(value, (dict, list)) and value and draw(st.integers(0, 9)) < 7:
        return misshapen(draw, value)
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200) | st.sampled_from(JUNK))
    text = real
    for _each in range(draw(st.integers(1, 3))):
        pieces = list(PIECE.finditer(text))
        if not pieces:
            break
        first = pieces[draw(st.integers(0, len(pieces) - 1))]
        how = draw(st.sampled_from(["replace", "replace", "replace", "double", "cut", "swap"]))
        if how == "replace":
            text = text[: first.start()] + draw(st.sampled_from(JUNK)) + text[first.end() :]
            continue
        other = pieces[draw(st.integers(0, len(pieces) - 1))]
        start, end = min(first.start(), other.start()), max(first.end(), other.end())
        middle = {"double": text[start:end] * 2, "cut": b"", "swap": other.group()}[how]
        text = text[:start] + middle + text[end:]
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    return text


def in_words(call: Callable[[], Any]) -> Any:
    """What `call` returns, or the error that it raises: one of ours, in words."""
    try:
        return call()
    except DeployError as error:
        assert len(error.message.split()) >= 4, error.message
        assert "Traceback" not in error.message
        assert len(error.message) < 20_000, "who reads it drowns: %d characters" % len(error.message)
        return error


@contextmanager
def stranger(reply: Callable[[bytes], bytes]) -> Iterator[str]:
    """Listen on loopback and answer the first words of each connection with `reply` of them; the address, ``host:port``."""

    def serve() -> None:
        while True:
            try:
                connection, _peer = server.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(5)
                    connection.sendall(reply(connection.recv(65536)))
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(
                        65536
                    ):  # else what is unread resets the connection before the answer has arrived
                        pass
                except OSError:
                    pass  # they have given up

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield "127.0.0.1:%d" % server.getsockname()[1]
        finally:
            # Before the socket is closed: who waits in `accept` on a number that is given out anew takes another server's connections.
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(body: bytes, status: str = "200 OK", head: str = "") -> bytes:
    """An answer of HTTP."""
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), head.encode("latin-1"), len(body), body)
