# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients. Each one sends a request, waits for its whole answer, judges it, and sends the next."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable

from .exchange import STATUS, TIMEOUT, WRONG_DIGEST, Answer, Connection, Failed

KINDS = {
    "keepalive": "GET / over a connection that is kept",
    "connect": "GET / over a new connection for each request",
    "post": "POST /orders over a connection that is kept",
    "slow": "GET /slow, half of it at once and half of it later, over a new connection each time",
    "sticky": "GET / over a connection that is kept, with the balancer's cookie",
}
ORDERS = [f"order {number} ".encode() * 40 for number in range(16)]
ORDER_DIGESTS = [hashlib.sha256(order).hexdigest() for order in ORDERS]
# Requests after which a sticky client forgets its cookie, so that none clings to one member for ever.
STICKY_SESSION = 200
THINK_SLOW = 0.2  # seconds between the slow requests of one client, which the pace does not count

Sample = dict


class Pacer:
    """Spreads requests evenly: at most `rate` a second over all clients, in turn."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next free slot; up to 50 ms of lost slots are made up for."""
        now = time.monotonic()
        slot = max(self._next, now - 0.05)
        self._next = slot + self._interval
        if slot > now:
            await asyncio.sleep(slot - now)


class Run:
    """What all clients share: the pace, the end, and where samples go."""

    def __init__(self, pacer: Pacer, most: int, timeout: float, slow_seconds: float,
                 record: Callable[[Sample], None]) -> None:
        self.pacer = pacer
        self.timeout = timeout
        self.slow_seconds = slow_seconds
        self.started = 0
        self.reconnects = 0
        self.sticky_moves = 0
        self.stopping = asyncio.Event()
        self._most = most
        self._record = record

    def may_start(self) -> bool:
        """Take the right to one more request, if there is one."""
        if self.stopping.is_set() or self.started >= self._most:
            return False
        self.started += 1
        return True

    def count(self, sample: Sample) -> None:
        """A request has ended."""
        self._record(sample)

    async def rest(self, seconds: float) -> None:
        """Think, or stop thinking when the end has come."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            pass


class Client:
    """One client of one kind, bound to one target."""

    def __init__(self, kind: str, number: int, host: str, port: int, run: Run) -> None:
        self.kind = kind
        self._run = run
        self._connection = Connection(host, port)
        self._keeps = kind in ("keepalive", "post", "sticky")
        self._order = number
        self._cookie = ""
        self._session = 0
        self._member = ""
        path = f"/slow?seconds={run.slow_seconds:g}" if kind == "slow" else "/"
        keep = "" if self._keeps else "Connection: close\r\n"
        self._host = f"Host: {host}:{port}\r\n{keep}"
        self._get = f"GET {path} HTTP/1.1\r\n{self._host}\r\n".encode()

    async def work(self) -> None:
        """Until the run ends."""
        while not self._run.stopping.is_set():
            if self.kind == "slow":
                await self._run.rest(THINK_SLOW)
            else:
                await self._run.pacer.turn()
            if not self._run.may_start():
                break
            await self._request()
        self._connection.close()

    async def _request(self) -> None:
        request, digest = self._next_request()
        answer, failed = Answer(), None
        reused = self._keeps and self._connection.usable
        # Both clocks: moments are compared with other programs' moments, durations must not jump.
        start, begun = time.time(), time.monotonic()
        try:
            async with asyncio.timeout(self._run.timeout):
                if not reused:
                    await self._connection.open()
                await self._connection.exchange(request, answer)
            self._judge(answer, digest)
        except Failed as error:
            failed = error
        except TimeoutError:
            failed = Failed(TIMEOUT, f"not complete within {self._run.timeout:g} s")
        end = start + time.monotonic() - begun
        if not reused and self._keeps:
            self._run.reconnects += 1
        if not self._keeps or (failed and failed.why != STATUS):
            self._connection.close()
        member = answer.header("x-member")
        sample = {
            "start": round(start, 6), "end": round(end, 6), "kind": self.kind, "outcome": "failed" if failed else "ok",
            "status": answer.status, "version": answer.header("x-version"), "member": member,
        }
        if failed:
            sample |= {"why": failed.why, "detail": failed.detail, "reused": reused,
                       "target": f"{self._connection.host}:{self._connection.port}"}
        elif self.kind == "sticky":
            self._follow(answer, member)
        self._run.count(sample)

    def _next_request(self) -> tuple[bytes, str]:
        if self.kind == "post":
            self._order = (self._order + 1) % len(ORDERS)
            body = ORDERS[self._order]
            head = f"POST /orders HTTP/1.1\r\n{self._host}Content-Length: {len(body)}\r\n\r\n"
            return head.encode() + body, ORDER_DIGESTS[self._order]
        if self._cookie:
            return self._get[:-2] + f"Cookie: {self._cookie}\r\n\r\n".encode(), ""
        return self._get, ""

    def _judge(self, answer: Answer, digest: str) -> None:
        """An answer is good when its status is, and its bytes are the ones that were meant."""
        if answer.status >= 400:
            raise Failed(STATUS, f"{answer.status}: {answer.body[:80].decode('latin-1')!r}")
        if self.kind == "post":
            try:
                told, expected = json.loads(answer.body)["digest"], digest
            except (ValueError, KeyError, TypeError):
                raise Failed(WRONG_DIGEST, f"no digest in {answer.body[:80]!r}") from None
        else:
            told, expected = answer.header("x-digest"), hashlib.sha256(answer.body).hexdigest()
        if told != expected:
            raise Failed(WRONG_DIGEST, f"{told[:16] or 'nothing'} told, {expected[:16]} expected")

    def _follow(self, answer: Answer, member: str) -> None:
        """Keep the balancer's cookie, and notice when it sends us elsewhere all the same."""
        if self._session and self._member and member != self._member:
            self._run.sticky_moves += 1
        self._member = member
        self._session += 1
        cookie = answer.header("set-cookie")
        if cookie:
            self._cookie = cookie.split(";", 1)[0]
        if self._session >= STICKY_SESSION:
            self._cookie, self._session = "", 0
