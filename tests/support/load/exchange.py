# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP exchange over one connection, and every way in which it can fail, told apart. Nothing is tried twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

# Why a request failed.
REFUSED = "refused"  # no connection: refused, reset or unreachable while connecting
CLOSED = "closed"  # connected, sent, and closed (or reset) before the first byte of an answer
TRUNCATED = "truncated"  # the answer began and did not reach its end
WRONG_DIGEST = "wrong_digest"  # complete, but not the right bytes
STATUS = "status"  # an answer of 400 or above
TIMEOUT = "timeout"  # not complete in time
BAD_ANSWER = "bad_answer"  # not HTTP as we know it
WHYS = (REFUSED, CLOSED, TRUNCATED, WRONG_DIGEST, STATUS, TIMEOUT, BAD_ANSWER)


@dataclass
class Answer:
    """What came back; fields fill up as it comes, so that a failure tells how far it got."""

    status: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header by its lower-case name; empty when absent."""
        return (self.headers or {}).get(name, "")


class Failed(Exception):
    """A request that failed.

    :param why: one of WHYS.
    :param detail: in words.
    """

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(detail)
        self.why = why
        self.detail = detail


class Connection:
    """A TCP connection to one target, for one request after another."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def usable(self) -> bool:
        """Open, as far as can be seen before sending: any HTTP client looks before it reuses a connection."""
        return bool(self._reader and self._writer and not self._reader.at_eof() and not self._writer.is_closing())

    async def open(self) -> None:
        """Connect.

        :raises Failed: REFUSED.
        """
        self.close()
        try:
            self._reader, self._writer = await asyncio.open_connection(self.host, self.port)
        except OSError as error:
            raise Failed(REFUSED, str(error)) from None

    def close(self) -> None:
        """Close, without waiting for the other side."""
        if self._writer:
            self._writer.close()
        self._reader = self._writer = None

    async def exchange(self, request: bytes, answer: Answer) -> None:
        """Send a whole request and read a whole answer into `answer`. After any failure, `close` it.

        :raises Failed: CLOSED, TRUNCATED or BAD_ANSWER.
        """
        reader, writer = self._reader, self._writer
        if reader is None or writer is None:
            raise RuntimeError("exchange on a connection that is not open")
        writer.write(request)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Failed(TRUNCATED, f"closed within the head, after {len(error.partial)} bytes") from None
            raise Failed(CLOSED, "closed without an answer") from None
        except asyncio.LimitOverrunError:
            raise Failed(BAD_ANSWER, "a head without an end") from None
        except OSError as error:
            raise Failed(CLOSED, f"broken without an answer: {error}") from None
        answer.status, answer.headers = _parse(head)
        await self._read_body(reader, answer)
        if answer.header("connection").lower() == "close":
            self.close()

    async def _read_body(self, reader: asyncio.StreamReader, answer: Answer) -> None:
        length = answer.header("content-length")
        if answer.header("transfer-encoding"):
            raise Failed(BAD_ANSWER, "no Content-Length: whether it is whole cannot be known")
        try:
            if not length:
                # Ended by the close. Nothing that is asked for here comes so, but a proxy's error page may.
                answer.body = await reader.read()
                self.close()
                if answer.status < 400:
                    raise Failed(BAD_ANSWER, "no Content-Length: whether it is whole cannot be known")
                return
            answer.body = await reader.readexactly(int(length))
        except asyncio.IncompleteReadError as error:
            raise Failed(TRUNCATED, f"{len(error.partial)} of {length} bytes") from None
        except ValueError:
            raise Failed(BAD_ANSWER, f"Content-Length {length!r}") from None
        except OSError as error:
            raise Failed(TRUNCATED, f"broken within the body of {length} bytes: {error}") from None


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise Failed(BAD_ANSWER, f"first line {lines[0][:80]!r}")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    return int(words[1]), headers
