# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of Apache's balancer-manager as a browser gets it: balancers, their members, and how each of them is."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from html.parser import HTMLParser
from ipaddress import ip_address
from typing import Dict, List
from urllib.parse import parse_qs, urlsplit

from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Member

# Words of a member's status: out for everybody, no new clients, and not fit to serve (`Err` until `retry` has passed).
OUT, DRAINING, FAILED = {"Dis", "Stop", "Shut"}, {"Drn"}, {"HcFl", "Err"}
# Words of members that wait for others of their load balancing set to fail: a spare replaces one of them, a standby the last of them.
SPARE, STANDBY = "Spar", "Stby"

RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # a nonce that Apache has made
TICK = 100  # milliseconds between two looks of Apache at which checks are due
COUNT = re.compile(r"(\d+) \((\d+)\)")  # checks that are needed, and those that have passed in a row

FORMS = "<h3>Edit "  # the heading after which a member's form follows
PORTS = {"http": 80, "h2c": 80, "ws": 80, "https": 443, "h2": 443, "wss": 443, "ajp": 8009}


@dataclass(frozen=True)
class Worker:
    """A row of the page.

    :param key: what a POST calls it.
    :param cells: by their columns' titles.
    :param name: what we call it: the first of its route, address and URL that no other of its balancer has.
    :param tier: its place among the places in line that members of its balancer have.
    """

    key: str
    cells: Dict[str, str]
    name: str = ""
    tier: int = 0

    @property
    def url(self) -> str:
        """As the configuration has it."""
        return self.cells["Worker URL"]

    @cached_property
    def address(self) -> str:
        """``host:port``; of a unix socket, its whole URL."""
        parts = urlsplit(self.url)
        port = parts.port or PORTS.get(parts.scheme)
        if not parts.hostname or not port or "|" in self.url:
            return self.url
        return f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"

    @property
    def server(self) -> str:
        """Its server, written the same in every URL that leads there: a unix socket, or ``host:port``."""
        if "|" in self.url:
            return self.url.partition("|")[0]
        host, colon, port = self.address.rpartition(":")
        host = "127.0.0.1" if host == "localhost" else host
        try:
            return f"{ip_address(host.strip('[]'))}{colon}{port}"
        except ValueError:  # a name
            return host + colon + port

    @property
    def factor(self) -> float:
        """The load factor, which may have two decimals."""
        return float(self.cells["Factor"])

    @cached_property
    def status(self) -> set[str]:
        """The words of its status, such as `Init`, `Ok` and those above."""
        return set(self.cells["Status"].split())

    @property
    def checked(self) -> bool:
        """Whether mod_proxy_hcheck looks after it."""
        return self.cells.get("HC Method", "NONE") != "NONE"  # without mod_proxy_hcheck there is no such column

    @property
    def passes(self) -> tuple[int, int]:
        """Checks that have passed in a row since it went down, and those that bring it up."""
        found = COUNT.fullmatch(self.cells["Passes"])
        if not found:
            raise ValueError(f"{self.cells['Passes']!r} are no passes")
        return int(found.group(2)), int(found.group(1))

    @property
    def proves_itself(self) -> bool:
        """Whether it takes a check that begins after a call to bring it up: one that is under way counts as a pass."""
        return self.checked and self.passes[1] > 1

    @property
    def check_seconds(self) -> float:
        """Seconds until checks bring it up, without the time that they take themselves; 0 where there are none."""
        if not self.checked:
            return 0
        return (int(self.cells["HC Interval"].partition("ms")[0]) + TICK) * self.passes[1] / 1000

    @property
    def place(self) -> tuple[int, int]:
        """Its place in line: the load balancing set, and in it the members, then their spares, then their standbys."""
        return int(self.cells.get("Set", "0")), 1 if SPARE in self.status else 2 if STANDBY in self.status else 0

    @property
    def written(self) -> str:
        """All that a write may have changed and a graceful restart forgets."""
        return " ".join([self.key, self.cells["Factor"], *sorted(self.status & (OUT | DRAINING))])

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
            tier=self.tier,
            check_progress=self.passes if self.checked and "HcFl" in status else None,
            requests=int(cells["Elected"]) if "Elected" in cells else None,
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
        tiers = {place: tier for tier, place in enumerate(sorted({worker.place for worker in self.workers}))}
        return {name: replace(worker, name=name, tier=tiers[worker.place]) for name, worker in zip(names, self.workers)}

    def mark(self, persists: bool) -> str:
        """Another one when Apache has forgotten what was written to this balancer.

        A graceful restart makes a new nonce.  One from the configuration, or from the file of `BalancerPersist On`, stays: then the
        states and weights themselves are all that a restart, or a crash, takes back.
        """
        if RANDOM.fullmatch(self.nonce) and not persists:
            return self.nonce
        return f"{self.nonce}/{zlib.crc32(' '.join(worker.written for worker in self.workers).encode()):08x}"

    def shared_with(self, other: Pool) -> tuple[str, ...]:
        """Names of its members whose servers `other` has too."""
        servers = {worker.server for worker in other.workers}
        return tuple(name for name, worker in self.named.items() if worker.server in servers)


class Page(HTMLParser):
    """What the balancer-manager shows.

    :raises ValueError: for a page that is none of its own.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pools: dict[str, Pool] = {}
        self.version = self.server = ""
        self.persists = False
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
            self.persists = self.persists or text == "Balancer changes will be persisted on restart."
        elif tag == "h3" and "b" in self._link:
            pool = Pool(self._link["b"], self._link.get("nonce", ""))
            self.pools[pool.name] = pool
        elif tag == "th":
            self._titles.append(text)
        elif tag == "td":
            self._cells.append(text)
        elif tag == "tr" and self._cells and "Worker URL" in self._titles:
            worker = Worker(self._link["w"], dict(zip(self._titles, self._cells)))
            worker.member(), worker.server, worker.place, worker.check_seconds  # so that a broken row is found here
            self.pools[self._link["b"]].workers.append(worker)
