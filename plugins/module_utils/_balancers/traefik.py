# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
r"""Traefik, through a file of its file provider, and its read-only API to see what became of it.

https://doc.traefik.io/traefik/reference/install-configuration/providers/others/file/
https://doc.traefik.io/traefik/reference/routing-configuration/http/load-balancing/service/

What is not obvious, measured on 3.7, and on 3.0, 3.2 and 3.4 where they differ:

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
* Traefik 3.0 and 3.1 label that metric with a hash of the URL instead of the service's name, so there it proves nothing.  Whether the
  metrics tell is seen by the members that are in traffic.
* Traefik says which configuration runs, not who is still in an old request: see `drain_wait`.
* Nothing is counted by server.  By service each try of a retry is a request, so that one which was saved is a failure there; by router
  (``addRoutersLabels``) each request is one, with the status that its client got.  An answer that breaks off is in neither, not even
  as a request.  A change of the configuration keeps what is counted of a router that stays.
* Services of other providers (Docker, Consul, Kubernetes) are in the API as well, as ``name@provider``.  They can be read and not written.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from typing import Any, Callable, ContextManager, Dict, List, Tuple
from urllib.parse import urlsplit

from .._clock import Clock, Deadline
from .._domain.counters import Served
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .._domain.pools import OtherPool, Timing
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .http_api import Answer, HttpApi
from .json_edits import dump, load
from .lock import only_writer
from .traefik_api import TraefikApi, clock_of
from .traefik_file import OURS, SERVICES, Pool, Server, Servers, expect, is_ours, out
from .traefik_metrics import checks, reloads, served, tells_checks, unchanged_since
from .traefik_services import FILE, Services, address, as_pool, below, check_timing, in_file, kind, others, qualified

POLL = 0.02  # seconds between two looks at what Traefik runs
HEALTH = {"UP": UP, "DOWN": DOWN}
# The strategies of which the weights are not the shares: by chance, and by the time that answers take.
UNWEIGHTED = ("p2c", "leasttime")
# The first version whose metrics name the service of a server.
NAMES_SERVICES = (3, 2)


class Traefik(Balancer):
    """See the module's own text."""

    provider = "traefik"

    def __init__(self, name: str, capabilities: Capabilities, options: Dict[str, Any]) -> None:
        self.file = _file(name, options["file"]) if options["file"] is not None else None
        self.timeout = options["timeout"]
        url, metrics = options["url"], options["metrics_url"]
        http = HttpApi("Traefik's API", self.timeout, url, **_access(options, url, url))
        self.api = TraefikApi(name, http, options["username"] is not None)
        self.metrics = (
            HttpApi("Traefik's metrics", self.timeout, metrics, **_access(options, metrics, url)) if metrics else None
        )
        if not metrics:
            capabilities = replace(capabilities, fresh_health=False, served=False)
        if self.file is None:
            capabilities = replace(capabilities, writes=False, membership=False)
        super().__init__(name, self.file.path if self.file else http.endpoint, capabilities)
        self.instance = http.endpoint
        self._widest = capabilities

    def version(self) -> str:
        return self.api.version()

    def running(self) -> Tuple[str, float]:
        # What was written is lost when the file is replaced, whichever process reads it.
        process = self.api.running()
        if process is None:
            return super().running()
        return "%s %s" % (process[0], _stamp(self.file.path) if self.file else ""), process[1]

    def members(self, pool: str) -> List[Member]:
        name = self._of_file(pool)
        if name is None:
            return self._only_seen(pool)
        # Read anew at each look: somebody else may be writing.
        return self._running(lambda: self._read(name), Unreachable)

    def other_pools(self, pool: str) -> List[OtherPool]:
        name, services = self._of_file(pool), self.api.services()
        own = qualified(pool)
        servers = self._seen(own, services) if name is None else self._read(name).servers
        addresses = {address(server.url): server.name for server in servers}
        return others(own, addresses, services, self.api.services(kind="tcp"))

    def timing(self, pool: str) -> Timing:
        own = qualified(pool)
        return check_timing(self.api.services(own.rpartition("@")[0]).get(own))

    def served(self, pool: str) -> Served | None:
        if self.metrics is None:
            return super().served(pool)
        name = self._of_file(pool)
        if name is not None:
            self._read(name)  # which knows what to say of a pool that there is not
        return served(_page(self.metrics).text, qualified(pool))

    def apply(self, pool: str, changes: List[Change], distrust: bool = False) -> List[Member]:
        name = self._writable(pool)
        with self._only_writer():
            return self._apply(name, changes, distrust)

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
        self.check_written(pool, changes, members, "Is another program writing %s?" % self._path)
        return members

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        pool = self._writable(pool)
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
                expect(new.checked_name == address)
            except ValueError:
                raise InvalidInput(
                    "Balancer %s: %r is no host:port. Nothing was touched." % (self.name, address)
                ) from None
            self._write(now, now.with_servers([*now.servers, new if weight is None else new.weighing(weight)]))

    def remove(self, pool: str, names: List[str]) -> None:
        pool = self._writable(pool)
        with self._only_writer():
            now = self._read(pool)
            left = [server for server in now.servers if server.name not in names or server.state == ENABLED]
            members = self._write(now, now.with_servers(left))
        still = sorted({member.name for member in members}.intersection(names))
        if still:
            raise NotApplied(
                "Balancer %s: pool %s still has %s: a member that is in traffic is not removed."
                % (self.name, pool, ", ".join(still))
            )

    @property
    def _path(self) -> str:
        return self.file.path if self.file else "the file"

    def _only_writer(self) -> ContextManager[None]:
        """The file is written as a whole: another host of the same play, and another pool, must not write what they read before us."""
        return only_writer("file %s" % self._path, Clock())

    def _of_file(self, pool: str) -> str | None:
        """The pool's name in the file; None where it is to be read from the API alone."""
        own = qualified(pool)
        return own[: -len(FILE)] if self.file and own.endswith(FILE) else None

    def _writable(self, pool: str) -> str:
        """The pool's name in the file.

        :raises Refused: it is not in a file that may be written.
        """
        name = self._of_file(pool)
        if name is not None:
            return name
        why = (
            "`file` is not given"
            if self.file is None
            else "service %s comes from another provider than the file provider" % qualified(pool)
        )
        raise Refused(
            "Balancer %s: %s, so Traefik is only read: its API changes nothing. Nothing was touched. Let the members leave by their "
            "health check, with provider health_endpoint and this entry in its `seen_by`, or give the service to the file provider, in "
            "a `file` of its own." % (self.name, why)
        )

    def _only_seen(self, pool: str) -> List[Member]:
        """The members as the API alone shows them."""
        own = qualified(pool)
        shown = self.api.services(own.rpartition("@")[0])
        if own not in shown or kind(shown[own]):
            shown = self.api.services()  # to tell what there is instead
        servers = self._seen(own, shown)
        settings = shown[own]["loadBalancer"]
        self._narrow(settings)
        return self._members(own, servers, settings, shown)

    def _seen(self, own: str, shown: Services) -> List[Server]:
        """The servers of a service, and those that are kept beside it, as the API shows them."""
        if own not in shown or OURS in own:
            known = [as_pool(name) for name, about in shown.items() if "loadBalancer" in about and OURS not in name]
            raise self._unknown(own if self.file else as_pool(own), known, "Traefik runs")
        self._check_has_servers(own, shown)
        pool, provider = own.rpartition("@")[::2]
        servers, names = [], set()
        try:
            for name, about in shown.items():
                service = name.rpartition("@")[0]
                if name != own and not (name == qualified(service, provider) and is_ours(pool, service)):
                    continue
                # Of a service whose servers are found at run time none may be there at the moment.
                for told in about["loadBalancer"].get("servers") or []:
                    state = DRAINED if told.get("fenced") else ENABLED
                    if name != own:
                        state = DISABLED if service == out(pool) else DRAINED
                    text = dump({"url": str(told["url"]), "weight": int(told.get("weight", 1))})
                    servers.append(Server(text, service, state))
                    names.add(servers[-1].checked_name)
            expect(len(names) == len(servers))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._no_servers(as_pool(own), "that Traefik runs") from None
        return servers

    def _read(self, pool: str) -> Pool:
        if self.file is None:
            raise self._cannot("be written to without a `file`")
        text = self.file.read()
        try:
            services = load(text)["http"]["services"]
            described = None if OURS in pool else services[pool]
        except ValueError as error:
            raise self._no_json(error) from None
        except (KeyError, TypeError):
            described = None
        if described is None:
            raise self._unknown(pool, _known(text), "%s has" % self._path)
        self._check_has_servers(qualified(pool), in_file(services))
        try:
            found = Pool.read(pool, text)
            self._narrow(found.settings)
            return found
        except (KeyError, TypeError, ValueError):
            raise self._no_servers(pool, "in %s" % self._path) from None

    def _check_has_servers(self, own: str, services: Services) -> None:
        """:raises InvalidInput: the service leads to others, and has no servers itself."""
        what = kind(services.get(own))
        if not what:
            return
        leaves = [
            "%s%s"
            % (as_pool(name), " (gets requests only while another one has no server that is up)" if waits else "")
            for name, waits in below(services, own).items()
        ]
        raise InvalidInput(
            "Balancer %s: service %s is of kind `%s`: it has no servers of its own, and leads to other services. Members leave and "
            "return in those that have servers, so name these as pools: %s. Nothing was touched."
            % (self.name, as_pool(own), what, ", ".join(leaves) or "it leads to none")
        )

    def _no_servers(self, pool: str, where: str) -> InvalidInput:
        return InvalidInput(
            "Balancer %s: service %r %s is not one that members can be taken out of: it has no `loadBalancer` with a list "
            "`servers` of which each has a `url` with a host and port of its own. Nothing was touched."
            % (self.name, pool, where)
        )

    def _narrow(self, settings: Dict[str, Any]) -> None:
        """Leave of the capabilities those that the pool's settings allow."""
        self.capabilities = self._widest
        if settings.get("strategy") in UNWEIGHTED:
            self.capabilities = replace(self._widest, weight_range=None)

    def _write(self, now: Pool, wanted: Pool) -> List[Member]:
        if self.file is None:
            raise self._cannot("be written to without a `file`")
        if wanted.text == now.text:
            return self._running(lambda: wanted, NotApplied)
        stay = {server.name for server in wanted.servers if server.state == ENABLED}
        leave = any(server.state == ENABLED and server.name not in stay for server in now.servers)
        proving = self.metrics if leave and now.settings.get("healthCheck") else None
        reloaded = reloads(_page(proving).text) if proving else None
        with self.file.replaced(now.text, wanted.text):
            members = self._running(lambda: wanted, NotApplied, now)
            if proving and reloaded is not None and self.capabilities.fresh_health:
                self._check_metrics_follow(proving, reloaded)
            return members

    def _check_metrics_follow(self, metrics: HttpApi, before: float) -> None:
        """See the change in the metrics as well: from those of another Traefik no member that leaves could return by its check.

        :raises NotApplied: they go on as if nothing had been changed.
        """
        clock = Clock()
        deadline = Deadline(clock, self.timeout)
        while reloads(_page(metrics).text) == before:
            if deadline.passed:
                raise NotApplied(
                    "Balancer %s: Traefik at %s runs what was written, and after %g s the metrics at %s still show no new configuration "
                    "(traefik_config_reloads_total is %g). Are they those of another Traefik? Give the one of this Traefik as "
                    "`metrics_url`: by it members return."
                    % (self.name, self.api.http.endpoint, self.timeout, metrics.endpoint, before)
                )
            clock.sleep(POLL)

    def _running(self, read: Callable[[], Pool], failure: type, before: Pool | None = None) -> List[Member]:
        """The members, once Traefik runs what the file says.

        :param read: what it says.
        :param failure: raised when it does not within `timeout`.
        :param before: what it said until just now.
        """
        clock = Clock()
        deadline = Deadline(clock, self.timeout)
        while True:
            pool = read()
            shown = self.api.services(pool.name)
            wanted = pool.services
            off = [name for name in wanted if _as_run(shown.get(qualified(name))) != wanted[name]]
            if not off:
                return self._members(qualified(pool.name), pool.servers, pool.settings, shown)
            if deadline.passed:
                raise self._not_run(pool, shown.get(qualified(pool.name)), failure, before)
            clock.sleep(POLL)

    def _not_run(self, pool: Pool, shown: Dict[str, Any] | None, failure: type, before: Pool | None) -> DeployError:
        look = "Look at its log, and whether the file is the one that its file provider watches."
        if shown is None:
            said = "it does not have the service"
        elif shown.get("error"):
            said = "it says %s" % shown["error"]
        elif before is not None and _as_run(shown) == before.services[pool.name]:
            said = "it goes on with what it ran before"
            look = (
                "Look at its log: it may have rejected the file. If that is silent, it has not read the file: is the file one that its "
                "file provider watches (`directory` or `filename`), and `watch` not false? Is the file alone mounted into its container, "
                "where a file that is replaced is not seen? Mount the directory. Does another file there have a service of that name? "
                "Is `timeout` longer than providersThrottleDuration (2 s by default)?"
            )
        else:
            said = "it runs other servers: of another file that has a service of that name, or of this one as it was when last read"
        error: DeployError = failure(
            "Balancer %s: after %g s Traefik at %s does not run what %s says of service %s (%s). %s"
            % (self.name, self.timeout, self.api.http.endpoint, self._path, pool.name, said, look)
        )
        return error

    def _members(self, own: str, servers: List[Server], settings: Dict[str, Any], shown: Services) -> List[Member]:
        checked, passive = bool(settings.get("healthCheck")), bool(settings.get("passiveHealthCheck"))
        page = _page(self.metrics) if self.metrics and (checked or passive) else None
        up_by_check = checks(page.text) if page else {}
        if page and checked and not self._proves_checks(page, own, servers, check_timing(shown.get(own))):
            self.capabilities = replace(self.capabilities, fresh_health=False)
        members = []
        for server in servers:
            service = qualified(server.service, own.rpartition("@")[2])
            statuses = (shown.get(service) or {}).get("serverStatus")
            status = str(statuses.get(server.url, "")) if isinstance(statuses, dict) else ""
            up = up_by_check.get((service, server.url))
            known = checked and server.state != DISABLED
            health, said = _health(server.state, status, up) if known else (UNKNOWN, "")
            failed = passive and not checked and server.state == ENABLED and up is False
            if failed:  # its answers, not a check, have put it out for a while
                health, said = DOWN, "server_up 0 by its answers"
            members.append(
                Member(server.name, server.name, server.state, server.weight, health, None, checked or failed, said)
            )
        return members

    def _proves_checks(self, page: Answer, own: str, servers: List[Server], timing: Timing) -> bool:
        """Whether the metrics tell when a check has passed: seen by the servers that are in traffic and checked now."""
        urls = [server.url for server in servers if server.state == ENABLED]
        tells = tells_checks(page.text, own, urls)
        if tells is not None:
            return tells
        # None of them has been checked since Traefik began with this configuration, or these metrics never tell, or none is in traffic.
        version = self.api.version().split(".")
        if all(part.isdecimal() for part in version[:2]) and tuple(map(int, version[:2])) < NAMES_SERVICES:
            return False
        if not urls:
            return True
        since = unchanged_since(page.text)
        # Servers are checked one after the other.
        longest = timing.check and timing.check * (1 + len(urls))
        return since is None or longest is None or clock_of(page) - since < longest

    def _no_json(self, error: ValueError) -> InvalidInput:
        return InvalidInput(
            "Balancer %s: %s is not JSON (%s). A host without more than Python cannot write YAML and keep its comments, so give the "
            "pool's service a file of its own in the watched folder, in JSON, and named .yml: Traefik reads that, and routers in other "
            "files may name it. Nothing was touched." % (self.name, self._path, error)
        )

    def _unknown(self, pool: str, known: List[str], who: str) -> InvalidInput:
        return InvalidInput(
            "Balancer %s has no pool %r. The services that %s are: %s. Nothing was touched."
            % (self.name, pool, who, ", ".join(sorted(known)) or "none")
        )


