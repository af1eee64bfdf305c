# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue and green: which colour serves, and the plan by which the other one takes over.  Pure.

A colour is some members of the pool: those of a group of hosts, or one of two instances on each host.  Nobody has to remember
which one is live: it is the one that has the traffic.  Only an unfinished rollout knows better, because it may have been cut
off in the middle of its switch.
"""

from __future__ import annotations

from typing import Any

from . import guard
from .balancer_plan import balancer_problems, plan_lines
from .batches import grouped, of_whole_groups
from .members import DISABLED, ENABLED, Member, kept_state
from .needs import Asks, unmet
from .places import places, under_present_names
from .sentences import listed

# From the first one on the members of the idle colour are not what they were: the balancers check them.
FINISH = "finish"  # what becomes of sessions on the old colour; the other word is `switch`


def find(
    targets: list[dict[str, Any]], balancers: list[dict[str, Any]], known: dict[str, Any], asked: str = ""
) -> dict[str, Any]:
    """Which colour is live and which one idle.

    :param targets: hosts of the rollout: ``host`` and ``members`` (by colour, what the pool calls its instance).
    :param balancers: what `pool_info` returned.
    :param known: ``colors`` of an unfinished rollout's `before`, else empty.
    :param asked: the colour that the user says is live; where that cannot be told.
    :return: ``live``, ``idle``, ``hosts`` and ``members`` (by colour; members by host), ``problems``.
    """
    members: dict[str, dict[str, str]] = {}
    for target in targets:
        for color, member in target["members"].items():
            members.setdefault(color, {})[target["host"]] = member
    found: dict[str, Any] = {
        "members": members,
        "hosts": {color: list(of) for color, of in members.items()},
        "live": "",
        "idle": "",
        "problems": [],
    }
    missing = [target["host"] for target in targets if not target["members"]]
    if missing or len(members) != 2:
        found["problems"] = [_not_two(missing, list(members))]
        return found
    live, problem = _live(members, balancers, known, asked)
    if problem:
        found["problems"] = [problem]
        return found
    return {**found, "live": live, "idle": next(color for color in members if color != live)}


def _not_two(missing: list[str], colors: list[str]) -> str:
    if missing:
        return (
            f"Nothing tells which colour {listed(missing)} {'has' if len(missing) == 1 else 'have'}. Set blue_green_color where a colour "
            "is a group of hosts, or blue_green_members where each host has an instance of both."
        )
    said = listed(colors) or "none"
    return f"Blue-green takes two colours, and the hosts have {len(colors)}: {said}. Does rollout_hosts reach both of them?"


def _live(
    members: dict[str, dict[str, str]], balancers: list[dict[str, Any]], known: dict[str, Any], asked: str
) -> tuple[str, str]:
    if known.get("live") in members:
        return known["live"], ""
    if asked:
        if asked not in members:
            return "", f"blue_green_live is {asked!r}; the colours are {' and '.join(members)}."
        return asked, ""
    serving = [color for color, of in members.items() if _serves({*of.values()}, balancers)]
    if len(serving) == 1:
        return serving[0], ""
    found = "both colours have" if serving else "neither colour has"
    return "", (
        f"It cannot be told which colour is live: {found} members in traffic ({', '.join(members)}). Take one of them out of traffic "
        "(module pool_member), or say which one is live with blue_green_live."
    )


def _serves(names: set[str], balancers: list[dict[str, Any]]) -> bool:
    return any(
        member["name"] in names and member["state"] == ENABLED and member["weight"] != 0
        for balancer in balancers
        for member in balancer["members"]
    )


def plan(
    colors: dict[str, Any],
    balancers: list[dict[str, Any]],
    health: dict[str, list[dict[str, Any]]],
    known_before: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    """The plan of a blue-green rollout, with the keys of :func:`.plan.rollout_plan` and those of its own.

    :param colors: what :func:`find` returned.
    :param health: what `health_check` returned for each colour's hosts.
    :param known_before: `before` of an unfinished rollout, else empty.
    :param options: ``version``, ``unfinished`` (whether such a rollout is gone on with), ``min_available``, ``health``,
        ``drain_wait``, ``on_drain_timeout``, ``accept_errors``, ``sessions`` (switch or finish).
    :return: also ``live``, ``idle``, ``there`` (hosts whose idle instance runs the version, in an unfinished rollout) and
        ``split`` (for `traffic_split`: members of both by name), and ``turned`` (whether the idle one has traffic already).
    """
    known_before = under_present_names(known_before, balancers)
    live, idle, problems = colors["live"], colors["idle"], list(colors["problems"])
    hosts = list(colors["hosts"].get(idle, []))
    versions = {color: {one["name"]: one.get("version") for one in of} for color, of in health.items()}
    known_versions = (known_before.get("colors") or {}).get("versions") or {}
    states = {
        balancer["name"]: {m["name"]: kept_state(m) for m in balancer["members"]}
        for balancer in balancers
    }
    for name, of in (known_before.get("balancers") or {}).items():
        states[name] = {**states.get(name, {}), **of}
    before = {
        "balancers": states,
        "places": places(balancers),
        "versions": {**versions.get(idle, {}), **known_versions.get(idle, {})},
        "members": dict(colors["members"].get(idle, {})),
        "colors": {
            "live": live,
            "members": colors["members"],
            "versions": {color: {**of, **known_versions.get(color, {})} for color, of in versions.items()},
        },
    }
    current = {one["name"] for one in health.get(idle, []) if one["healthy"] and one.get("version") == options["version"]}
    left_alone: list[str] = []
    if not problems and not options["unfinished"] and _all_on(health.get(live, []), options["version"]):
        left_alone, hosts = colors["hosts"][live], []
    if hosts and not problems:
        problems += _problems(colors, balancers, health, options)
    sizes = [len(hosts)] if hosts else []
    groups = grouped(hosts, sizes)
    return {
        "hosts": hosts,
        "batches": sizes,
        "groups": groups,
        "group_of": dict.fromkeys(hosts, 0),
        "left_alone": left_alone,
        "before": before,
        "canary": {},
        "live": live,
        "idle": idle,
        "turned": bool(options["unfinished"]) and _serves({*colors["members"].get(idle, {}).values()}, balancers),
        "there": of_whole_groups(groups, [host for host in hosts if options["unfinished"] and host in current]),
        "split": {color: list(of.values()) for color, of in colors["members"].items()},
        "problems": problems,
        "lines": plan_lines(options.get("name", "Rollout"), groups, balancers, options),
    }


def _all_on(health: list[dict[str, Any]], version: str) -> bool:
    return bool(health) and all(one["healthy"] and one.get("version") == version for one in health)


def _problems(
    colors: dict[str, Any], balancers: list[dict[str, Any]], health: dict[str, list[dict[str, Any]]], options: dict[str, Any]
) -> list[str]:
    problems = []
    live, idle = colors["live"], colors["idle"]
    wanted = [name for of in colors["members"].values() for name in of.values()]
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    if twice:
        problems.append(f"More than one instance is member {', '.join(twice)}: give each its own in blue_green_members.")
    for balancer in balancers:
        members = {member["name"]: member for member in balancer["members"]}
        where = f"Balancer {balancer['name']}, pool {balancer['pool']}"
        missing = [name for name in wanted if name not in members]
        if missing:
            problems.append(f"{where} has no member {', '.join(missing)}; its members are {', '.join(members) or 'none'}.")
            continue
        pool = [Member(**member) for member in balancer["members"]]
        tier = guard.carrying(pool)
        strangers = [m.name for m in pool if m.name not in wanted and m.state == ENABLED and m.weight != 0 and m.tier <= tier]
        if strangers:
            problems.append(
                f"{where} has members in traffic that belong to neither colour ({', '.join(strangers)}): they would go on serving the old "
                "release. Let rollout_hosts reach them, or take them out of traffic."
            )
        asks = Asks(
            state=DISABLED,
            returns=True,
            health=options["health"],
            drain_wait=float(options["drain_wait"]),
            on_drain_timeout=options["on_drain_timeout"],
            writes=True,
            accept_errors=bool(options.get("accept_errors")),
        )
        problems += unmet(where, balancer["provider"], balancer["capabilities"], asks, prefix="traffic_")
        if options["sessions"] == FINISH and not balancer["capabilities"]["sticky_drain"]:
            problems.append(
                f"{where}: provider {balancer['provider']} has no state in which bound clients alone are served, so their sessions cannot "
                "finish on the old colour. Use blue_green_sessions: switch."
            )
        floor = guard.minimum(options["min_available"], len(guard.of_tier(pool, tier)))
        ready = len(colors["members"][idle])
        if ready < min(floor, guard.available(pool)):
            problems.append(
                f"{where}: {idle} has {ready} members there, fewer than the {floor} that must be available (traffic_min_available: "
                f"{options['min_available']}). Lower the minimum, or add members to {idle}."
            )
    problems += balancer_problems(balancers, wanted, options)
    if not any(one["healthy"] for one in health.get(live, [])):
        problems.append(
            f"rollout_health finds no host of {live} healthy, which is the colour that is live: there would be no way back to it. Correct "
            "rollout_health, or mend the hosts."
        )
    return problems
