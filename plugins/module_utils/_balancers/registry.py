# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancers that a task names: from what a user writes to drivers."""

from __future__ import annotations

from typing import Any

from .._domain.errors import InvalidInput
from .base import Balancer
from .haproxy import HAProxy

# Named one by one, and imported above, because a module is packed for its host from its import statements.
PROVIDERS: dict[str, type[Balancer]] = {driver.provider: driver for driver in (HAProxy,)}

BALANCER_OPTIONS: dict[str, Any] = {
    "name": {"type": "str"},
    "host": {"type": "str"},
    "provider": {"type": "str", "required": True, "choices": sorted(PROVIDERS)},
    "socket": {"type": "path"},
    "address": {"type": "str"},
    "timeout": {"type": "float", "default": 5.0},
}
"""One entry of the option `balancers`, as argument specification."""


def balancer_name(entry: dict[str, Any]) -> str:
    """What a balancer is called in results, messages and the journal."""
    return str(entry.get("name") or entry.get("host") or entry.get("address") or entry.get("socket") or "balancer")


def balancer_names(entries: list[dict[str, Any]]) -> list[str]:
    """The names of all balancers of a task.

    :raises InvalidInput: when two share a name: their weights and states could not be told apart.
    """
    if not entries:
        raise InvalidInput("`balancers` is empty: name at least one. Nothing was touched.")
    names = [balancer_name(entry) for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"Several balancers are called {', '.join(twice)}: give each a `name` of its own. Nothing was touched.")
    return names


def open_balancer(entry: dict[str, Any]) -> Balancer:
    """The driver for one entry of `balancers`."""
    return PROVIDERS[entry["provider"]](balancer_name(entry), entry)
