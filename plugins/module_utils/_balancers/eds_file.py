# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file from which Envoy learns a cluster's endpoints: a DiscoveryResponse of ClusterLoadAssignments, in JSON.
https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/endpoint/v3/endpoint.proto

A member that is disabled for good is not among the endpoints.  Its entry is kept, as it was written, in its locality's metadata, which
Envoy carries and does not read::

    "metadata": {"filter_metadata": {"zero_downtime.deploy": {"disabled": [{"at": 0, "lb_endpoint": {...}}]}}}

``at`` is its place in the order of all members.  An endpoint's own metadata keep the ``health_status`` from before, where there was one.
Names of fields may be written ``like_this`` or ``likeThis``, as in all JSON of Envoy.  Pure.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from .._domain.members import DISABLED, DRAINED, ENABLED, Change
from .json_text import Container, Scalar, parse, written

OURS = "zero_downtime.deploy"
KEPT = "disabled"
STATUSES = ("UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED")
STATES = {"UNHEALTHY": DISABLED, "TIMEOUT": DISABLED, "DRAINING": DRAINED}  # else enabled
STATUS = {DRAINED: "DRAINING", DISABLED: "UNHEALTHY"}


@dataclass(frozen=True)
class Entry:
    """One endpoint of the file.

    :param name: its `hostname`, when it has one that no other has, else its address.
    :param checked: unless it is exempt from the cluster's health checks.
    :param kept: whether Envoy is not told of it.
    :param tier: the priority of its locality.
    :param zone: the name of its locality; empty where it has none.
    :param weighed: whether its locality has a weight, which Envoy goes by only where localities are balanced by weight.
    :param at: its place in the order of its locality's members.
    :param locality: that it is written in; None, as `endpoint` is, for one that was not read from a file.
    """

    name: str
    address: str
    state: str
    weight: int
    checked: bool
    kept: bool
    tier: int
    zone: str
    weighed: bool
    at: int = 0
    locality: Container | None = None
    endpoint: Container | None = None


