# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that counts for itself, by other means than the probe: ``http.client``, in a closed loop."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from types import TracebackType

USER_AGENT = "independent-client"


class Client:
    """Asks again and again, for as long as the ``with`` lasts.

    :param timeout: of each wait, in seconds.
    """

    def __init__(self, port: int, timeout: float, threads: int = 3) -> None:
        self.port, self.timeout = port, timeout
        self.outcomes: Counter[str] = Counter()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _each in range(threads)]

    def __enter__(self) -> Client:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self) -> None:
        while not self._ended.wait(0.01):
            outcome = self._ask()
            with self._lock:
                self.outcomes[outcome] += 1

    def _ask(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            connection.request("GET", "/", headers={"User-Agent": USER_AGENT, "Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            return "status" if answer.status >= 500 else "ok"
        except TimeoutError:
            return "timeout"
        except http.client.IncompleteRead:
            return "truncated"
        except (http.client.HTTPException, OSError) as error:
            return type(error).__name__
        finally:
            connection.close()
