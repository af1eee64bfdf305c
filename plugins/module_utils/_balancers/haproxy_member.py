# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One row of ``show servers state`` and one of ``show stat`` as a member.  Pure.

https://docs.haproxy.org/2.8/management.html#9.1 and #9.3 (``show servers state``); measured on 2.6, 2.8 and 3.0.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple

from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, STARTING, UNKNOWN, UP, Member

# srv_admin_state. Forced is what was written to the server itself: by a command, by its agent, or by `disabled` in the configuration
# (bit 0x04 only remembers the latter). The rest is inherited: from a tracked server, from the resolution of its name.
FORCED_MAINTENANCE, INHERITED_MAINTENANCE, NO_ADDRESS, OTHER_HOST = 0x01, 0x02, 0x20, 0x40
FORCED_DRAIN, INHERITED_DRAIN = 0x08, 0x10
MAINTENANCE = FORCED_MAINTENANCE | INHERITED_MAINTENANCE | NO_ADDRESS | OTHER_HOST
DRAIN = FORCED_DRAIN | INHERITED_DRAIN

# srv_check_state and srv_agent_state: configured, and not switched off by `disable health` or `disable agent`.
CONFIGURED, SWITCHED_ON = 0x02, 0x04
CHECKED = CONFIGURED | SWITCHED_ON

HEALTH = {"0": DOWN, "1": STARTING, "2": UP, "3": DOWN}  # srv_op_state; 3 is a check's 404: no new work

# The columns of `show stat` that are read.
STAT_COLUMNS = frozenset(
    "pxname svname type status tracked scur qcur stot act bck algo addr check_status check_code last_chk check_desc "
    "check_rise check_health agent_rise agent_health last_agt".split()
)
COUNTED = frozenset(["scur", "qcur", "stot"])  # of these, those that requests change
STEADY_COLUMNS = tuple(sorted(STAT_COLUMNS - COUNTED))
# The columns of `show servers state` that a member is made of.
STATE_COLUMNS = tuple(
    "srv_name srv_addr srv_port srv_fqdn srv_admin_state srv_op_state srv_uweight srv_check_state srv_agent_state".split()
)
AGENT = "agent"


def as_member(
    state: Mapping[str, str], stat: Mapping[str, str], tier: int = 0, unix: str = "", weight_by: str = "", slot: bool = False
) -> Member:
    """The member that two rows are about.

    :param unix: the address of a server at a unix socket, where it is known.
    :param weight_by: who changes its weight, beside us.
    :param slot: whether it is a slot of a `server-template`.
    :raises KeyError: for a column that is missing.
    :raises ValueError: for a number that is none.
    """
    admin = int(state["srv_admin_state"])
    effective, own = effective_state(admin), own_state(admin)
    checked = stat["status"] != "no check" and (
        bool(stat["tracked"]) or int(state["srv_check_state"]) & CHECKED == CHECKED
    )
    health = UNKNOWN if effective == DISABLED or not checked else HEALTH.get(state["srv_op_state"], UNKNOWN)
    return Member(
        name=state["srv_name"],
        address=_address(state, stat, unix),
        state=effective,
        own_state="" if own == effective else own,
        weight=int(state["srv_uweight"]),
        weight_by=weight_by,
        health=health,
        in_flight=_in_flight(stat),
        checked=checked,
        last_check="; ".join(filter(None, (_inherited(admin, state, stat), _agent(state, stat), _check(stat)))),
        check_progress=_progress(stat) if health == DOWN else None,
        tier=tier,
        requests=_requests(stat),
        slot=state.get("srv_fqdn", "") if slot else "",
    )


class Members:
    """Rows as members.  What is as it was at the look before is not worked out anew: a pool may have a thousand servers."""

    def __init__(self) -> None:
        self._known: Dict[Tuple[Any, ...], Member] = {}

    def of(
        self,
        states: Iterable[Mapping[str, str]],
        stats: Mapping[str, Mapping[str, str]],
        tier: Mapping[str, int],
        unix: Mapping[str, str],
        weight_by: Mapping[str, str],
    ) -> List[Member]:
        """The members of a pool, in the order of `states`; the rest is by server.

        :raises KeyError: for a column that is missing.
        :raises ValueError: for a number that is none.
        """
        states = list(states)
        templates = shared_names(states)
        before, self._known = self._known, {}
        found = []
        for state in states:
            name = state["srv_name"]
            stat, more = stats[name], (tier[name], unix.get(name, ""), weight_by.get(name, ""), state.get("srv_fqdn") in templates)
            key = (*map(state.get, STATE_COLUMNS), *map(stat.get, STEADY_COLUMNS), *more)
            member = before.get(key) or as_member(state, stat, *more)
            in_flight, requests = _in_flight(stat), _requests(stat)
            if member.in_flight != in_flight or member.requests != requests:
                member = replace(member, in_flight=in_flight, requests=requests)
            self._known[key] = member
            found.append(member)
        return found


