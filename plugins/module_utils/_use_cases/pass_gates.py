# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the gates before a point, and waits for those that may be waited for.

A URL is asked as `health_check` asks one: the whole attempt is bounded, and no secret of the request is quoted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from .._clock import Clock, Deadline
from .._domain import freeze as freezes
from .._domain import gates as domain
from .._domain.errors import InvalidInput, Refused
from .._domain.gates import CLOSED, OPEN, WAITING, Gate
from .._options import validated
from .._health.redaction import mask_url
from .._health.targets import Target, read_targets
from .._journal.times import iso
from .._zones import zone

GATE_OPTIONS: Dict[str, Any] = {
    "before": {"type": "str", "choices": list(domain.POINTS)},
    "number": {"type": "int"},
    "wait": {"type": "float", "default": 0.0},
    "freeze": {
        "type": "dict",
        "options": {
            "days": {"type": "list", "elements": "str", "choices": list(freezes.DAYS)},
            "from": {"type": "str"},
            "to": {"type": "str"},
            "dates": {"type": "list", "elements": "str"},
            "timezone": {"type": "str", "default": freezes.UTC},
        },
    },
    "approval": {"type": "str"},
    "url": {"type": "str"},
    "timeout": {"type": "float", "default": 5.0},
    "interval": {"type": "float", "default": 5.0},
    "headers": {"type": "dict", "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
}

ARGUMENT_SPEC: Dict[str, Any] = {
    "gates": {"type": "list", "elements": "dict", "required": True, "options": GATE_OPTIONS},
    "point": {"type": "str", "choices": list(domain.POINTS)},
    "number": {"type": "int"},
    "frozen": {"type": "str", "choices": list(domain.FROZEN), "default": domain.FINISH},
    "approvals": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "point": {"type": "str", "choices": list(domain.POINTS)},
            "number": {"type": "int"},
        },
    },
    "on_failure": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
}


@dataclass(frozen=True)
class Look:
    """What a gate was found to be.

    :param why: a clause, without its full stop; free of secrets.
    :param opens: when a freeze ends, in seconds since the epoch.
    """

    state: str
    why: str
    opens: Optional[float] = None


def run(params: Dict[str, Any], check_mode: bool, clock: Clock) -> Dict[str, Any]:
    """Look at the gates before ``params["point"]``; see the module's documentation for options and result.

    In check mode nothing is waited for.

    :raises InvalidInput: a gate makes no sense; nothing was asked.
    :raises Refused: one is not open, and ``on_failure`` is ``fail``.
    """
    gates, wrong = domain.read(params["gates"], zone)
    if wrong:
        raise InvalidInput("%s No gate was looked at." % " ".join(wrong))
    chosen = domain.facing(gates, params["point"], params["number"], params["frozen"])
    targets = _targets(chosen)
    looks: List[Dict[str, Any]] = []
    state, why, opens = OPEN, "", None
    began = clock.monotonic()
    for gate in chosen:
        wait = 0.0 if check_mode else gate.wait
        if gate.kind == domain.APPROVAL:
            look = _approval(gate, params)
        elif gate.freeze is not None:
            look = _wait_for_thaw(gate.freeze, wait, clock)
        else:
            look = _wait_for_url(gate, targets[id(gate)], wait, clock)
        looks.append({"gate": gate.kind, "before": gate.before, "state": look.state, "why": look.why})
        if look.state != OPEN:
            state, why, opens = look.state, look.why, look.opens
            break
    result = {
        "changed": False,
        "state": state,
        "why": why,
        "opens": None if opens is None or math.isinf(opens) else iso(opens),
        "gates": looks,
        "waited": round(clock.monotonic() - began, 3),
    }
    if state != OPEN and params["on_failure"] == "fail":
        raise Refused("The way is not open: %s. %s" % (why, _advice(looks[-1], result["opens"])), **result)
    return result


