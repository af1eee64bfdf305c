# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of Apache's balancer-manager as a browser gets it: balancers, their members, and how each of them is."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from html.parser import HTMLParser
from typing import Dict, List
from urllib.parse import parse_qs, urlsplit

from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Member

# Words of a member's status: out for everybody, no new clients, and not fit to serve (`Err` until `retry` has passed).
OUT, DRAINING, FAILED = {"Dis", "Stop", "Shut"}, {"Drn"}, {"HcFl", "Err"}

FORMS = "<h3>Edit "  # the heading after which a member's form follows
PORTS = {"http": 80, "h2c": 80, "ws": 80, "https": 443, "h2": 443, "wss": 443, "ajp": 8009}


@dataclass(frozen=True)
class Worker:
    """A row of the page.

    :param key: what a POST calls it.
    :param cells: by their columns' titles.
    :param name: what we call it: the first of its route, address and URL that no other of its balancer has.
    """

    key: str
    cells: Dict[str, str]
    name: str = ""

    @property
    def url(self) -> str:
        """As the configuration has it."""
        return self.cells["Worker URL"]

    @property
    def address(self) -> str:
        """``host:port``; of a unix socket, its whole URL."""
        parts = urlsplit(self.url)
        port = parts.port or PORTS.get(parts.scheme)
        if not parts.hostname or not port or "|" in self.url:
            return self.url
        return f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"

    @property
    def factor(self) -> float:
        """The load factor, which may have two decimals."""
        return float(self.cells["Factor"])

    @property
    def status(self) -> set[str]:
        """The words of its status, such as `Init`, `Ok` and those above."""
        return set(self.cells["Status"].split())

    @property
    def checked(self) -> bool:
        """Whether mod_proxy_hcheck looks after it."""
        return self.cells.get("HC Method", "NONE") != "NONE"  # without mod_proxy_hcheck there is no such column

    @property
    def proves_itself(self) -> bool:
        """Whether it takes a check that begins after a call to bring it up: one that is under way counts as a pass."""
        return self.checked and int(self.cells["Passes"].partition(" ")[0]) > 1

    def member(self) -> Member:
        """It in the words that every balancer shares."""
        cells, status = self.cells, self.status
        said = cells["Status"].strip()
        if self.checked:
            said += " ({HC Method} {HC uri} every {HC Interval}, passes {Passes}, fails {Fails})".format(**cells)
        return Member(
            name=self.name,
            address=self.address,
            state=DISABLED if status & OUT else DRAINED if status & DRAINING else ENABLED,
            weight=int(self.factor),
            health=DOWN if status & FAILED else UP if self.checked and "Stop" not in status else UNKNOWN,
            checked=self.checked,
            last_check=said,
        )


@dataclass
class Pool:
    """A balancer on the page."""

    name: str
    nonce: str
    workers: List[Worker] = field(default_factory=list)

    @cached_property
    def named(self) -> dict[str, Worker]:
        """Its workers by name, in its order."""
        titles = [(worker.cells.get("Route", ""), worker.address, worker.url) for worker in self.workers]
        had = Counter(title for own in titles for title in set(own))
        names = [next((title for title in own if title and had[title] == 1), own[-1]) for own in titles]
        return {name: replace(worker, name=name) for name, worker in zip(names, self.workers)}


class Page(HTMLParser):
    """What the balancer-manager shows.

    :raises ValueError: for a page that is none of its own.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pools: dict[str, Pool] = {}
        self.version = self.server = ""
        self._words: List[str] = []
        self._link: Dict[str, str] = {}
        self._titles: List[str] = []
        self._cells: List[str] = []
        try:
            self.feed(text.partition(FORMS)[0])
            self.close()
        except (AssertionError, NotImplementedError):  # what Python 3.10 and 3.8 make of broken declarations
            raise ValueError("it is no HTML") from None
        if not self.server:
            raise ValueError("it has no heading `Load Balancer Manager for ...`")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("h1", "h3", "dt", "th", "td"):
            self._words = []
        elif tag == "table":
            self._titles = []
        if tag in ("h3", "tr"):
            self._link, self._cells = {}, []
        elif tag == "a":
            query = parse_qs(urlsplit(dict(attrs).get("href") or "").query, keep_blank_values=True)
            self._link = {key: values[0] for key, values in query.items()}

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        text = "".join(self._words).strip()
        if tag == "h1":
            self.server = text.partition("Load Balancer Manager for ")[2]
        elif tag == "dt":
            found = re.match(r"Server Version: Apache/(\S+)", text)
            self.version = found.group(1) if found else self.version
        elif tag == "h3" and "b" in self._link:
            pool = Pool(self._link["b"], self._link.get("nonce", ""))
            self.pools[pool.name] = pool
        elif tag == "th":
            self._titles.append(text)
        elif tag == "td":
            self._cells.append(text)
        elif tag == "tr" and self._cells and "Worker URL" in self._titles:
            worker = Worker(self._link["w"], dict(zip(self._titles, self._cells)))
            worker.member(), worker.proves_itself  # so that a broken row is found here
            self.pools[self._link["b"]].workers.append(worker)
