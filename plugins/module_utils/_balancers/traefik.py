# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
r"""Traefik, through a file of its file provider, and its read-only API to see what became of it.

https://doc.traefik.io/traefik/reference/install-configuration/providers/others/file/
https://doc.traefik.io/traefik/reference/routing-configuration/http/load-balancing/service/

What is not obvious, each measured on 3.7:

* Traefik reads ``.yml``, ``.yaml`` and ``.toml`` and no ``.json``; JSON in a file named ``.yml`` it does read, since JSON is YAML (all but
  the escape ``\/``).
* A server that is out leaves the list.  It is kept, with its weight, in a service of its own beside the pool, ``POOL.zero_downtime-out``.
  No router leads to that, so Traefik neither balances to it nor checks it nor warns of it, and the dashboard shows it.  A server's place in
  the pool is the fragment of its URL there, because fields that Traefik does not know make it reject the whole file.
* Whatever changes in its configuration makes Traefik hold every server to be UP until its next check, so `serverStatus` cannot prove a
  check.  The metric ``traefik_service_server_up`` can: it does not exist for a service until a check has ended.  A server that returns
  therefore waits in a service whose name is new, which a router leads to that matches nothing: it is checked, and gets no request.
* A temporary file in the watched folder starts a reload that finds nothing, and the real one then waits for the provider's throttle: two
  seconds each time.  The file is written beside the folder, and renamed into it.
* Traefik says which configuration runs, not who is still in an old request: see `drain_wait`.
* Nothing is counted by server.  By service each try of a retry is a request, so that one which was saved is a failure there; by router
  (``addRoutersLabels``) each request is one, with the status that its client got.  An answer that breaks off is in neither, not even
  as a request.  A change of the configuration keeps what is counted of a router that stays.
"""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass, replace
from typing import Any, Callable, ContextManager, Dict, List, Tuple
from urllib.parse import quote, urlsplit

from .._clock import Clock, Deadline
from .._domain.counters import Served
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .http_api import HttpApi
from .json_edits import dump, inserted, load, part, parts, removed, replaced, space_before, with_items
from .lock import only_writer
from .traefik_metrics import checks, served

SERVICES = ("http", "services")
ROUTERS = ("http", "routers")
OURS = ".zero_downtime-"
NOWHERE = (
    "PathPrefix(`/`) && !PathPrefix(`/`)"  # the rule of a router that no request matches, whatever its path looks like
)
POLL = 0.02  # seconds between two looks at what Traefik runs
HEALTH = {"UP": UP, "DOWN": DOWN}
# The strategy that pays no regard to weights.
UNWEIGHTED = "p2c"

