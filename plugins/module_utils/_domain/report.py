# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report of a rollout says: its figures and sentences.  Pure; how it looks is the page's own matter."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .counted import MEMBERS, NOTHING, USERS, best
from .report_series import first_answer, last_answer
from .report_words import clock, milliseconds, number, plural, share, span

# Outcome: the words, and the tone in which a page says them (good, warn, bad or calm).
OUTCOMES = {
    "succeeded": ("Succeeded", "good"),
    "succeeded_with_failures": ("Succeeded, with hosts left out", "warn"),
    "rolled_back": ("Rolled back", "warn"),
    "rollback_failed": ("Rollback failed", "bad"),
    "nothing_to_do": ("Nothing to do", "calm"),
    "abandoned": ("Ended before it was done", "bad"),
    "superseded": ("Superseded by another rollout", "calm"),
    "paused": ("Paused", "calm"),
}
STRATEGIES = {"rolling": "Rolling", "blue_green": "Blue-green", "canary": "Canary", "rollback": "Rollback"}
VERDICTS = {"pass": ("Pass", "good"), "fail": ("Fail", "bad"), "inconclusive": ("Inconclusive", "warn")}
REQUEST_OUTCOMES = {
    "ok": "answered",
    "status": "answered with a status of 5xx",
    "refused": "connection refused",
    "reset": "connection reset",
    "closed": "connection closed without an answer",
    "truncated": "cut off in the middle of the answer",
    "timeout": "not answered in time",
    "garbled": "answered with something that is not HTTP",
    "name": "host name not found",
    "tls": "TLS failed",
    "skipped": "not sent",
}
AGREES = {True: ("They agree", "good"), False: ("They differ", "bad"), None: ("Nothing to compare", "calm")}
NOT_COUNTED = "The balancers were not asked for their counters, so there is nothing to hold against the probe."
NO_PROBE = "No probe was running, so {} not known."
LONGEST_DETAILS = 400  # characters of an event's details on the page


class Figure(NamedTuple):
    """A key figure: what it is, its value, and what belongs beside it."""

    label: str
    value: str
    notes: list[str]
    tone: str = ""


def highest_rate(requests: int) -> float:
    """The rate of failures that 0 of `requests` failures do not rule out, at 95 % (exact, one-sided)."""
    return float(1 - 0.05 ** (1 / requests)) if requests else 1.0


def lead(record: dict[str, Any]) -> str:
    """What users felt, in the one sentence that everybody reads."""
    felt = record["felt"]
    if not felt:
        return NO_PROBE.format("what users felt is")
    if not felt["requests"]:
        return "The probe has sent no request, so what users felt is not known."
    if not felt["failed"]:
        return f"No request failed, of {number(felt['requests'])} that a probe sent meanwhile."
    within = f", all within {span(felt['disturbance'])}" if felt["failed"] > 1 else ""
    return f"{number(felt['failed'])} of the {plural(felt['requests'], 'request')} failed that a probe sent meanwhile{within}."


def figures(record: dict[str, Any]) -> list[Figure]:
    """The figures that a reader looks for first."""
    felt = record["felt"]
    if felt:
        failed, requests = felt["failed"], felt["requests"]
        tone = "bad" if failed else "good" if requests else ""
        rate = share(failed / requests) if requests else "–"
        unsure = (
            "nothing was asked"
            if not requests
            else f"up to {share(highest_rate(requests))} not ruled out"
            if not failed
            else "of requests felt"
        )
        lasted = (
            f"within {span(felt['disturbance'])}" if failed > 1 else "one request" if failed else "no request failed"
        )
        found = [
            Figure("Requests felt", number(requests), [f"sampled, {number(felt['rate'])} a second"]),
            Figure("Failed", number(failed), [lasted], tone),
            Figure("Error rate", rate, [unsure], tone),
            Figure(
                "Latency, p95",
                milliseconds(felt["latency"]["p95"]),
                [f"half within {milliseconds(felt['latency']['p50'])}"],
            ),
        ]
    else:
        found = [
            Figure(label, "–", ["no probe was running"])
            for label in ("Requests felt", "Failed", "Error rate", "Latency, p95")
        ]
    hosts = len({phase["host"] for phase in record["phases"]})
    found.append(Figure("Duration", span(record["ended"] - record["began"]), [plural(hosts, "host") + " touched"]))
    return [*found, _way_back(record)]