class EdsFile:
    """The content of one file, read and changed in place; what is not touched stays as it was written.

    :raises ValueError: saying why it is none.
    """

    def __init__(self, text: str) -> None:
        self.before, root, self.after = parse(text)
        self.root = _object(root, "the file")
        self.camel = '"lbEndpoints"' in text
        self.clusters = {}
        for number, resource in enumerate(_list(find(self.root, "resources"), "resources")):
            name = find(_object(resource, f"resources[{number}]"), "cluster_name")
            if name is not None:
                self.clusters[str(name.data)] = resource

    def __str__(self) -> str:
        return f"{self.before}{self.root}{self.after}"

    @property
    def version(self) -> str:
        """What Envoy shows of the file that it goes by."""
        version = find(self.root, "version_info")
        return "" if version is None or version.data is None else str(version.data)

    def renew(self) -> None:
        """Give it the next version."""
        head, number = re.match(r"(.*?)([0-9]{0,15})$", self.version, re.DOTALL).groups()  # type: ignore[union-attr]
        self._put(self.root, "version_info", f"{head}{int(number or 0) + 1:0{len(number)}}")

    def entries(self, cluster: str) -> list[Entry]:
        """All members, those that Envoy is not told of among them.

        :raises ValueError: when there is something in it that is no endpoint.
        """
        found = []
        for locality in self._localities(cluster):
            place_of = _place_of(locality)
            for at, (endpoint, kept) in enumerate(_in_order(locality)):
                found.append((locality, at, endpoint, kept, {**_read(endpoint), **place_of}))
        names = [facts["hostname"] for *_rest, facts in found]
        return [
            Entry(
                name=facts["hostname"]
                if names.count(facts["hostname"]) == 1 and facts["hostname"]
                else facts["address"],
                address=facts["address"],
                state=DISABLED if kept else STATES.get(facts["status"], ENABLED),
                weight=facts["weight"],
                checked=facts["checked"],
                kept=kept,
                tier=facts["tier"],
                zone=facts["zone"],
                weighed=facts["weighed"],
                at=at,
                locality=locality,
                endpoint=endpoint,
            )
            for locality, at, endpoint, kept, facts in found
        ]

    def change(self, cluster: str, changes: list[Change]) -> None:
        """Write states and weights; who is no longer to be disabled is told to Envoy again."""
        wanted = {change.name: change for change in changes}
        for entry in self.entries(cluster):
            change = wanted.get(entry.name)
            if change is None:
                continue
            if change.weight is not None and change.weight != entry.weight:
                self._put(entry.endpoint, "load_balancing_weight", change.weight)
            if change.state is not None and change.state != entry.state:
                self._set_state(entry, change.state)
                if entry.kept:
                    self._tell(entry)

    def keep(self, cluster: str, names: list[str]) -> None:
        """No longer tell Envoy of these, if they are disabled."""
        for entry in self.entries(cluster):
            if entry.name in names and entry.state == DISABLED and not entry.kept:
                elements = find(entry.locality, "lb_endpoints")
                elements.pop(_index(elements, entry.endpoint))
                self._kept(entry.locality).append(_wrapped(entry.at, entry.endpoint))

    def add(self, cluster: str, name: str, address: str, weight: int | None) -> None:
        """A new entry, at the end, of which Envoy is not told yet."""
        host, _colon, port = address.rpartition(":")
        endpoint: dict[str, Any] = {
            self._spelled("address"): {
                self._spelled("socket_address"): {"address": host.strip("[]"), self._spelled("port_value"): int(port)}
            }
        }
        if name != normal(address):
            endpoint["hostname"] = name
        entry = {"endpoint": endpoint, self._spelled("health_status"): STATUS[DISABLED]}
        if weight is not None:
            entry[self._spelled("load_balancing_weight")] = weight
        localities = self._localities(cluster)
        if not localities:
            self._put(self.clusters[cluster], "endpoints", [{self._spelled("lb_endpoints"): []}])
            localities = self._localities(cluster)
        self._kept(localities[-1]).append(_wrapped(len(_in_order(localities[-1])), written(entry)))

    def remove(self, cluster: str, names: list[str]) -> None:
        """Take entries away, wherever they are."""
        # From the end, so that nobody's place has changed by then.
        for entry in reversed(self.entries(cluster)):
            if entry.name not in names:
                continue
            if entry.kept:
                self._let_go(entry)
            else:
                elements = find(entry.locality, "lb_endpoints")
                elements.pop(_index(elements, entry.endpoint))
            for element in find_path(entry.locality, "metadata", "filter_metadata", OURS, KEPT) or ():
                at = element.get("at").data
                if at > entry.at:
                    element.put("at", written(at - 1))

    def _localities(self, cluster: str) -> list[Container]:
        listed = _list(find(self.clusters[cluster], "endpoints"), "endpoints")
        return [_object(locality, f"endpoints[{number}]") for number, locality in enumerate(listed)]

    def _set_state(self, entry: Entry, state: str) -> None:
        now = find(entry.endpoint, "health_status")
        if state == ENABLED:
            earlier = find_path(entry.endpoint, "metadata", "filter_metadata", OURS, "health_status")
            _prune(entry.endpoint, "metadata", "filter_metadata", OURS)
            if earlier is not None:
                self._put(entry.endpoint, "health_status", earlier.data)
            else:
                entry.endpoint.drop(self._name(entry.endpoint, "health_status"))
            return
        if entry.state == ENABLED and now is not None:
            ours = self._reach(entry.endpoint, "metadata", "filter_metadata", OURS)
            ours.put("health_status", written(now.data))
        self._put(entry.endpoint, "health_status", STATUS[state])

    def _tell(self, entry: Entry) -> None:
        before = sum(not kept for _endpoint, kept in _in_order(entry.locality)[: entry.at])
        self._let_go(entry)
        if find(entry.locality, "lb_endpoints") is None:
            self._put(entry.locality, "lb_endpoints", [])
        find(entry.locality, "lb_endpoints").insert(before, entry.endpoint)

    def _let_go(self, entry: Entry) -> None:
        kept = self._kept(entry.locality)
        kept.pop(next(index for index, element in enumerate(kept) if find(element, "lb_endpoint") is entry.endpoint))
        if not kept.items:
            _prune(entry.locality, "metadata", "filter_metadata", OURS)

    def _kept(self, locality: Container) -> Container:
        ours = self._reach(locality, "metadata", "filter_metadata", OURS)
        if ours.get(KEPT) is None:
            ours.put(KEPT, written([]))
        return ours.get(KEPT)

    def _reach(self, node: Container, *path: str) -> Container:
        for name in path:
            if find(node, name) is None:
                self._put(node, name, {})
            node = _object(find(node, name), name)
        return node

    def _put(self, node: Container, name: str, value: Any) -> None:
        node.put(self._name(node, name), written(value))

    def _name(self, node: Container, name: str) -> str:
        return next((known for known in (name, _camel(name)) if node.get(known) is not None), self._spelled(name))

    def _spelled(self, name: str) -> str:
        return _camel(name) if self.camel and name != OURS else name


def find(node: Container, name: str) -> Any:
    """A member of an object, however its name is spelled."""
    value = node.get(name)
    return node.get(_camel(name)) if value is None and name != OURS else value


def find_path(node: Any, *path: str) -> Any:
    """The same through several objects; None where one of them is not there."""
    for name in path:
        node = find(node, name) if isinstance(node, Container) and node.is_object else None
    return node


def pick(data: Any, name: str, default: Any = None) -> Any:
    """The same in what has been read already; null is as good as nothing."""
    if not isinstance(data, dict):
        raise ValueError(f"an object with {name} was expected, not {str(data)[:60]!r}")
    value = data.get(name, data.get(_camel(name)))
    return default if value is None else value