def _known(text: str) -> List[str]:
    """The services of a file that is JSON."""
    found = load(text)
    for key in SERVICES:
        found = found.get(key) if isinstance(found, dict) else None
    return [name for name in found or () if OURS not in name] if isinstance(found, dict) else []


def _page(metrics: HttpApi) -> Answer:
    """All metrics, in Prometheus's format."""
    answer = metrics.ask("GET", "")
    if answer.status != 200 or "# TYPE" not in answer.text:
        raise metrics.stranger("GET", "%d %s" % (answer.status, answer.text.strip()[:100]))
    return answer


def _health(state: str, status: str, up: bool | None) -> Tuple[str, str]:
    """A server's health, and in whose words."""
    if up is not None:
        return (UP if up else DOWN), "server_up %d" % up
    if state == DRAINED:
        return DOWN, ""  # until a check has passed
    return HEALTH.get(status, UNKNOWN), "serverStatus %s" % status if status else ""


def _as_run(service: Dict[str, Any] | None) -> Servers:
    """The servers of a service that the API shows; a service that is not there has none."""
    try:
        return [(server["url"], server.get("weight", 1)) for server in (service or {})["loadBalancer"]["servers"]]
    except (KeyError, TypeError, AttributeError):
        return []


def _file(name: str, option: str) -> ConfigFile:
    path = absolute("file", option)
    if not path.endswith((".yml", ".yaml")):
        raise InvalidInput(
            "Balancer %s: `file` is %s, and Traefik reads files named .yml, .yaml or .toml alone. Give it JSON in a file named "
            ".yml, because JSON is YAML. Nothing was touched." % (name, path)
        )
    return ConfigFile(path, _aside(path))


def _stamp(path: str) -> str:
    """What is another one after the file was written or replaced."""
    try:
        about = os.stat(path)
    except OSError:
        return "none"
    return "%d %d %d" % (about.st_ino, about.st_mtime_ns, about.st_size)


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
