# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a batch of a rollout stands, and so what its next step is."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from . import canary, pauses
from .sentences import failures_sentence


class Steps(NamedTuple):
    """What the steps of a batch have left behind: results of tasks, empty for one that has not run."""

    recorded: Mapping[str, Any]  # of the lease's renewal
    drained: Mapping[str, Any]
    returned: Mapping[str, Any]
    broken: dict[str, str]  # who failed in a step that runs on the hosts, and why
    failed: dict[str, str]  # likewise, and in the health check


def standing(plan: Mapping[str, Any], host: str, known: Mapping[str, Any], steps: Steps, most: int) -> dict[str, Any]:
    """Where the batch stands that `host` belongs to.

    :param plan: the rollout's.
    :param known: what the rollout has come to before this batch: ``reached``, ``failures``, ``canary`` and ``paused``.
    :param most: how many hosts of the rollout may fail.
    :returns: ``hosts`` and ``number`` of the batch (see :func:`pauses.batch_number`) and whether it ``begins``; whether the rollout
        still has its lease (``leased``), the hosts are out of traffic (``drained``), may be (``touched``), and the rollout
        ``goes_on``, else ``why`` not;
        who has failed in the rollout (``failures``) and who of the batch has not (``sound``); the members ``to_drain``,
        ``to_return`` and ``to_leave_out``, and the ``steps`` of a canary that the batch stands for.
    """
    place = plan["group_of"][host]
    hosts, members = list(plan["groups"][place]), plan["before"]["members"]
    number = pauses.batch_number(plan["groups"], place, plan["so_far"])
    # An earlier attempt has deployed to them: they stay in traffic.
    there = host in plan["there"]
    leased = not (steps.recorded.get("failed") or steps.recorded.get("unreachable"))
    failures = {**known["failures"], **steps.failed}
    sound = [each for each in hosts if each not in failures]
    drained = there or steps.drained.get("problem") == ""
    not_returned = steps.returned.get("problem") or ""
    goes_on = len(failures) <= most and not not_returned and known["canary"]["action"] == canary.GO_ON
    todo = (plan.get("canary") or {}).get("todo") or []
    taken = list(todo[place]) if place < len(todo) else []
    # A canary returns at a share of its own; the idle colour of blue-green gets its traffic when all of it is ready.
    returns = goes_on and not there and not taken and "live" not in plan
    to_return = [members[each] for each in sound] if returns else []
    return {
        "hosts": hosts,
        "number": number,
        "begins": not known["paused"] and len(known["reached"]) == sum(plan["batches"][:place]),
        "leased": leased,
        "to_drain": [members[each] for each in hosts] if leased and not there and not steps.broken else [],
        "drained": drained,
        "touched": drained or _may_be_out(steps.drained),
        "failures": failures,
        "sound": sound,
        "goes_on": goes_on,
        "to_return": to_return,
        "to_leave_out": [members[each] for each in hosts if each in failures],
        "steps": taken,
        "why": _why(hosts, leased, steps, failures if len(failures) > most else {}, known["canary"]["why"]),
    }


def _may_be_out(drain: Mapping[str, Any]) -> bool:
    """Whether a drain that did not end well may have left members out: one that reports has put them back, or says that they changed.

    A task that died (a time limit, a worker that was killed) reports nothing.
    """
    ran = bool(drain) and not drain.get("skipped")
    return ran and ("problem" not in drain or bool(drain.get("changed")))


def _why(hosts: list[str], leased: bool, steps: Steps, failures: dict[str, str], canary_says: str) -> str:
    """The first thing that speaks against a batch which did not come to its end."""
    if not leased:
        return str(steps.recorded.get("msg") or "the journal cannot be reached")
    return str(
        steps.drained.get("problem")
        or failures_sentence(failures)
        or steps.returned.get("problem")
        or canary_says
        or "%s: the batch was ended by a task of a hook or of the deploy role (meta: end_host, end_batch or end_play)" % ", ".join(hosts)
    )
