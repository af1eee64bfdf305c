# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates: what must be open before a rollout goes on.  Pure.

A gate stands before a point of a rollout and is one of three: a freeze window, a person's approval, a URL that must answer 2xx.
(The fourth, a hook, is a task file: a hook that fails closes the way by itself.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, List, Optional

from . import freeze as freezes

# In the order in which a rollout comes to them.
POINTS = ("rollout", "batch", "step", "switch", "promotion")
VERDICT = "verdict"  # of a canary's step: no gate stands here, but a rollout may wait here for a person
NUMBERED = ("batch", "step")  # of these a rollout has several
# What a running rollout does when a freeze begins.
FINISH, HALT, WAIT = "finish", "halt", "wait"
FROZEN = (FINISH, HALT, WAIT)
# How a gate, or a point, is found. A gate that only a person can open is not closed: it waits.
OPEN, CLOSED, WAITING = "open", "closed", "waiting"

FREEZE, APPROVAL, URL = "freeze", "approval", "url"
KINDS = (FREEZE, APPROVAL, URL)  # the quickest first: nobody waits for a URL, or is asked, in vain
ONLY_FOR_URL = ("headers", "ca_path", "client_cert", "client_key")


@dataclass(frozen=True)
class Gate:
    """One gate.

    :param before: its point; None where it stands alone, in no rollout.
    :param number: the batch or step before which it stands; None for each of them.
    :param wait: for how many seconds it may be waited for.
    :param options: as they were given.
    """

    kind: str
    before: Optional[str]
    number: Optional[int]
    wait: float
    options: dict[str, Any]
    freeze: Optional[freezes.Freeze] = None


def read(entries: list[dict[str, Any]], zones: freezes.Zones) -> tuple[list[Gate], list[str]]:
    """The gates, and all that is wrong with them, in sentences.

    :param entries: their keys and types are those of the module `gate`; what is not given is missing or None.
    :param zones: see :func:`freeze.read`.
    """
    gates, sentences = [], []
    for position, entry in enumerate(entries, 1):
        gate, sentence = read_one(position, entry, zones)
        if gate is not None:
            gates.append(gate)
        else:
            sentences.append(sentence)
    return gates, sentences


def read_one(position: int, entry: dict[str, Any], zones: freezes.Zones) -> tuple[Optional[Gate], str]:
    """One gate, or a sentence that says all that is wrong with it; see :func:`read`."""
    freeze, wrong = freezes.read(entry[FREEZE], zones) if entry.get(FREEZE) is not None else (None, [])
    kinds = [kind for kind in KINDS if entry.get(kind) is not None]
    wrong += _wrong(entry, kinds)
    if wrong:
        return None, "%s: %s." % (called(position, entry), "; ".join(wrong))
    return Gate(kinds[0], entry.get("before"), entry.get("number"), float(entry.get("wait") or 0), entry, freeze), ""


def called(position: int, entry: Any) -> str:
    """A gate in a message: ``Gate 2 (before batch)``."""
    before = entry.get("before") if isinstance(entry, dict) else None
    return "Gate %d%s" % (position, " (before %s)" % before if before else "")


def _wrong(entry: dict[str, Any], kinds: list[str]) -> list[str]:
    wrong = []
    if len(kinds) != 1:
        found = " and ".join("`%s`" % kind for kind in kinds) or "none"
        wrong.append("it is exactly one of `freeze`, `approval` and `url`, and has %s" % found)
    if entry.get(APPROVAL) is not None and not entry[APPROVAL].strip():
        wrong.append("`approval` is empty: say what is to be approved")
    if entry.get(APPROVAL) is not None and entry.get("wait"):
        wrong.append("`wait` makes no sense beside `approval`: a rollout that waits for a person ends, and is gone on with later")
    number = entry.get("number")
    if number is not None and (entry.get("before") not in NUMBERED or number < 1):
        wrong.append("`number` is %d; it counts batches or steps (before: batch, before: step) from 1" % number)
    for option, least in (("wait", 0.0), ("timeout", 1e-3), ("interval", 1e-3)):
        value = entry.get(option)
        if value is not None and not least <= value < float("inf"):
            wrong.append("`%s` is %g; it is a number of seconds, %s" % (option, value, "0 or more" if not least else "above 0"))
    strays = [option for option in ONLY_FOR_URL if entry.get(option) is not None and URL not in kinds]
    if strays:
        wrong.append("`%s` goes with `url` alone" % "`, `".join(strays))
    return wrong


def of_a_rollout(gates: list[Gate], frozen: str, lease: float) -> list[str]:
    """What speaks against these gates in a rollout, in sentences.

    :param frozen: what a running rollout does when a freeze begins.
    :param lease: seconds for which the lease is good; whoever waits longer may find it in other hands.
    """
    sentences = []
    for gate in gates:
        if gate.before is None:
            sentences.append("A gate has no `before`: the point of the rollout before which it stands, one of %s." % ", ".join(POINTS))
        if gate.wait >= lease:
            sentences.append(
                "A gate before %s may be waited for during %g s (`wait`), and the lease is lost after %g s. "
                "Make rollout_lease_ttl longer than that." % (gate.before, gate.wait, lease)
            )
        if frozen == WAIT and gate.kind == FREEZE and gate.before == POINTS[0] and not gate.wait:
            sentences.append(
                "rollout_frozen is wait, and a freeze before rollout has no `wait`: say for how many seconds a running rollout may wait."
            )
    return sentences


def points(entries: Any, frozen: str) -> list[str]:
    """At which points anything is to be looked at; of gates that nobody has checked yet."""
    standing = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    found = {str(entry.get("before")) for entry in standing}
    if frozen != FINISH and any(entry.get(FREEZE) is not None and entry.get("before") == POINTS[0] for entry in standing):
        found.update(POINTS)
    return [point for point in POINTS if point in found]


def facing(gates: list[Gate], point: Optional[str], number: Optional[int], frozen: str) -> list[Gate]:
    """The gates to look at before a point, the quickest first, each with the wait that it has there.

    A freeze that stands before the rollout is looked at again before later points, unless a running rollout is to finish.

    :param point: None looks at all gates.
    :param number: of the batch or step.
    """
    chosen: List[Gate] = []
    for gate in gates:
        if point is None or (gate.before == point and gate.number in (None, number)):
            chosen.append(gate)
        elif gate.kind == FREEZE and gate.before == POINTS[0] and frozen != FINISH:
            chosen.append(gate if frozen == WAIT else replace(gate, wait=0.0))
    return sorted(chosen, key=lambda gate: KINDS.index(gate.kind))


def approved(approvals: list[dict[str, Any]], point: Optional[str], number: Optional[int]) -> bool:
    """Whether one of the approvals is for this very point, batch or step."""
    return any((given["point"], given.get("number")) == (point, number) for given in approvals)


def place(point: str, number: Optional[int] = None) -> str:
    """A point in a sentence: ``before batch 2``, ``before the switch``."""
    if point == VERDICT:
        return "after step %s, of which the judge could not tell" % number
    return "before %s %d" % (point, number) if number is not None else "before the %s" % point