def problems(entries: Any, frozen: Any, lease: Any) -> List[str]:
    """All that is wrong with the gates of a rollout, in sentences, before any is looked at.

    :param entries: the list as the user wrote it.
    :param frozen: what a running rollout does when a freeze begins.
    :param lease: seconds for which the lease of the service is good.
    """
    if not isinstance(entries, list):
        return ["The gates are to be a list of dictionaries."]
    sentences = [] if frozen in domain.FROZEN else ["rollout_frozen is %s; it is one of %s." % (frozen, ", ".join(domain.FROZEN))]
    gates = []
    for position, entry in enumerate(entries, 1):
        called = domain.called(position, entry)
        if not isinstance(entry, dict):
            sentences.append("%s is no dictionary." % called)
            continue
        options, wrong = validated(GATE_OPTIONS, _as_text(entry))
        if wrong:
            sentences.append("%s: %s." % (called, "; ".join(wrong)))
            continue
        gate, sentence = domain.read_one(position, options, zone)
        if gate is None:
            sentences.append(sentence)
        else:
            gates.append(gate)
    sentences += domain.of_a_rollout(gates, frozen, float(lease))
    try:
        _targets(gates)
    except InvalidInput as error:
        sentences.append("%s." % error.message)
    return sentences


def as_text(entries: List[Any]) -> List[Any]:
    """The gates with text again for what YAML makes of a date that stands there without quotes."""
    return [_as_text(entry) if isinstance(entry, dict) else entry for entry in entries]


def _as_text(entry: Dict[str, Any]) -> Dict[str, Any]:
    freeze = entry.get("freeze")
    if not isinstance(freeze, dict) or not isinstance(freeze.get("dates"), list):
        return entry
    return dict(entry, freeze=dict(freeze, dates=[str(one) for one in freeze["dates"]]))


def _targets(gates: List[Gate]) -> Dict[int, Target]:
    """What to ask, by gate. Certificates are read here, before anything is asked."""
    found = {}
    for gate in gates:
        if gate.kind == domain.URL:
            options = {name: gate.options.get(name) for name in ("url", "validate_certs", *domain.ONLY_FOR_URL)}
            (found[id(gate)],) = read_targets([dict(options, name="gate before %s" % gate.before, status=[200])])
    return found


def _approval(gate: Gate, params: Dict[str, Any]) -> Look:
    # A gate that stands before a point of no number is approved as such.
    if domain.approved(params["approvals"], params["point"] or gate.before, params["number"]):
        return Look(OPEN, "approved: %s" % gate.options["approval"])
    return Look(WAITING, "waiting for approval: %s" % gate.options["approval"].strip().rstrip("."))


def _wait_for_thaw(freeze: freezes.Freeze, wait: float, clock: Clock) -> Look:
    """Wait for the end of a freeze, if it comes in time; there is no use in waiting for one that does not."""
    deadline = Deadline(clock, wait)
    while True:
        now = clock.now()
        end = freezes.until(freeze, now)
        if end is None:
            return Look(OPEN, "nothing is frozen now")
        if end - now > deadline.left or deadline.passed:
            too_late = ", later than the %g s that it may be waited for" % wait if wait else ""
            return Look(CLOSED, "frozen %s%s" % (freezes.told(freeze, end), too_late), end)
        clock.sleep(end - now)


def _wait_for_url(gate: Gate, target: Target, wait: float, clock: Clock) -> Look:
    """Ask until it answers 2xx, or `wait` is over."""
    deadline = Deadline(clock, wait)
    url = mask_url(gate.options["url"])
    while True:
        seen = target.probe(clock, gate.options["timeout"])
        if seen.failure is None and seen.status is not None and 200 <= seen.status <= 299:
            return Look(OPEN, "%s answers HTTP %d" % (url, seen.status))
        if deadline.passed:
            break
        clock.sleep(min(gate.options["interval"], deadline.left))
    redactor = target.expectations.redactor
    said = redactor.text(seen.failure) if seen.failure is not None else "HTTP %s" % seen.status
    if seen.text.strip():
        said += ", and its body begins %s" % redactor.snippet(seen.text)
    return Look(CLOSED, "%s does not answer 2xx%s: %s" % (url, " within %g s" % wait if wait else "", said.rstrip(".")))


def _advice(look: Dict[str, Any], opens: Optional[str]) -> str:
    if look["gate"] == domain.APPROVAL:
        return "Nothing was changed. Once it is approved say so (approvals), in a rollout with the playbook promote."
    if look["gate"] == domain.FREEZE:
        if opens is None:
            return "Nothing was changed. The windows of that freeze leave no time between them: is that meant?"
        return "Nothing was changed. Run this again then, at %s." % opens
    return "Nothing was changed. See what stands behind that URL, and run this again; or give it more time (wait)."
