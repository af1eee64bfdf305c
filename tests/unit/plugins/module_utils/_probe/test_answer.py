# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers as they come in, in pieces of any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.answer import HEAD_MOST, Answer, Spoilt

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "length": (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "length, said twice": (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "length 0": (HEAD + b"Content-Length: 0\r\n\r\n", b""),
    "chunks": (CHUNKED + b"5;name=value\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    "chunks and trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nDigest: abc\r\n\r\n", b"hello"),
    "until the close": (HEAD + b"\r\nhello", b"hello"),
    "bare line feeds": (b"HTTP/1.0 200 OK\nContent-Length: 5\n\nhello", b"hello"),
    "no body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
    "something first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello",
        b"hello",
    ),
}
# Of these no end is known but the connection's own.
ENDED_BY_CLOSE = ("until the close",)


def pieces(text, sizes):
    """`text` in pieces of these sizes, over and over, and then the end of the connection."""
    position, turn = 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        yield text[position : position + size]
        position, turn = position + size, turn + 1
    while True:
        yield b""


def read(text, sizes=(65536,), keep=1000):
    answer = Answer(pieces(text, sizes).__next__, keep)
    try:
        answer.read()
    except Spoilt as spoilt:
        return answer, spoilt.outcome
    return answer, "ok"


@given(st.sampled_from(sorted(WHOLE)), st.lists(st.integers(1, 30), min_size=1))
def test_a_whole_answer_in_any_pieces(kind, sizes):
    text, body = WHOLE[kind]
    answer, outcome = read(text, sizes)
    assert (outcome, answer.body, answer.length) == ("ok", body, len(body))
    assert answer.head.status == (204 if kind == "no body" else 200)


@given(st.sampled_from(sorted(set(WHOLE) - set(ENDED_BY_CLOSE))), st.data())
def test_whatever_is_cut_off_is_not_whole(kind, data):
    text, _body = WHOLE[kind]
    cut = data.draw(st.integers(0, len(text) - 1))
    _answer, outcome = read(text[:cut])
    assert outcome == ("truncated" if cut else "closed")


@pytest.mark.parametrize(
    "text",
    [
        b"hello",
        b"\x16\x03\x01 not for us",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 999 No\r\n\r\n",
        HEAD + b"Content-Length: many\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        CHUNKED + b"five\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello world\r\n0\r\n\r\n",
        CHUNKED + b"1" * 10_000,
        HEAD + b"X: " + b"a" * HEAD_MOST,
    ],
)
def test_what_is_no_http(text):
    assert read(text, (4096,))[1] == "garbled"


def test_garbage_is_noticed_before_it_ends():
    """Who sends garbage may never close; this would wait for a timeout."""
    given_out = iter([b"SSH-2.0-", b"never asked for"])
    with pytest.raises(Spoilt):
        Answer(given_out.__next__).read()
    assert next(given_out) == b"never asked for"


def test_no_more_is_kept_than_asked_for():
    answer, outcome = read(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000, (7,), keep=10)
    assert (outcome, len(answer.body), answer.length) == ("ok", 10, 1000)


@pytest.mark.parametrize(
    ("text", "reusable"),
    [
        (HEAD + b"Content-Length: 0\r\n\r\n", True),
        (HEAD + b"Content-Length: 0\r\nConnection: close\r\n\r\n", False),
        (HEAD + b"Content-Length: 0\r\n\r\nmore", False),
        (HEAD + b"\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_whether_another_answer_can_follow(text, reusable):
    assert read(text)[0].reusable is reusable


def test_headers_are_joined_and_in_lower_case():
    answer, _outcome = read(HEAD + b"X-One: a\r\nx-one:  b \r\nContent-Length: 0\r\n\r\n")
    assert answer.head.headers["x-one"] == "a, b"