def shared_names(states: Iterable[Mapping[str, str]]) -> Set[str]:
    """The host names that several servers of a backend have: those of a `server-template`, each of which gets any of the addresses."""
    seen = Counter(row.get("srv_fqdn", "-") for row in states)
    return {name for name, count in seen.items() if count > 1 and name != "-"}


def own_state(admin: int) -> str:
    """The state that was written to the server itself."""
    return DISABLED if admin & FORCED_MAINTENANCE else DRAINED if admin & FORCED_DRAIN else ENABLED


def effective_state(admin: int) -> str:
    """Return the effective state, forced or inherited."""
    return DISABLED if admin & MAINTENANCE else DRAINED if admin & DRAIN else ENABLED


def agent_is(state: str) -> Tuple[bool, bool]:
    """Whether a server has an agent, and whether the agent is switched on.

    :param state: its ``srv_agent_state``.
    """
    agent = int(state)
    return bool(agent & CONFIGURED), agent & CHECKED == CHECKED


def tiers(stats: Iterable[Mapping[str, str]], all_backups: bool) -> dict[str, int]:
    """The tier of each server: active ones first, then the backups, one after the other or all at once.

    :param stats: in HAProxy's order; without `option allbackups` the first backup that is there carries all of the traffic.
    """
    found, last = {}, 0
    for row in stats:
        backup = row.get("bck") == "1"
        if backup:
            last = 1 if all_backups else last + 1
        found[row["svname"]] = last if backup else 0
    return found


def _in_flight(stat: Mapping[str, str]) -> int | None:
    return int(stat["scur"]) + int(stat["qcur"] or 0) if stat["scur"] else None


def _requests(stat: Mapping[str, str]) -> int | None:
    return int(stat["stot"]) if stat.get("stot") else None


def _address(state: Mapping[str, str], stat: Mapping[str, str], unix: str) -> str:
    host, port = state["srv_addr"], state["srv_port"]
    if stat.get("addr") == "unix":
        return f"unix:{unix}"
    if host == "-":  # it has none, as a slot of a `server-template` whose name is not resolved
        return "-"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _inherited(admin: int, state: Mapping[str, str], stat: Mapping[str, str]) -> str:
    """The reason why it is further out than was written to it."""
    if effective_state(admin) == own_state(admin):
        return ""
    if admin & INHERITED_MAINTENANCE:
        return f"in maintenance with {stat['tracked']}, which it tracks"
    if admin & NO_ADDRESS:
        return f"in maintenance, because its name {state.get('srv_fqdn', '')} has no address"
    if admin & OTHER_HOST:
        return "in maintenance, because its host name was changed"
    return f"drained with {stat['tracked']}, which it tracks"


def _agent(state: Mapping[str, str], stat: Mapping[str, str]) -> str:
    """What its agent says, where that is what keeps it down."""
    health, rise = stat.get("agent_health", ""), stat.get("agent_rise", "")
    if not agent_is(state.get("srv_agent_state") or "0")[1] or not (health.isdigit() and rise.isdigit()) or int(health) >= int(rise):
        return ""
    said = (stat.get("last_agt") or "").partition("via agent : ")
    return f"its agent says {said[2] or said[0] or 'down'}"


def _check(stat: Mapping[str, str]) -> str:
    said = stat.get("last_chk") or stat.get("check_desc")
    return " ".join(filter(None, (stat["check_status"].lstrip("* "), stat["check_code"], said)))


def _progress(stat: Mapping[str, str]) -> Tuple[int, int] | None:
    """Checks that have passed and those that it takes, of one that is down."""
    health, rise = stat.get("check_health", ""), stat.get("check_rise", "")
    if not (health.isdigit() and rise.isdigit()) or int(health) >= int(rise):
        return None
    return int(health), int(rise)