def find_key(data: Any, name: str) -> bool:
    """Whether there is such a member anywhere below, however it is spelled."""
    if isinstance(data, dict):
        return name in data or _camel(name) in data or any(find_key(value, name) for value in data.values())
    return isinstance(data, list) and any(find_key(value, name) for value in data)


def seconds(told: Any) -> float:
    """A duration, ``1.5s``.

    :raises ValueError: when it is none.
    """
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s", str(told))
    if not found:
        raise ValueError(f"{str(told)[:60]!r} is no duration")
    return float(found.group(1))


def status(value: Any) -> str:
    """A health status by its name, which may be given by number.

    :raises ValueError: when there is no such status.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(STATUSES):
        return STATUSES[value]
    if value not in STATUSES:
        raise ValueError(f"{str(value)[:60]!r} is no health status")
    return value


def zone(locality: Any) -> str:
    """A locality's name: its region, zone and sub-zone, as far as it has them."""
    parts = [str(pick(locality, part, "")) for part in ("region", "zone", "sub_zone")]
    return "/".join(part for part in parts if part)


def place(address: Any) -> str:
    """Where an endpoint listens: ``host:port``, or the path of a unix socket.

    :raises ValueError: when it is neither.
    """
    if pick(address, "pipe") is not None:
        return str(pick(pick(address, "pipe"), "path", ""))
    where = pick(address, "socket_address")
    if where is None:
        raise ValueError(f"{str(address)[:60]!r} is no address of a socket")
    return normal(f"{pick(where, 'address', '')}:{pick(where, 'port_value', 0)}")


def normal(address: str) -> str:
    """``host:port`` in the one way of writing it."""
    host, _colon, port = address.rpartition(":")
    try:
        known = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return address
    return f"[{known}]:{port}" if known.version == 6 else f"{known}:{port}"


def _read(endpoint: Container) -> dict[str, Any]:
    data = endpoint.data
    inner = pick(data, "endpoint", {})
    weight = pick(data, "load_balancing_weight", 1)
    if isinstance(weight, bool) or not re.fullmatch(r"[0-9]{1,10}", str(weight)):
        raise ValueError(f"{str(weight)[:60]!r} is no weight")
    return {
        "hostname": str(pick(inner, "hostname", "")),
        "address": place(pick(inner, "address", {})),
        "status": status(pick(data, "health_status", "UNKNOWN")),
        "weight": int(weight),
        "checked": not pick(pick(inner, "health_check_config", {}), "disable_active_health_check", False),
    }


def _place_of(locality: Container) -> dict[str, Any]:
    """What all endpoints of a locality share."""
    data = {}
    for name in ("locality", "priority", "load_balancing_weight"):
        found = find(locality, name)
        data[name] = None if found is None else found.data
    priority = pick(data, "priority", 0)
    if isinstance(priority, bool) or not re.fullmatch(r"[0-9]{1,10}", str(priority)):
        raise ValueError(f"{str(priority)[:60]!r} is no priority")
    weighed = str(pick(data, "load_balancing_weight", 0)) != "0"
    return {"tier": int(priority), "zone": zone(pick(data, "locality", {})), "weighed": weighed}


def _in_order(locality: Container) -> list[tuple[Container, bool]]:
    """Endpoints with whether they are kept from Envoy."""
    listed = find(locality, "lb_endpoints")
    members = [(_object(each, "an endpoint"), False) for each in _list(listed, "lb_endpoints")]
    kept = []
    for element in _list(find_path(locality, "metadata", "filter_metadata", OURS, KEPT), KEPT):
        wrapped = _object(element, KEPT)
        at = wrapped.get("at")
        if at is None or not re.fullmatch("[0-9]{1,9}", str(at)):
            raise ValueError(f"an entry of {KEPT} does not say where it belongs")
        kept.append((int(at.data), _object(find(wrapped, "lb_endpoint"), "lb_endpoint")))
    for at, endpoint in sorted(kept, key=lambda pair: pair[0]):
        members.insert(at, (endpoint, True))
    return members


def _index(elements: Container, wanted: Container) -> int:
    return next(index for index, element in enumerate(elements) if element is wanted)


def _wrapped(at: int, endpoint: Scalar | Container) -> Scalar | Container:
    wrapped = written({"at": at, "lb_endpoint": None})
    wrapped.put("lb_endpoint", endpoint)  # type: ignore[union-attr]
    return wrapped


def _prune(node: Container, *path: str) -> None:
    """Take away the last of the path, and what is empty without it."""
    inner = find(node, path[0])
    if not isinstance(inner, Container):
        return
    if len(path) > 1:
        _prune(inner, *path[1:])
    if len(path) == 1 or not inner.items:
        node.drop(path[0] if node.get(path[0]) is not None else _camel(path[0]))


def _object(node: Any, what: str) -> Container:
    if not isinstance(node, Container) or not node.is_object:
        raise ValueError(f"{what} is to be an object")
    return node


def _list(node: Any, what: str) -> Any:
    if node is None:
        return ()
    if not isinstance(node, Container) or node.is_object:
        raise ValueError(f"{what} is to be a list")
    return node


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)
