# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that count: each in a thread of its own, in a closed loop, every answer looked at."""

from __future__ import annotations

import http.client
import threading
from types import TracebackType
from typing import Any, Callable

from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import until

# Seconds between an answer and the next request. Clients, members and driver share one process, which these must not fill.
PAUSE = 0.01


class Load:
    """Clients against one address, for as long as the ``with`` lasts.

    :param port: of the balancer.
    :param clients: how many of each kind: kept alive, a connection for each request, bound by a cookie.
    """

    def __init__(self, port: int, clients: int = 2) -> None:
        self.port = port
        self.requests = 0
        self.failures: list[str] = []
        self.moved: list[str] = []
        self.by_member: dict[str, int] = {}
        self._by_thread: dict[int, int] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._kept_alive, self._new_connections, self._sticky)
            for each in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def everybody_again(self) -> None:
        """Wait until each client has made a request that began after this call."""
        enough = {thread.ident: self._by_thread.get(thread.ident, 0) + 2 for thread in self._threads}
        until(
            "everybody asks again",
            lambda: dict(self._by_thread),
            lambda counts: all(counts.get(ident, 0) >= count for ident, count in enough.items()),
        )

    def _kept_alive(self) -> None:
        connection = self._connect()
        while not self._ended.is_set():
            if self._one(connection, "GET") is None:
                connection.close()
                connection = self._connect()
        connection.close()

    def _new_connections(self) -> None:
        methods = ["GET", "POST"]
        while not self._ended.is_set():
            connection = self._connect()
            self._one(connection, methods[0])
            methods.reverse()
            connection.close()

    def _sticky(self) -> None:
        bound = Bound(self.port)
        while not self._ended.is_set():
            try:
                before = bound.member
                self._note(bound.get(), None)
                if before and bound.member != before:
                    self.moved.append(f"{before} -> {bound.member}")
            except (OSError, http.client.HTTPException) as error:
                self._note(None, repr(error))

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def _one(self, connection: http.client.HTTPConnection, method: str) -> str | None:
        try:
            connection.request(method, "/", body=b"x" * 64 if method == "POST" else None)
            answer = connection.getresponse()
            body = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._note(None, repr(error))
            return None
        self._note(body, None if answer.status == 200 else f"{answer.status} {body[:60]!r}")
        return body

    def _note(self, member: str | None, failure: str | None) -> None:
        with self._lock:
            self.requests += 1
            self._by_thread[threading.get_ident()] = self._by_thread.get(threading.get_ident(), 0) + 1
            if failure:
                self.failures.append(failure)
            elif member:
                self.by_member[member] = self.by_member.get(member, 0) + 1
        self._ended.wait(PAUSE)


class Asking:
    """One client that counts its failures: answers of 5xx, ones that break off, and none.

    :param keep: whether it keeps its connection open, as long as the balancer does.
    """

    def __init__(self, port: int, keep: bool, timeout: float = 20) -> None:
        self.keep = keep
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def ask(self, times: int, path: str = "/") -> int:
        """Ask so often; how many failed."""
        return sum(not self._answered(path) for _each in range(times))

    def _answered(self, path: str) -> bool:
        try:
            self.connection.request("GET", path)
            answer = self.connection.getresponse()
            answer.read()
            if not self.keep:
                self.connection.close()
            return answer.status < 500
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return False


class Bound:
    """One client that keeps its cookie, a new connection for each request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""
        self.member = ""

    def get(self, path: str = "/") -> str:
        """Ask once; the member that answered.

        :raises http.client.HTTPException: for any status but 200.
        """
        # Longer than anybody is held, on the slowest machine.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"Cookie": self.cookie} if self.cookie else {})
            answer = connection.getresponse()
            body = answer.read().decode()
            if answer.status != 200:
                raise http.client.HTTPException(f"{answer.status} {body[:60]!r}")
            if answer.getheader("Set-Cookie"):
                self.cookie = answer.getheader("Set-Cookie").split(";")[0]
            self.member = body
            return body
        finally:
            connection.close()


def bound_to(port: int, member: str) -> Bound:
    """A client whom the balancer has bound to `member`."""

    def one() -> Bound:
        client = Bound(port)
        client.get()
        return client

    return until(f"a client is bound to {member}", one, lambda client: client.member == member)


class Aside:
    """Something that runs beside the test."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"Aside(result={self.result!r}, error={self.error!r})"

    def _run(self) -> None:
        try:
            self.result = self._work()
        except Exception as error:
            self.error = error

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def ended(self) -> Aside:
        """Wait for its end."""
        self._thread.join(60)
        assert not self.runs
        return self
