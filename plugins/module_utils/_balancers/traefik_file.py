# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of Traefik's file provider, in JSON: the servers of a service, and those that are out of it, kept beside it.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Tuple
from urllib.parse import urlsplit

from .._domain.members import DISABLED, DRAINED, ENABLED
from .json_edits import dump, inserted, load, part, parts, removed, replaced, space_before, with_items

SERVICES = ("http", "services")
ROUTERS = ("http", "routers")
OURS = ".zero_downtime-"
NOWHERE = (
    "PathPrefix(`/`) && !PathPrefix(`/`)"  # the rule of a router that no request matches, whatever its path looks like
)

Servers = List[Tuple[str, int]]  # URL and weight of each, as Traefik shows them


def out(pool: str) -> str:
    """The service that holds the servers of `pool` that are out."""
    return pool + OURS + "out"


def is_back(pool: str, service: str) -> bool:
    """Whether `service` is one in which servers of `pool` wait for a check."""
    return re.fullmatch(re.escape(pool + OURS) + "back-[0-9a-f]{8}", service) is not None


def is_ours(pool: str, service: str) -> bool:
    """Whether `service` holds servers of `pool` that are not in traffic."""
    return service == out(pool) or is_back(pool, service)


@dataclass(frozen=True)
class Server:
    """One server, as the file has it.

    :param text: its JSON.
    :param service: in which it stands: the pool itself, or one of those beside it.
    """

    text: str
    service: str
    state: str

    @property
    def url(self) -> str:
        """As the file has it, with its place in the pool where it is out."""
        return str(load(self.text)["url"])

    @property
    def weight(self) -> int:
        """What is written, or what Traefik makes of nothing."""
        return int(load(self.text).get("weight", 1))

    @property
    def name(self) -> str:
        """``host:port``."""
        parsed = urlsplit(self.url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        return ("[%s]:%d" if ":" in (parsed.hostname or "") else "%s:%d") % (parsed.hostname, port)

    @property
    def checked_name(self) -> str:
        """The name of a server that makes sense.

        :raises ValueError: when its URL or weight does not.
        """
        expect(bool(urlsplit(self.url).hostname) and self.weight >= 0)
        return self.name

    @property
    def place(self) -> int:
        """Where in the pool it belongs, when it is out."""
        fragment = self.url.rpartition("#")[2]
        return int(fragment) if fragment.isdigit() else 0

    def weighing(self, weight: int) -> Server:
        """The same with another weight."""
        if weight == self.weight:
            return self
        if "weight" in load(self.text):
            return replace(self, text=replaced(self.text, ("weight",), str(weight)))
        return replace(self, text=inserted(self.text, ("url",), "weight", str(weight)))

    def at(self, place: int | None) -> Server:
        """The same with its place in the pool in its URL, or without."""
        url = part(self.text, ("url",))
        bare = re.sub(r'(#[0-9]+)?"$', "", self.text[url.start : url.end])
        return replace(self, text=replaced(self.text, ("url",), bare + ('"' if place is None else '#%d"' % place)))


@dataclass(frozen=True)
class Pool:
    """A service, and those beside it that hold its servers that are out, in the text of the file.

    :param servers: all of them, in the order of the pool, each once.
    """

    name: str
    text: str
    servers: List[Server]

    @classmethod
    def read(cls, name: str, text: str) -> Pool:
        """The service `name` of the file.

        A server that is in the service's own list is in traffic, whatever is kept beside it: a tool, or a person, has written it
        there since it was taken out.  The record of it is stale, and goes with the next write.

        :raises KeyError, TypeError, ValueError: there is none, or its servers cannot be told apart.
        """
        services = load(text)["http"]["services"]
        expect(isinstance(services[name]["loadBalancer"]["servers"], list))
        home = _servers(text, name, ENABLED)
        names = [server.checked_name for server in home]
        expect(len(set(names)) == len(names))
        beside = [service for service in services if is_ours(name, service)]
        away = [s for service in beside for s in _servers(text, service, DISABLED if service == out(name) else DRAINED)]
        known, kept = set(names), []
        for server in sorted(away, key=lambda server: server.state != DRAINED):
            if server.checked_name not in known:
                known.add(server.checked_name)
                kept.append(server)
        for server in sorted(kept, key=lambda server: server.place):
            home.insert(server.place, server)
        return cls(name, text, home)

    @property
    def settings(self) -> Dict[str, Any]:
        """Of the service itself."""
        found: Dict[str, Any] = load(self.text)["http"]["services"][self.name]["loadBalancer"]
        return found

    @property
    def services(self) -> Dict[str, Servers]:
        """What Traefik is to run: the servers of the pool and of those beside it, stale ones too."""
        found: Dict[str, Servers] = {self.name: [], out(self.name): []}
        for name, described in load(self.text)["http"]["services"].items():
            if name == self.name or is_ours(self.name, name):
                found[name] = [
                    (str(server["url"]), int(server.get("weight", 1)))
                    for server in described["loadBalancer"]["servers"]
                ]
        return found

    def with_servers(self, servers: List[Server]) -> Pool:
        """The same file with these servers, each where its state and service say; nothing else in it changes."""
        text = self.text
        placed = [s.at(None if s.state == ENABLED else index) for index, s in enumerate(servers)]
        there = [name for name in load(text)["http"]["services"] if is_ours(self.name, name)]
        space = space_before(text, SERVICES + (self.name,))
        for service in dict.fromkeys([self.name, *there, *(server.service for server in placed)]):
            items = [server.text for server in placed if server.service == service]
            if not items and service != self.name:
                text = removed(text, SERVICES + (service,))
                continue
            if service not in (self.name, *there):
                text = self._with_service(text, service)
            text = with_items(text, _list_of(service), items, space + "  " if "\n" in space else space)
        return Pool(self.name, _without_strays(self.name, text), placed)

    def _with_service(self, text: str, service: str) -> str:
        about: Dict[str, Any] = {"servers": []}
        if is_back(self.name, service):
            # Checked exactly as in the pool.
            about.update(
                {key: self.settings[key] for key in ("healthCheck", "serversTransport") if key in self.settings}
            )
            router = dump({"rule": NOWHERE, "service": service, "priority": 1})
            routers = load(text)["http"].get("routers")
            if routers:
                text = inserted(text, ROUTERS + (list(routers)[-1],), service, router)
            else:
                text = inserted(text, SERVICES, "routers", "{%s: %s}" % (dump(service), router))
        return inserted(text, SERVICES + (self.name,), service, dump({"loadBalancer": about}))


def _servers(text: str, service: str, state: str) -> List[Server]:
    return [Server(text[item.start : item.end], service, state) for item in parts(text, _list_of(service))]


def _list_of(service: str) -> Tuple[str, ...]:
    return SERVICES + (service, "loadBalancer", "servers")


def _without_strays(pool: str, text: str) -> str:
    """Without the routers of ours that lead to no service any more."""
    found = load(text)["http"]
    for router in list(found.get("routers") or {}):
        if is_back(pool, router) and router not in found["services"]:
            left = load(text)["http"]["routers"]
            # Traefik rejects a file in which `routers` is empty.
            text = removed(text, ROUTERS + (router,) if len(left) > 1 else ROUTERS)
    return text


def expect(holds: bool) -> None:
    """:raises ValueError: it does not hold."""
    if not holds:
        raise ValueError