Servers = List[Tuple[str, int]]  # URL and weight of each, as Traefik shows them


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

    :param servers: all of them, in the order of the pool.
    """

    name: str
    text: str
    servers: List[Server]

    @property
    def settings(self) -> Dict[str, Any]:
        """Of the service itself."""
        found: Dict[str, Any] = load(self.text)["http"]["services"][self.name]["loadBalancer"]
        return found

    @property
    def services(self) -> Dict[str, Servers]:
        """What Traefik is to run: the servers of the pool and of those beside it."""
        found: Dict[str, Servers] = {self.name: [], out(self.name): []}
        for server in self.servers:
            found.setdefault(server.service, []).append((server.url, server.weight))
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
                text = self._without_service(text, service)
                continue
            if service not in (self.name, *there):
                text = self._with_service(text, service)
            text = with_items(text, _list_of(service), items, space + "  " if "\n" in space else space)
        return Pool(self.name, text, placed)

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

    def _without_service(self, text: str, service: str) -> str:
        text = removed(text, SERVICES + (service,))
        routers = load(text)["http"].get("routers") or {}
        if service not in routers:
            return text
        # Traefik rejects a file in which `routers` is empty.
        return removed(text, ROUTERS + (service,) if len(routers) > 1 else ROUTERS)


class Traefik(Balancer):
    """See the module's own text."""

    provider = "traefik"

    def __init__(self, name: str, capabilities: Capabilities, options: Dict[str, Any]) -> None:
        path = absolute("file", options["file"])
        if not path.endswith((".yml", ".yaml")):
            raise InvalidInput(
                "Balancer %s: `file` is %s, and Traefik reads files named .yml, .yaml or .toml alone. Give it JSON in a file named "
                ".yml, because JSON is YAML. Nothing was touched." % (name, path)
            )
        self.file = ConfigFile(path, _aside(path))
        self.timeout = options["timeout"]
        url, metrics = options["url"], options["metrics_url"]
        self.api = HttpApi("Traefik's API", self.timeout, url, **_access(options, url, url))
        self.metrics = (
            HttpApi("Traefik's metrics", self.timeout, metrics, **_access(options, metrics, url)) if metrics else None
        )
        if not metrics:
            capabilities = replace(capabilities, fresh_health=False, served=False)
        super().__init__(name, self.file.path, capabilities)
        self._widest = capabilities

    def version(self) -> str:
        found = self._ask("/api/version")
        return str(found.get("Version") or "unknown") if isinstance(found, dict) else "unknown"

    def members(self, pool: str) -> List[Member]:
        # Read anew at each look: somebody else may be writing.
        return self._running(lambda: self._read(pool), Unreachable)

    def served(self, pool: str) -> Served | None:
        if self.metrics is None:
            return super().served(pool)
        self._read(pool)  # which knows what to say of a pool that there is not
        return served(_page(self.metrics), pool + "@file")

    def apply(self, pool: str, changes: List[Change], distrust: bool = False) -> List[Member]:
        with self._only_writer():
            return self._apply(pool, changes, distrust)

    def _apply(self, pool: str, changes: List[Change], distrust: bool) -> List[Member]:
        now = self._read(pool)
        wanted = {change.name: change for change in changes}
        # A name that no metric has ever had: whatever is measured of it was measured after this.
        back = "%s%sback-%s" % (pool, OURS, uuid.uuid4().hex[:8])
        servers = []
        for server in now.servers:
            change = wanted.get(server.name, Change(server.name))
            if change.weight is not None:
                server = server.weighing(change.weight)
            if change.state is not None and (distrust or change.state != server.state):
                service = {ENABLED: pool, DISABLED: out(pool)}.get(change.state, back)
                server = replace(server, state=change.state, service=service)
            servers.append(server)
        members = self._write(now, now.with_servers(servers))
        self.check_written(pool, changes, members, "Is another program writing %s?" % self.file.path)
        return members

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        if name != address:
            raise InvalidInput(
                "Balancer %s: Traefik knows its servers by address, so a new one at %s has that name, not %r. Give it another one "
                "for the tasks with `names`. Nothing was touched." % (self.name, address, name)
            )
        with self._only_writer():
            now = self._read(pool)
            scheme = urlsplit(now.servers[0].url).scheme if now.servers else "http"
            new = Server(dump({"url": "%s://%s" % (scheme, address)}), out(pool), DISABLED)
            try:
                _expect(_name_of(new) == address)
            except ValueError:
                raise InvalidInput(
                    "Balancer %s: %r is no host:port. Nothing was touched." % (self.name, address)
                ) from None
            self._write(now, now.with_servers([*now.servers, new if weight is None else new.weighing(weight)]))

    def remove(self, pool: str, names: List[str]) -> None:
        with self._only_writer():
            now = self._read(pool)
            left = [server for server in now.servers if server.name not in names or server.state == ENABLED]
            members = self._write(now, now.with_servers(left))
        still = sorted({member.name for member in members}.intersection(names))
        if still:
            raise NotApplied(
                "Balancer %s: pool %s still has %s: who is in traffic is not removed."
                % (self.name, pool, ", ".join(still))
            )

    def _only_writer(self) -> ContextManager[None]:
        """The file is written as a whole: another host of the same play, and another pool, must not write what they read before us."""
        return only_writer("file %s" % self.file.path, Clock())

    def _read(self, pool: str) -> Pool:
        text = self.file.read()
        try:
            services = load(text)["http"]["services"]
            described = None if OURS in pool else services[pool]
        except ValueError as error:
            raise self._no_json(error) from None
        except (KeyError, TypeError):
            raise self._unknown(pool, text) from None
        if described is None:
            raise self._unknown(pool, text)
        try:
            _expect(isinstance(described["loadBalancer"]["servers"], list))
            beside = [name for name in services if is_ours(pool, name)]
            home = _servers(text, pool, ENABLED)
            away = [s for name in beside for s in _servers(text, name, DISABLED if name == out(pool) else DRAINED)]
            for server in sorted(away, key=lambda server: server.place):
                home.insert(server.place, server)
            names = [_name_of(server) for server in home]
            _expect(len(set(names)) == len(names))
        except (KeyError, TypeError, ValueError):
            raise InvalidInput(
                "Balancer %s: service %r in %s is not one that members can be taken out of: it has no `loadBalancer` with a list "
                "`servers` of which each has a `url` with a host and port of its own. Nothing was touched."
                % (self.name, pool, self.file.path)
            ) from None
        strategy = described["loadBalancer"].get("strategy")
        self.capabilities = replace(self._widest, weight_range=None) if strategy == UNWEIGHTED else self._widest
        return Pool(pool, text, home)

    def _write(self, now: Pool, wanted: Pool) -> List[Member]:
        if wanted.text == now.text:
            return self._running(lambda: wanted, NotApplied)
        with self.file.replaced(now.text, wanted.text):
            return self._running(lambda: wanted, NotApplied)

    def _running(self, read: Callable[[], Pool], failure: type) -> List[Member]:
        """The members, once Traefik runs what the file says.

        :param read: what it says.
        :param failure: raised when it does not within `timeout`.
        """
        clock = Clock()
        deadline = Deadline(clock, self.timeout)
        while True:
            pool = read()
            shown = self._shown(pool)
            wanted = pool.services
            off = [name for name in wanted if _as_run(shown.get(name)) != wanted[name]]
            if not off:
                return self._members(pool, shown)
            if deadline.passed:
                raise self._not_run(pool.name, shown.get(pool.name), failure)
            clock.sleep(POLL)

    def _not_run(self, pool: str, shown: Dict[str, Any] | None, failure: type) -> DeployError:
        said = "it does not have the service" if shown is None else "it runs other servers"
        if shown and shown.get("error"):
            said = "it says %s" % shown["error"]
        error: DeployError = failure(
            "Balancer %s: after %g s Traefik at %s does not run what %s says of service %s (%s). Look at its log; is the file one that "
            "its file provider watches, and is `timeout` longer than providersThrottleDuration (2 s by default)?"
            % (self.name, self.timeout, self.api.endpoint, self.file.path, pool, said)
        )
        return error

    def _shown(self, pool: Pool) -> Dict[str, Dict[str, Any]]:
        """What Traefik runs for the pool and beside it, by service."""
        path = "/api/http/services?per_page=100000&search=%s" % quote(pool.name, safe="")
        found = self._ask(path)
        if not isinstance(found, list):
            raise self.api.stranger("GET %s" % path, repr(found))
        return {
            str(service.get("name"))[: -len("@file")]: service
            for service in found
            if isinstance(service, dict) and str(service.get("name")).endswith("@file")
        }

    def _members(self, pool: Pool, shown: Dict[str, Dict[str, Any]]) -> List[Member]:
        checked = bool(pool.settings.get("healthCheck"))
        up_by_check = checks(_page(self.metrics)) if checked and self.metrics else {}
        members = []
        for server in pool.servers:
            statuses = (shown.get(server.service) or {}).get("serverStatus")
            status = str(statuses.get(server.url, "")) if isinstance(statuses, dict) else ""
            up = up_by_check.get((server.service + "@file", server.url))
            known = checked and server.state != DISABLED
            health, said = _health(server.state, status, up) if known else (UNKNOWN, "")
            members.append(Member(server.name, server.name, server.state, server.weight, health, None, checked, said))
        return members

    def _ask(self, path: str) -> Any:
        answer = self.api.ask("GET", path)
        if answer.status in (401, 403):
            raise Refused(
                "Balancer %s: Traefik's API at %s answers %d: give `username` and `password` of somebody who may read it."
                % (self.name, self.api.endpoint, answer.status)
            )
        try:
            if answer.status == 200:
                return answer.json()
        except (ValueError, RecursionError):
            pass
        raise self.api.stranger("GET %s" % path, "%d %s" % (answer.status, answer.text.strip()[:100]))

    def _no_json(self, error: ValueError) -> InvalidInput:
        return InvalidInput(
            "Balancer %s: %s is not JSON (%s). A host without more than Python cannot write YAML and keep its comments, so give the "
            "pool's service a file of its own in the watched folder, in JSON, and named .yml: Traefik reads that, and routers in other "
            "files may name it. Nothing was touched." % (self.name, self.file.path, error)
        )

    def _unknown(self, pool: str, text: str) -> InvalidInput:
        found = load(text)
        for key in SERVICES:
            found = found.get(key) if isinstance(found, dict) else None
        known = [name for name in found or () if OURS not in name] if isinstance(found, dict) else []
        return InvalidInput(
            "Balancer %s has no pool %r. The services in %s are: %s. Nothing was touched."
            % (self.name, pool, self.file.path, ", ".join(sorted(known)) or "none")
        )


