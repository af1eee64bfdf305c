# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a declaration: what a provider can do and what it must be told, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, Tuple


@dataclass(frozen=True)
class Capabilities:
    """What a balancer can do: what is asked of it is held against this before anything is touched.

    :param sticky_drain: it knows `drained`: no new clients, and those that are bound to the member are still served.
    :param in_flight: it tells when a member that leaves has nothing under way any more.
    :param weight_range: smallest and largest weight; None where members have no weights.
    :param health_readback: it tells whether its own check of a member passes.
    :param fresh_health: it can be made to forget what it knew of a member's health.
    :param cut: it can end a member's requests under way.
    :param survives_reload: states and weights outlive a reload or restart.
    :param membership: members can be added and removed.
    :param reloads: a write takes effect through a reload of its configuration.
    :param returns_by_check: its health check alone lets a member in again, so that one is enabled first and seen healthy then.
    :param clean_writes: no client notices a write.
    :param counters: it counts the requests of each member, and those that failed.
    :param served: it counts what users got of a pool, each request once.
    :param uncounted: failures that its counters leave out, in words.
    :param writes: this entry may write, not only read.
    :param finds_pools: it tells through which other pools requests reach the same servers.
    """

    sticky_drain: bool = False
    in_flight: bool = False
    weight_range: Tuple[int, int] | None = None
    health_readback: bool = False
    fresh_health: bool = False
    cut: bool = False
    survives_reload: bool = False
    membership: bool = False
    reloads: bool = False
    returns_by_check: bool = False
    clean_writes: bool = True
    counters: bool = False
    served: bool = False
    uncounted: str = ""
    writes: bool = True
    finds_pools: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For a task's result."""
        return {**asdict(self), "weight_range": list(self.weight_range) if self.weight_range else None}


@dataclass(frozen=True)
class Option:
    """One option of an entry of `balancers`.

    :param text: what it is, for `ansible-doc`; a sentence or several.
    :param type: as in an argument specification; the same for all providers that have an option of this name.
    :param default: what is meant when it is not given; None for nothing.
    :param required: whether the provider cannot do without.
    :param secret: kept out of logs.
    """

    text: str | Tuple[str, ...]
    type: str = "str"
    default: Any = None
    required: bool = False
    secret: bool = False
    elements: str | None = None
    choices: Tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The text, one sentence or paragraph each."""
        return [self.text] if isinstance(self.text, str) else list(self.text)


@dataclass(frozen=True)
class Provider:
    """The declaration of one kind of balancer.

    :param name: the word for it in `provider`.
    :param title: what its makers call it.
    :param driver: imports and returns the driver's class.  Only the one that is used is loaded, on hosts as well.
    :param options: by name, beside those that every provider has.
    :param one_of: groups of options of which exactly one is given.
    :param minimum: the oldest version that it works with, ``2.7``; empty where any does.
    :param counts_with: the option without which it counts nothing; empty where it needs none.
    :param verified: what it was tried against, in words.
    :param remarks: a capability's name to what a user should know of it, for the table in the README.
    """

    name: str
    title: str
    driver: Callable[[], Any]
    capabilities: Capabilities
    options: Dict[str, Option] = field(default_factory=dict)
    one_of: Tuple[Tuple[str, ...], ...] = ()
    minimum: str = ""
    counts_with: str = ""
    verified: str = ""
    remarks: Dict[str, str] = field(default_factory=dict)
