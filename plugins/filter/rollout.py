# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the rollout roles: from Ansible's variables to the pure functions of the domain, and back."""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import problems
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import plan, story
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import (
    check_health,
    keep_journal,
    read_pool,
    set_members,
)

# Not for the filters: Ansible's main process loads this file when it reads a play, and each task's worker, a fork of it, then
# finds imported what it would import anew. Measured: 12 to 27 ms of every task that talks to a balancer, a host or the journal.
IMPORTED_FOR_WORKERS = (check_health, keep_journal, read_pool, set_members)

VERSION_OPTIONS = ("version", "version_header", "version_pattern")


def rollout_balancer_problems(balancers: Any) -> list[str]:
    """What is wrong with the balancers of a service, before any of them is asked."""
    return problems(json.loads(json.dumps(balancers, default=str)))


def rollout_members(hosts: list[str], hostvars: Mapping[str, Any]) -> list[str]:
    """What the pool calls each host."""
    return [_member(hostvars[host], host) for host in hosts]


def rollout_checks(
    hosts: list[str], hostvars: Mapping[str, Any], version: Any = "", failed: bool = False
) -> list[dict[str, Any]]:
    """One target of `health_check` for each host that has not failed already.

    :param version: that must run there: one for all, or by host; empty when any will do.
    :param failed: whether those that have failed are asked too.
    """
    targets = []
    for host in hosts:
        variables = hostvars[host]
        if variables.get("__rollout_failed") and not failed:
            continue
        check = dict(variables["rollout_health"])
        wanted = version.get(host) if isinstance(version, Mapping) else version
        if wanted and any(check.get(option) for option in VERSION_OPTIONS):
            check["expected_version"] = wanted
        targets.append({**check, "name": host})
    return targets


def rollout_failures(
    hosts: list[str], hostvars: Mapping[str, Any], checked: bool = True, suspects: list[str] | None = None
) -> dict[str, str]:
    """Who has failed and why: what a step kept, else what the last health check found.

    :param checked: whether the last health check is of this batch.
    :param suspects: who alone may have failed in a step; None when anybody may. To look at a host's variables takes about a
        millisecond.
    """
    failures = {}
    seen = _last_checks(hosts, hostvars) if checked else {}
    watched = {*(hosts if suspects is None else suspects)}
    for host in hosts:
        kept = hostvars[host].get("__rollout_failed") if host in watched else ""
        if kept:
            failures[host] = str(kept)
        elif host in seen:
            if not seen[host]["healthy"]:
                failures[host] = f"not healthy, last seen: {seen[host]['seen']}"
        elif checked and (hostvars[host].get("__rollout_health_host") or {}).get("unreachable"):
            failures[host] = "cannot be reached, so it cannot be checked"
    return failures


def rollout_plan(
    hosts: list[str],
    hostvars: Mapping[str, Any],
    balancers: list[dict[str, Any]],
    before: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    """See `_domain.plan.rollout_plan`; the hosts' versions are those of the last health check."""
    targets = []
    for host in hosts:
        variables = hostvars[host]
        domain = str(variables.get("rollout_domain") or "")
        targets.append({"host": host, "member": _member(variables, host), "domain": domain})
    return plan.rollout_plan(targets, balancers, rollout_seen(hosts, hostvars), before, options)


def rollout_seen(hosts: list[str], hostvars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the last health check found on each host."""
    seen = _last_checks(hosts, hostvars)
    return [seen.get(host) or {"name": host, "healthy": False, "version": None, "seen": "not checked"} for host in hosts]


def rollout_planned(hostvars: Mapping[str, Any], plan_name: str, key: str) -> list[Any]:
    """One key of a plan, which is a fact of localhost; empty before there is a plan, and for a syntax check."""
    return list(hostvars.get("localhost", {}).get(plan_name, {}).get(key) or [])


def rollout_unfinished(hostvars: Mapping[str, Any]) -> list[str]:
    """The batch that did not come to its end, which is the last that began; nobody when all did, or none was planned."""
    reached = {*hostvars.get("localhost", {}).get("__rolling_reached", [])}
    groups = rollout_planned(hostvars, "__rollout", "groups")
    return next((list(group) for group in groups if any(host not in reached for host in group)), [])


def _member(variables: Mapping[str, Any], host: str) -> str:
    # The default of the role `rollout`, which is out of sight where another host's variables are read.
    return str(variables.get("rollout_member") or host)


def _last_checks(hosts: list[str], hostvars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the last health check found, by host. The result of a check from the controller speaks of all hosts at once."""
    found: dict[str, dict[str, Any]] = {}
    for host in hosts:
        if host in found:
            continue
        variables = hostvars[host]
        for name in ("__rollout_health_controller", "__rollout_health_host"):
            for target in (variables.get(name) or {}).get("targets") or []:
                found.setdefault(target["name"], dict(target))
    return found


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {
            "rollout_balancer_problems": rollout_balancer_problems,
            "rollout_checks": rollout_checks,
            "rollout_failures": rollout_failures,
            "rollout_members": rollout_members,
            "rollout_plan": rollout_plan,
            "rollout_planned": rollout_planned,
            "rollout_seen": rollout_seen,
            "rollout_states_before": plan.states_before,
            "rollout_sentence": story.failures_sentence,
            "rollout_story": story.story,
            "rollout_status": story.status,
            "rollout_undo_plan": plan.undo_plan,
            "rollout_undo_story": story.undo_story,
            "rollout_unfinished": rollout_unfinished,
            "rollout_way_back": plan.way_back,
        }
