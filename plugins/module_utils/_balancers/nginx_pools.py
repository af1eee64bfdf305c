# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where else one NGINX sends requests to the servers of a pool: other upstreams, of `http` and of `stream`, and addresses without one.

An address is told by ``host:port``.  A name counts as each address that it resolves to; NGINX, too, resolves it when it is loaded, unless
its line says `resolve`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Callable, Dict, Iterable, List, Set, Tuple

from .._domain.pools import OtherPool
from .nginx_dump import Directive, Dump

HTTP_PORT = 80
PORTS = {"https": 443, "grpcs": 443}  # of schemes, where none is written
PASSES = ("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass")
CHOOSERS = ("map", "geo", "split_clients")  # blocks whose lines end in a value of a variable
URL = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<address>unix:[^:$]+|(?:\[[0-9A-Fa-f:.]+\]|[^\s/:?#$\[\]]+)(?::[0-9]+)?)(?:[/?:#]|\$(?:request_)?uri|$)"
)
LITERAL = re.compile(r"unix:/[\w./@%+-]+|(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]{1,5}")

Resolve = Callable[[str], List[str]]


@dataclass
class Target:
    """One upstream, or one directive that names an address.

    :param name: of the upstream, or the words of the directive.
    :param path: of the file where it begins.
    :param kind: `upstream`, `stream` for an upstream of that block, or `direct`.
    :param servers: each address with its port, and whether NGINX knows its name at loading.
    """

    name: str
    path: str
    kind: str
    servers: List[Tuple[str, bool]] = field(default_factory=list)


def with_port(address: str, port: int = HTTP_PORT) -> str:
    """A server's address as ``host:port``, or ``unix:/path``."""
    has_port = address.startswith("unix:") or re.search(r":[0-9]+$", address)
    return address if has_port else "%s:%d" % (address, port)


@lru_cache(maxsize=8192)
def canonical(address: str) -> str:
    """An address with its port in the one form in which equal ones are equal."""
    if address.startswith("unix:"):
        return address
    host, _colon, port = address.rpartition(":")
    try:
        return "%s:%d" % (ip_address(host.strip("[]")), int(port))
    except ValueError:
        return "%s:%s" % (host.lower().rstrip("."), port)


def is_ip(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def others(dump: Dump, own: tuple[str, str], servers: dict[str, tuple[str, bool]], resolve: Resolve) -> list[OtherPool]:
    """Every other way to the servers of a pool.

    :param own: path of the file that has the pool, as NGINX names it, and the pool's name.
    :param servers: by member: the address with its port, and whether NGINX knows its name at loading.
    :param resolve: a host's name to its addresses.
    """
    found = targets(dump)
    alike = _Alike(servers, [server for target in found for server in target.servers], resolve)
    pools: dict[str, OtherPool] = {}
    for target in found:
        if (target.path, target.name) == own and target.kind != "direct":
            continue
        _add(pools, own, target, alike.among(target.servers))
    for path in dump.unclear:
        words = [(word, False) for word in LITERAL.findall(dump.files[path])]
        _add(pools, own, Target(path, path, "unclear"), alike.among(words))
    return list(pools.values())


def _add(pools: dict[str, OtherPool], own: tuple[str, str], target: Target, members: list[str]) -> None:
    if not members:
        return
    # Two upstreams of one name are possible, one of `http` and one of `stream`.
    name = "stream upstream %s" % target.name if target.kind == "stream" and target.name == own[1] else target.name
    reason = {
        "upstream": "same address",
        "stream": "same address, in `stream`",
        "direct": "same address, without an upstream",
        "unclear": "it names the address, and cannot be understood otherwise",
    }[target.kind]
    if target.path not in (own[0], name):
        reason += ", in %s" % target.path
    before = pools[name].members if name in pools else ()
    pools[name] = OtherPool(name, tuple(dict.fromkeys((*before, *members))), reason)


def targets(dump: Dump) -> list[Target]:
    """Everything to which NGINX may send requests; of upstreams those to which a directive may refer."""
    upstreams: dict[tuple[str, str], Target] = {}
    direct: list[Target | None] = []
    words: list[str] = []
    guessed = False  # whether a variable says where requests go
    for directive in dump.directives():
        first, block = directive.words[0], directive.context[-1] if directive.context else ()
        if first == "upstream" and directive.opens and len(directive.words) == 2:
            kind = "stream" if directive.context[:1] == (("stream",),) else "upstream"
            upstreams.setdefault((kind, directive.words[1]), Target(directive.words[1], directive.path, kind))
        elif block[:1] == ("upstream",) and len(block) == 2:
            kind = "stream" if directive.context[:1] == (("stream",),) else "upstream"
            if first == "server" and len(directive.words) > 1:
                known = not any(word == "resolve" or word.startswith("service=") for word in directive.words[2:])
                upstreams[kind, block[1]].servers.append((with_port(directive.words[1]), known))
        else:
            words.extend(directive.words[1:])
            if first in PASSES and len(directive.words) > 1:
                guessed |= "$" in directive.words[1]
                direct.append(_direct(directive, directive.words[1], True))
            elif first == "set" or block[:1] and block[0] in CHOOSERS:
                direct.append(_direct(directive, directive.words[-1], False))
    known_as = {name for _kind, name in upstreams}
    everything = "\n".join(words)
    used = [target for target in upstreams.values() if guessed or target.name in everything]
    return used + [target for target in direct if target and target.servers[0][0].rpartition(":")[0] not in known_as]


def _direct(directive: Directive, value: str, passes: bool) -> Target | None:
    """An address that a directive names.

    :param passes: whether it sends requests there; in the value of a variable a word without a port is no address.
    """
    match = URL.match(value)
    if match is None:
        return None
    address = match.group("address")
    if not passes and with_port(address) != address:
        return None
    address = with_port(address, PORTS.get(match.group("scheme") or "", HTTP_PORT))
    return Target(" ".join(directive.words), directive.path, "direct", [(address, passes)])


class _Alike:
    """Tells which members have one of some addresses."""

    def __init__(
        self, members: Dict[str, Tuple[str, bool]], everywhere: Iterable[Tuple[str, bool]], resolve: Resolve
    ) -> None:
        self._resolve = resolve
        ours = {canonical(address) for address, _known in members.values()}
        # A name is looked up only where one of the other side has the same port and is not written alike.
        self._ports = {address.rpartition(":")[2] for address in ours}
        theirs = {canonical(address) for address, _known in everywhere} - ours
        ports = {address.rpartition(":")[2] for address in theirs}
        self._members: dict[str, list[str]] = {}
        for name, (address, known) in members.items():
            for key in self._keys(address, known, ports):
                self._members.setdefault(key, []).append(name)

    def among(self, servers: Iterable[Tuple[str, bool]]) -> list[str]:
        """The members, in the order of `servers`, each once."""
        keys = (key for address, known in servers for key in self._keys(address, known, self._ports))
        return list(dict.fromkeys(name for key in keys for name in self._members.get(key, ())))

    def _keys(self, address: str, known: bool, ports: Set[str]) -> list[str]:
        plain = canonical(address)
        host, _colon, port = plain.rpartition(":")
        if not known or address.startswith("unix:") or port not in ports or is_ip(host):
            return [plain]
        return [plain, *(canonical("%s:%s" % (ip, port)) for ip in self._resolve(host))]