def out(pool: str) -> str:
    """The service that holds the servers of `pool` that are out."""
    return pool + OURS + "out"


def is_back(pool: str, service: str) -> bool:
    """Whether `service` is one in which servers of `pool` wait for a check."""
    return re.fullmatch(re.escape(pool + OURS) + "back-[0-9a-f]{8}", service) is not None


def is_ours(pool: str, service: str) -> bool:
    """Whether `service` holds servers of `pool` that are not in traffic."""
    return service == out(pool) or is_back(pool, service)


def _page(metrics: HttpApi) -> str:
    """All metrics, in Prometheus's format."""
    answer = metrics.ask("GET", "")
    if answer.status != 200 or "# TYPE" not in answer.text:
        raise metrics.stranger("GET", "%d %s" % (answer.status, answer.text.strip()[:100]))
    return answer.text


def _health(state: str, status: str, up: bool | None) -> Tuple[str, str]:
    """A server's health, and in whose words."""
    if up is not None:
        return (UP if up else DOWN), "server_up %d" % up
    if state == DRAINED:
        return DOWN, ""  # until a check has passed
    return HEALTH.get(status, UNKNOWN), "serverStatus %s" % status if status else ""


def _servers(text: str, service: str, state: str) -> List[Server]:
    return [Server(text[item.start : item.end], service, state) for item in parts(text, _list_of(service))]


