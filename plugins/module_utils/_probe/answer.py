# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads an HTTP/1 answer to its end, and knows whether that was its end.

``http.client`` does the same at several times the cost, and is silent about some bodies that are cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Dict, Optional

from .._domain.felt import CLOSED, GARBLED, TRUNCATED

# Bytes of a head, and of a line between chunks, that are read before it is taken for garbage.
HEAD_MOST, LINE_MOST = 65536, 4096
# Bytes of what came instead of an answer that are kept to be quoted.
SEEN_MOST = 1000

_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_BEGINNING = b"HTTP/1."
_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,15})\s*(?:;.*)?\Z", re.DOTALL)
_BODILESS = frozenset((101, 204, 304))


class Spoilt(Exception):
    """Why there is no whole answer.

    :param outcome: of the words of `_domain/felt.py`.
    :param seen: the beginning of what came instead.  It may echo a secret, and is quoted by who knows which.
    """

    def __init__(self, outcome: str, why: str, seen: bytes = b"") -> None:
        super().__init__(why)
        self.outcome, self.seen = outcome, seen[:SEEN_MOST]


@dataclass(frozen=True)
class Head:
    """An answer up to its body; names of headers in lower case, repeated ones joined by ``", "``."""

    status: int
    minor: int
    headers: Dict[str, str]


class Answer:
    """An answer as it comes in.

    :param receive: gives the next bytes, none at the end of the connection; what it raises passes through.
    :param keep: how many bytes of the body to keep in :attr:`body`; the others are read and dropped.
    """

    def __init__(self, receive: Callable[[], bytes], keep: int = 0) -> None:
        self._receive = receive
        self._keep = keep
        self._buffer = b""
        self.begun = False
        self.head: Optional[Head] = None
        self.body = b""
        self.length = 0  # of the body, so far
        self.reusable = False  # whether another answer can follow on this connection

    def read(self) -> None:
        """Read it to its end.

        :raises Spoilt: it has none.
        """
        while self.head is None:
            head = self._read_head()
            if head.status >= 200 or head.status == 101:  # what comes before says that the answer itself comes later
                self.head = head
        closing = self.head.headers.get("connection", "").lower()
        self.reusable = "close" not in closing if self.head.minor else "keep-alive" in closing
        coding = self.head.headers.get("transfer-encoding")
        length = self.head.headers.get("content-length")
        if self.head.status in _BODILESS:
            self.reusable = self.reusable and self.head.status != 101
        elif coding is not None and coding.lower().rstrip().endswith("chunked"):
            self._read_chunks()
        elif coding is None and length is not None:
            self._read_body(_number(length))
        else:
            self.reusable = False
            while self._buffer or self._more():
                self._take(len(self._buffer))
        if self._buffer:
            self.reusable = False  # nobody asked for that

    def told(self) -> str:
        """The answer so far, as the beginning of a sentence."""
        return "HTTP %d" % self.head.status if self.head else "an answer that had only begun"

    def _more(self) -> bool:
        received = self._receive()
        self.begun = self.begun or bool(received)
        self._buffer += received
        return bool(received)

    def _read_head(self) -> Head:
        while True:
            end = _END.search(self._buffer)
            if not self._buffer.startswith(_BEGINNING[: len(self._buffer)]):
                raise Spoilt(GARBLED, "the answer is not HTTP/1: it begins", self._buffer)
            if end:
                break
            if len(self._buffer) > HEAD_MOST:
                raise Spoilt(GARBLED, "the answer's head does not end within %d bytes" % HEAD_MOST)
            if not self._more():
                if not self.begun:
                    raise Spoilt(CLOSED, "the connection was closed without an answer")
                raise Spoilt(TRUNCATED, "the connection was closed within the head of the answer")
        head = self._buffer[: end.end()]
        self._buffer = self._buffer[end.end() :]
        first = _STATUS.match(head)
        if first is None:
            raise Spoilt(GARBLED, "the answer is not HTTP/1: it begins", head)
        headers: Dict[str, str] = {}
        for line in head[first.end() :].decode("latin-1").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                name, value = name.lower(), value.strip()
                headers[name] = "%s, %s" % (headers[name], value) if name in headers else value
        return Head(int(first.group(2)), int(first.group(1)), headers)

    def _read_body(self, length: int) -> None:
        while self.length < length:
            if not self._buffer and not self._more():
                raise Spoilt(
                    TRUNCATED, "%s, but the body was cut off after %d of %d bytes" % (self.told(), self.length, length)
                )
            self._take(min(len(self._buffer), length - self.length))

    def _read_chunks(self) -> None:
        while True:
            size = _SIZE.match(self._line())
            if size is None:
                raise Spoilt(GARBLED, "%s, but what came is not in chunks" % self.told())
            behind = self.length + int(size.group(1), 16)
            if behind == self.length:
                break
            while self.length < behind:
                if not self._buffer and not self._more():
                    raise self._cut()
                self._take(min(len(self._buffer), behind - self.length))
            if self._line().strip():
                raise Spoilt(GARBLED, "%s, but a chunk is longer than it says" % self.told())
        while self._line().strip():
            pass  # trailers

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_MOST:
                raise Spoilt(GARBLED, "%s, but what came is not in chunks" % self.told())
            if not self._more():
                raise self._cut()
        line, _end, self._buffer = self._buffer.partition(b"\n")
        return line

    def _cut(self) -> Spoilt:
        return Spoilt(
            TRUNCATED, "%s, but the body was cut off after %d bytes, before its last chunk" % (self.told(), self.length)
        )

    def _take(self, count: int) -> None:
        if len(self.body) < self._keep:
            self.body += self._buffer[: min(count, self._keep - len(self.body))]
        self._buffer = self._buffer[count:]
        self.length += count


def _number(length: str) -> int:
    # A repeated header may say the same twice.
    said = {part.strip() for part in length.split(",")}
    one = said.pop()
    if said or not (one.isascii() and one.isdigit()):
        raise Spoilt(GARBLED, "the answer's Content-Length is", length.encode("latin-1"))
    return int(one)