def _way_back(record: dict[str, Any]) -> Figure:
    """How long it took to undo, from the decision and from the first bad response."""
    felt, decided, undone = record["felt"], record["decided"], record["undone"]
    label = "Time to roll back"
    if decided is None:
        return Figure(label, "–", ["nothing was undone"])
    if undone is None:
        return Figure(label, "–", [f"decided at {clock(decided)} UTC", "not every member was seen back"], "bad")
    notes = ["from the decision"]
    if felt and felt["first_failure"] is not None:
        notes.append(f"{span(felt['disturbance'])} from the first bad response")
    elif felt:
        notes.append("no bad response was felt")
    else:
        notes.append("first bad response: not known")
    return Figure(label, span(undone - decided), notes)


def traffic_said(record: dict[str, Any]) -> str:
    """When the new version took over, in a sentence."""
    felt, version = record["felt"], record["version"]
    if not felt:
        return NO_PROBE.format("who answered when is")
    answered = [name for name, count in felt["versions"].items() if name and count]
    if not answered:
        return "No answer told which version it came from, so the probe knows requests, and not whose they were."
    began = first_answer(felt["series"], version)
    if began is None:
        return f"No request was answered by {version}."
    others = [name for name in felt["versions"] if name and name != version]
    ended = last_answer(felt["series"], others)
    mine = last_answer(felt["series"], [version]) or began
    if ended is None or ended <= began:
        return f"{version} has answered since {clock(began)} UTC, and nothing else has since then."
    if mine < ended:
        return f"{version} answered first at {clock(began)} UTC and last at {clock(mine)} UTC. {_listed(others)} answered to the end."
    return (
        f"{version} answered first at {clock(began)} UTC, {_listed(others)} last at {clock(ended)} UTC: both were in traffic for "
        f"{span(ended - began)}."
    )


def errors_said(felt: dict[str, Any] | None) -> list[str]:
    """What failed, in sentences."""
    if not felt:
        return [NO_PROBE.format("requests that failed are")]
    requests, failed = felt["requests"], felt["failed"]
    if not requests:
        return ["The probe has sent no request."]
    if not failed:
        said = [
            f"No request failed: all {number(requests)} were answered whole, with a status below 500. A sample cannot prove that nobody "
            f"had a failed one. A true error rate above {share(highest_rate(requests))} is ruled out with 95 % confidence."
        ]
    else:
        kinds = [
            f"{number(count)} {REQUEST_OUTCOMES.get(kind, kind)}"
            for kind, count in felt["outcomes"].items()
            if kind not in ("ok", "skipped")
        ]
        said = [
            f"{number(failed)} of {plural(requests, 'request')} failed ({share(failed / requests)}): {', '.join(kinds)}."
        ]
        if failed == 1:
            said.append(f"That was at {clock(felt['first_failure'])} UTC.")
        else:
            said.append(
                f"The first failed at {clock(felt['first_failure'])} UTC and the last at {clock(felt['last_failure'])} UTC, "
                f"{span(felt['disturbance'])} apart."
            )
    if felt["late"]:
        said.append(
            f"{plural(felt['late'], 'request')} could not be sent in time, as the machine of the probe was too slow. What it felt then "
            "may look worse than it was."
        )
    return said


def latency_said(felt: dict[str, Any] | None) -> str:
    """How long answers took, in a sentence."""
    if not felt:
        return NO_PROBE.format("the time that answers took is")
    latency = felt["latency"]
    if latency["p50"] is None:
        return "No request was answered, so there is no latency."
    return (
        f"Half of the answers took up to {milliseconds(latency['p50'])}, 95 % up to {milliseconds(latency['p95'])}, 99 % up to "
        f"{milliseconds(latency['p99'])}. The slowest took {milliseconds(latency['max'])}."
    )


