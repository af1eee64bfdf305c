# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Envoys, of every version that this machine has."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.envoy import Envoy
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    Maker,
    Rig,
    Server,
    Settings,
)
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

EXTENSIONS = "type.googleapis.com/envoy.extensions"
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    can = PROVIDERS["envoy"].capabilities
    return {
        f"envoy-{label}": Maker(partial(EnvoyRig, path, label), can, standby=True)
        for label, path in found("envoy").items()
    }


class EnvoyRig(Rig):
    """Envoy with one cluster, whose endpoints are in a file, and its admin interface on a unix socket.

    :param cluster: fields of the cluster that are to be otherwise.
    :param more: clusters beside it.
    :param text: the file, instead of the usual one.
    :param tcp: whether the admin interface is on a TCP port instead.
    :param twin: whether there is a second cluster, `other`, that goes by the same file, on a port of its own.
    :param static: whether the second pool is one whose endpoints are in the configuration.
    :param hot: whether it can be restarted while it serves.
    :param dumps: whether its configuration may be read.
    """

    refusal = "cannot be replaced.*Use `become`"
    counts_cut = "none"

    def __init__(
        self,
        binary: str,
        version: str,
        directory: Path,
        settings: Settings,
        cluster: dict[str, Any] | None = None,
        more: list[dict[str, Any]] | None = None,
        text: str | None = None,
        tcp: bool = False,
        twin: bool = False,
        static: bool = False,
        hot: bool = False,
        dumps: bool = True,
    ) -> None:
        super().__init__(directory, settings)
        self.binary, self.version = binary, tuple(map(int, version.split(".")))
        self.cluster, self.tcp, self.twin = cluster or {}, tcp, twin
        self.more, self.static, self.hot, self.dumps = more or [], static, hot, dumps
        self.folder, self.socket = directory / "eds", directory / "admin.sock"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / f"{POOL}.json"
        self.file.write_text(self._usual() if text is None else text, encoding="utf-8")
        if settings.other and not static:
            other = self.response(OTHER_POOL, [{"lb_endpoints": self._endpoints(settings.other)}])
            (self.folder / f"{OTHER_POOL}.json").write_text(other, encoding="utf-8")
        self.port, self.admin_port, self.twin_port, self.other_port = free_ports(4)
        self.server = Server(directory / "envoy.log")
        self.former: list[Server] = []

    @property
    def api(self) -> HttpApi:
        """Its admin interface, behind the driver's back."""
        where = {"url": f"http://127.0.0.1:{self.admin_port}"} if self.tcp else {"socket_path": str(self.socket)}
        return HttpApi("Envoy's admin interface", 5, **where)

    def start(self) -> None:
        (self.directory / "envoy.json").write_text(json.dumps(self._configuration()), encoding="utf-8")
        self.server.start(self._command(0), self._answers)

    def _command(self, epoch: int) -> list[str]:
        command = [self.binary, "-c", str(self.directory / "envoy.json"), "--concurrency", "2"]
        if not self.hot:
            return [*command, "--disable-hot-restart"]
        # No two at a time may have the same base ID; a port is as good as any.
        return [*command, "--base-id", str(self.port), "--restart-epoch", str(epoch), "--parent-shutdown-time-s", "600"]

    def hot_restart(self) -> None:
        """Let another process take over; the one before serves the connections that it has."""
        self.former.append(self.server)
        epoch, self.server = len(self.former), Server(self.directory / f"envoy-{len(self.former)}.log")

        def answers() -> bool:
            try:
                return self.api.ask("GET", "/server_info").json()["command_line_options"]["restart_epoch"] == epoch
            except DeployError:  # for a moment none of the two does
                return False

        self.server.start(self._command(epoch), answers)

    def _answers(self) -> bool:
        try:
            return self.api.ask("GET", "/ready").text.strip() == "LIVE"
        except DeployError:
            return False

    def stop(self) -> None:
        for server in (self.server, *self.former):
            server.stop()
        self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        self.stop()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def entry(self, **more: Any) -> dict[str, Any]:
        where = {"url": f"http://127.0.0.1:{self.admin_port}"} if self.tcp else {"socket": str(self.socket)}
        file = self.folder / "{pool}.json" if self.settings.other and not self.static else self.file
        return {"provider": "envoy", "file": str(file), **where, **more}

    def seeing_entry(self, **more: Any) -> dict[str, Any]:
        """One that reads alone."""
        return {key: value for key, value in self.entry(**more).items() if key != "file"}

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        # Permissions keep nobody out who is root. The same file under a name so long that none beside it can be longer.
        other = self.folder / ("x" * 240 + ".json")
        other.unlink(missing_ok=True)
        os.link(self.file, other)
        return self.entry(file=str(other), **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return self.entry(file=str(self.folder / "nothing.json"), **more)

    @property
    def passes(self) -> int:
        return 1  # a host that Envoy knows nothing of is up by its first check

    def driver(self) -> Envoy:
        """The driver, as what it is."""
        return self.balancer()

    def check_passed(self, member: Member) -> bool:
        return member.last_check == "healthy"

    def check_failed(self, member: Member) -> bool:
        return "failed_active_health_check" in member.last_check and "pending_active_hc" not in member.last_check

    @staticmethod
    def endpoint(name: str, port: int, **more: Any) -> dict[str, Any]:
        """One entry of the file."""
        where = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        return {"endpoint": {"address": where, "hostname": name}, "load_balancing_weight": 100, **more}

    def write(self, text: str) -> None:
        """What another tool does: put another file in the place of this one."""
        temporary = self.directory / "written-by-another-tool"
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(self.file)

    def _endpoints(self, members: dict[str, int]) -> list[dict[str, Any]]:
        return [self.endpoint(name, port) for name, port in members.items()]

    @staticmethod
    def response(cluster: str, localities: list[dict[str, Any]]) -> str:
        """A file of one cluster."""
        assignment = {"@type": ASSIGNMENT, "cluster_name": cluster, "endpoints": localities}
        return json.dumps({"version_info": "1", "resources": [assignment]}, indent=2) + "\n"

    def _usual(self) -> str:
        first = {name: port for name, port in self.settings.members.items() if name not in self.settings.standby}
        localities: list[dict[str, Any]] = [{"lb_endpoints": self._endpoints(first)}]
        if self.settings.standby:
            later = {name: self.settings.members[name] for name in self.settings.standby}
            localities.append({"priority": 1, "lb_endpoints": self._endpoints(later)})
        return self.response(POOL, localities)

    def _configuration(self) -> dict[str, Any]:
        pipe = {"pipe": {"path": str(self.socket), "mode": 0o600}}
        allowed = [{"exact": "/ready"}, {"exact": "/server_info"}, {"prefix": "/clusters"}, {"prefix": "/stats"}]
        allowed.append({"exact": "/config_dump?mask=last_updated"})
        if self.dumps:
            allowed += [
                {"prefix": f"/config_dump?resource={each}_clusters&mask="} for each in ("static", "dynamic_active")
            ]
        listeners, clusters = [self._listener(POOL, self.port)], [self._cluster()]
        if self.twin:
            source = {**clusters[0]["eds_cluster_config"], "service_name": POOL}
            twin = {"name": "other", "alt_stat_name": "else:where", "eds_cluster_config": source}
            listeners.append(self._listener("other", self.twin_port))
            clusters.append({**clusters[0], **twin})
        if self.settings.other:
            listeners.append(self._listener(OTHER_POOL, self.other_port))
            clusters.append(self._other(clusters[0]))
        limits = {"allow_paths": allowed} if self.version >= (1, 37) else {}  # there is none before
        return {
            "node": {"id": "rig", "cluster": "rig"},
            "admin": {"address": self._listens(self.admin_port) if self.tcp else pipe, **limits},
            "static_resources": {"listeners": listeners, "clusters": [*clusters, *self.more]},
        }

    def _other(self, usual: dict[str, Any]) -> dict[str, Any]:
        if self.static:
            fixed = {"cluster_name": OTHER_POOL, "endpoints": [{"lb_endpoints": self._endpoints(self.settings.other)}]}
            return {"name": OTHER_POOL, "type": "STATIC", "connect_timeout": "1s", "load_assignment": fixed}
        return {**usual, "name": OTHER_POOL, "eds_cluster_config": self._source(self.folder / f"{OTHER_POOL}.json")}

    def _source(self, file: Path) -> dict[str, Any]:
        source = {"path": str(file), "watched_directory": {"path": str(self.folder)}}
        return {"eds_config": {"path_config_source": source, "resource_api_version": "V3"}}

    @staticmethod
    def _listens(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def _listener(self, cluster: str, port: int) -> dict[str, Any]:
        retries = {
            # Requests that never reached a process are tried elsewhere; a POST that did is not sent twice.
            "retry_on": "connect-failure,refused-stream,reset-before-request",
            "num_retries": 2,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"@type": f"{EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }
            ],
            "host_selection_retry_max_attempts": 3,
        }
        route = {"cluster": cluster, "timeout": "60s", **({"retry_policy": retries} if self.settings.forgiving else {})}
        cookie = {
            "@type": f"{EXTENSIONS}.http.stateful_session.cookie.v3.CookieBasedSessionState",
            "cookie": {"name": "lb", "path": "/", "ttl": "600s"},
        }
        filters = [
            {
                "name": "envoy.filters.http.stateful_session",
                "typed_config": {
                    "@type": f"{EXTENSIONS}.filters.http.stateful_session.v3.StatefulSession",
                    "session_state": {"name": "envoy.http.stateful_session.cookie", "typed_config": cookie},
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            },
        ]
        routes = [{"match": {"prefix": "/"}, "route": route}]
        manager = {
            "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "front",
            "route_config": {"virtual_hosts": [{"name": "front", "domains": ["*"], "routes": routes}]},
            "http_filters": filters,
        }
        return {
            "name": cluster,
            "address": self._listens(port),
            "filter_chains": [
                {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
            ],
        }

    def _cluster(self) -> dict[str, Any]:
        settings = self.settings
        check = {
            "timeout": "2s",
            "interval": f"{settings.interval:g}s",
            # Without it, a cluster that had no request yet is checked once a minute.
            "no_traffic_interval": f"{settings.interval:g}s",
            "unhealthy_threshold": settings.fall,
            "healthy_threshold": settings.rise,
            "http_health_check": {"path": "/health"},
        }
        cluster = {
            "name": POOL,
            "type": "EDS",
            "connect_timeout": "1s",
            "eds_cluster_config": self._source(self.file),
            "common_lb_config": {
                # Drained members keep the clients that are bound to them.
                "override_host_status": {"statuses": ["UNKNOWN", "HEALTHY", "DEGRADED", "DRAINING"]},
                # However few members are healthy: none that is drained, or fails its check, gets requests for that.
                "healthy_panic_threshold": {"value": 0},
            },
            # The default of 3 is used up by one member that dies under load.
            "circuit_breakers": {"thresholds": [{"max_retries": 200}]},
            **({"health_checks": [check]} if settings.checked else {}),
        }
        return {**cluster, **self.cluster}