def _list_of(service: str) -> Tuple[str, ...]:
    return SERVICES + (service, "loadBalancer", "servers")


def _name_of(server: Server) -> str:
    """The name of a server that makes sense.

    :raises ValueError: when its URL or weight does not.
    """
    _expect(bool(urlsplit(server.url).hostname) and server.weight >= 0)
    return server.name


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError


def _as_run(service: Dict[str, Any] | None) -> Servers:
    """The servers of a service that the API shows; a service that is not there has none."""
    try:
        return [(server["url"], server.get("weight", 1)) for server in (service or {})["loadBalancer"]["servers"]]
    except (KeyError, TypeError, AttributeError):
        return []


def _aside(path: str) -> str:
    """Where the new file is written: outside of the folder that Traefik watches, if a file can be renamed from there."""
    folder = os.path.dirname(os.path.realpath(path))
    above = os.path.dirname(folder)
    try:
        fits = os.stat(above).st_dev == os.stat(folder).st_dev and os.access(above, os.W_OK)
    except OSError:
        fits = False
    return above if fits else folder


def _access(options: Dict[str, Any], url: str, api: str) -> Dict[str, Any]:
    """How to talk to `url`: password and headers are for the API's own server alone."""
    try:
        same = urlsplit(url)[:2] == urlsplit(api)[:2]
    except ValueError:  # one of them is no URL, which is told as soon as it is opened
        same = False
    return {
        "username": options["username"] if same else None,
        "password": options["password"] if same else None,
        "headers": options["headers"] if same else None,
        "verify": options["validate_certs"],
        "ca": options["ca_path"],
    }