def member_state(state: dict[str, Any] | None) -> str:
    """``enabled, weight 100, up``."""
    if state is None:
        return "not there"
    parts = [str(state.get("state") or "state unknown")]
    if state.get("weight") is not None:
        parts.append(f"weight {state['weight']}")
    if state.get("health"):
        parts.append(str(state["health"]))
    return ", ".join(parts)


def as_before(member: dict[str, Any]) -> bool:
    """Whether a member has the state and the weight that it had; its health is not ours to restore, but down is not as before."""
    before, after = member["before"], member["after"]
    if before is None or after is None:
        return before is after
    return all(before.get(key) == after.get(key) for key in ("state", "weight")) and after.get("health") != "down"


def members_said(record: dict[str, Any]) -> str:
    """How many members are as they were, in a sentence."""
    members = record["members"]
    if not members:
        return "What state the members were in is not in the record."
    changed = sum(not as_before(member) for member in members)
    places = plural(len({member["balancer"] for member in members}), "balancer")
    if not changed:
        return f"All members are as before, in state and weight: {number(len(members))} on {places}."
    meant = (
        " That is meant: the colours have changed places."
        if (record["strategy"], record["outcome"]) == ("blue_green", "succeeded")
        else ""
    )
    return f"{number(changed)} of {plural(len(members), 'member')} on {places} {'is' if changed == 1 else 'are'} not as before.{meant}"


class Count(NamedTuple):
    """Requests and errors as one source has them."""

    source: str
    requests: int
    errors: int
    rate: str
    kind: str


def counts(record: dict[str, Any]) -> list[Count]:
    """The probe and each balancer, with what its figures are worth."""
    found = []
    felt, counted = record["felt"], record["counted"]
    if felt:
        kind = f"Sampled: {number(felt['rate'])} requests a second of its own"
        found.append(Count("Probe", felt["requests"], felt["failed"], _rate(felt["failed"], felt["requests"]), kind))
    for each in counted["balancers"] if counted else []:
        source = f"{each['name']}{_WHOSE[each['of']]}"
        found.append(Count(source, each["requests"], each["errors"], _rate(each["errors"], each["requests"]), _worth(each)))
    told = best(counted["balancers"]) if counted else []
    if counted and len(told) > 1:
        kind = _EXACT if all(each["exact"] for each in told) else "As good as the least of them"
        found.append(
            Count(
                "All balancers",
                counted["requests"],
                counted["errors"],
                _rate(counted["errors"], counted["requests"]),
                kind,
            )
        )
    return found


_EXACT = "Exact: every request"
_WHOSE = {USERS: ", users", MEMBERS: ", its members", NOTHING: ""}


def _worth(each: dict[str, Any]) -> str:
    """What a balancer's figures are worth."""
    if each["of"] == NOTHING:
        return "Nothing: it does not count as it is configured"
    if each["exact"]:
        return _EXACT
    why = ["it began to count anew"] * each["restarted"]
    why += [f"it leaves out {each['uncounted']}"] if each["uncounted"] else []
    most = f"at most {number(each['at_most'])} errors, as some may be counted twice" if each["at_most"] > each["errors"] else ""
    return "; ".join(filter(None, [f"Lower limit: {' and '.join(why)}" if why else "", f"Not exact: {most}" if most else ""]))


def event_said(name: str) -> str:
    """``batch_begun`` as a reader wants it."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def details_said(details: dict[str, Any]) -> str:
    """``share: 5%, step: 1``; long ones are cut, the JSON has them whole."""
    said = ", ".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in details.items()
    )
    return said if len(said) <= LONGEST_DETAILS else said[: LONGEST_DETAILS - 1] + "…"


def _rate(errors: int, requests: int) -> str:
    return share(errors / requests) if requests else "–"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
