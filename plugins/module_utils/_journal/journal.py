# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a rollout: what it intends, what it did, what it found before.

Pure functions from data and a time to new data.  A journal without an ``outcome`` is unfinished: the next
rollout to the same version by the same strategy goes on with it, any other one supersedes it and inherits
what was found before, since nobody has put that back yet.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional

from .._domain import pauses
from .._domain.errors import Refused
from .._domain.events import APPROVED, PAUSED, TO_UNDO
from .._domain.gates import place
from .._domain.undoing import undo_plan
from .times import compact, iso

KIND = "zero_downtime.deploy/rollout"
FORMAT = 1
FIELDS = {
    "id": str, "service": str, "version": str, "strategy": str, "fence": int, "begun": str, "attempts": list,
    "before": dict, "plan": list, "events": list, "outcome": (str, type(None)), "finished": (str, type(None)),
    "summary": dict, "supersedes": (str, type(None)), "superseded_by": (str, type(None)),
}
OUTCOMES = ("succeeded", "succeeded_with_failures", "rolled_back", "rollback_failed", "abandoned", "nothing_to_do")
SUPERSEDED = "superseded"

_ID = re.compile(r"\d{8}T\d{6}Z-[A-Za-z0-9._+-]*-(\d+)\Z")

Journal = Dict[str, Any]


class Beginning(NamedTuple):
    """What a begin makes of the unfinished journals."""

    journal: Journal
    resumed: bool
    superseded: List[Journal]


def new_id(version: str, fence: int, now: float) -> str:
    """A rollout's id: time, version, fencing number; safe as a file name."""
    return "%s-%s-%d" % (compact(now), re.sub(r"[^A-Za-z0-9._+-]", "-", version)[:64], fence)


def fence_of(rollout: str) -> Optional[int]:
    """The fencing number in a rollout's id, None when it is no such id.  Ids sort by it: it never goes back."""
    found = _ID.match(rollout)
    return int(found.group(1)) if found else None


def new(rollout: str, service: str, version: str, strategy: str, fence: int, now: float) -> Journal:
    """An empty journal."""
    return {
        "kind": KIND, "format": FORMAT, "id": rollout, "service": service, "version": version, "strategy": strategy,
        "fence": fence, "begun": iso(now), "attempts": [], "before": {}, "plan": [], "events": [], "outcome": None,
        "finished": None, "summary": {}, "supersedes": None, "superseded_by": None,
    }


def finished(journal: Journal) -> bool:
    """Whether the journal has an outcome."""
    return journal["outcome"] is not None


def resumable(journal: Journal, version: str, strategy: str) -> bool:
    """Whether a rollout to `version` by `strategy` goes on with this journal."""
    return not finished(journal) and (journal["version"], journal["strategy"]) == (version, strategy)


def begin(
    unfinished: List[Journal], last: Optional[Journal], service: str, version: str, strategy: str,
    owner: Dict[str, Any], fence: int, now: float
) -> Beginning:
    """Go on with the newest of the `unfinished` journals (oldest first), or supersede it.

    More than one is unfinished only when a begin was cut off before it had marked the older ones.

    :param last: the last finished one; what it left out of traffic is still owed the state from before it, and what it could not
        undo is undone with what this one touches.
    """
    # Oldest first, and what is there wins: the state before the first of them is the one to put back.
    before: Dict[str, Any] = owed(last)
    for journal in unfinished:
        before = merged(before, journal["before"])
    resumed = bool(unfinished) and resumable(unfinished[-1], version, strategy)
    if resumed:
        older, current = unfinished[:-1], dict(unfinished[-1])
    else:
        older, current = unfinished, new(new_id(version, fence, now), service, version, strategy, fence, now)
        current["supersedes"] = unfinished[-1]["id"] if unfinished else None
        # Whoever undoes this one brings back what the other one had touched, too.
        failed = last if last and last["outcome"] == "rollback_failed" else None
        touched = undo_plan(unfinished[-1] if unfinished else failed)
        if touched["hosts"]:
            groups = {"groups": list(reversed(touched["groups"]))}
            current = record(current, now, event=TO_UNDO, hosts=touched["hosts"], details=groups)
    attempt = {"time": iso(now), "owner": owner, "fence": fence}
    current.update(before=before, fence=fence, attempts=current["attempts"] + [attempt])
    superseded = [
        dict(journal, outcome=SUPERSEDED, superseded_by=current["id"], finished=iso(now)) for journal in older
    ]
    return Beginning(current, resumed, superseded)


def owed(last: Optional[Journal]) -> Dict[str, Any]:
    """What was before for the hosts that `last` left out of traffic, or at shares that were not their own; now they are found as it
    left them."""
    left_out = (last or {}).get("summary", {}).get("left_out") or []
    if not left_out:
        return {}
    before = last["before"]
    members = {host: before.get("members", {}).get(host, host) for host in left_out}
    known = {*members.values(), *undo_plan(last)["shares"]}
    return {
        "balancers": {
            balancer: {name: state for name, state in states.items() if name in known}
            for balancer, states in before.get("balancers", {}).items()
        },
        "versions": {host: version for host, version in before.get("versions", {}).items() if host in left_out},
        "members": members,
    }


def merged(first: Dict[str, Any], later: Dict[str, Any]) -> Dict[str, Any]:
    """`first` with what only `later` knows, to any depth: the first observation wins, unless it came to nothing (None)."""
    result = dict(first)
    for key, value in later.items():
        if result.get(key) is None:
            result[key] = value
        elif isinstance(result[key], dict) and isinstance(value, dict):
            result[key] = merged(result[key], value)
    return result


def record(
    journal: Journal, now: float, before: Optional[Dict[str, Any]] = None, plan: Optional[List[List[str]]] = None,
    event: Optional[str] = None, hosts: Optional[List[str]] = None, details: Optional[Dict[str, Any]] = None,
) -> Journal:
    """The journal with what was found before, what is planned and what happened at `now` added; equal when nothing is.

    :raises Refused: the rollout is finished.
    """
    if finished(journal):
        raise Refused(
            "Rollout %s of service %s is finished (%s, %s): nothing can be recorded any more and nothing was written. "
            "Begin a new one." % (journal["id"], journal["service"], journal["outcome"], journal["finished"])
        )
    result = dict(journal)
    if before:
        result["before"] = merged(journal["before"], before)
    if plan is not None:
        result["plan"] = plan
    if event:
        entry = {"time": iso(now), "event": event, "hosts": hosts or [], "details": details or {}}
        result["events"] = journal["events"] + [entry]
    return result


def finish(journal: Journal, outcome: str, summary: Optional[Dict[str, Any]], now: float) -> Journal:
    """The journal with its outcome; equal when it has the same one already.

    :raises Refused: it has another one.
    """
    if not finished(journal):
        return dict(journal, outcome=outcome, summary=summary or {}, finished=iso(now))
    if journal["outcome"] == outcome:
        return journal
    raise Refused(
        "Rollout %s of service %s is finished already: %s at %s%s. It was not changed to %s." % (
            journal["id"], journal["service"], journal["outcome"], journal["finished"],
            ", by rollout %s" % journal["superseded_by"] if journal["superseded_by"] else "", outcome,
        )
    )


def pause(
    journal: Journal, now: float, point: str, number: Optional[int], why: str, waits_for: str
) -> Journal:
    """The journal of a rollout that has stopped before `point` and is to be gone on with.

    :raises Refused: it is finished.
    """
    details = {"point": point, "number": number, "why": why, "waits_for": waits_for}
    return record(journal, now, event=PAUSED, details=details)


def approve(journal: Optional[Journal], service: str, now: float, who: str, point: Optional[str], number: Optional[int]) -> Journal:
    """The journal with the approval that it waits for.

    :param journal: the unfinished one, None when there is none.
    :param point: what is approved; None is whatever waits.
    :raises Refused: nothing waits for it.
    """
    waiting = pauses.waits(journal)
    if journal is None or waiting is None:
        raise _nothing_to_approve(service, "no rollout has paused")
    told = "rollout %s has paused %s" % (journal["id"], place(waiting["point"], waiting["number"]))
    if waiting["waits_for"] != pauses.APPROVAL:
        raise _nothing_to_approve(service, "%s and waits for no person: %s" % (told, waiting["why"]))
    if waiting["approved_by"] is not None:
        raise _nothing_to_approve(service, "%s, and %s has approved that already" % (told, waiting["approved_by"]))
    if point is not None and (point, number) != (waiting["point"], waiting["number"]):
        raise _nothing_to_approve(service, "%s, not %s" % (told, place(point, number)))
    return record(
        journal, now, event=APPROVED, details={"point": waiting["point"], "number": waiting["number"], "who": who}
    )


def _nothing_to_approve(service: str, found: str) -> Refused:
    return Refused(
        "Nothing of service %s waits for this approval: %s. Nothing was written. The playbook status shows what there is."
        % (service, found)
    )


def blank(journal: Journal) -> bool:
    """Whether nothing was ever recorded and nothing inherited: without it nothing would be lost."""
    return not (journal["before"] or journal["plan"] or journal["events"] or journal["supersedes"])


def to_prune(journals: List[Journal], keep: int) -> List[Journal]:
    """The oldest finished ones of `journals` (oldest first) beyond the `keep` newest finished ones."""
    done = [journal for journal in journals if finished(journal)]
    return done[:max(0, len(done) - keep)]


def lines(earlier: Optional[Journal], later: Journal) -> Dict[str, str]:
    """What `later` adds, on a few lines for a diff; the whole of it would be too much to read."""
    known = earlier or {"before": {}, "plan": [], "events": [], "outcome": None}
    added = ["%s%s" % (e["event"], ": " + ", ".join(e["hosts"]) if e["hosts"] else "")
             for e in later["events"][len(known["events"]):]]
    if later["before"] != known["before"]:
        added.insert(0, "found before: %s" % ", ".join(str(key) for key in later["before"]))
    if later["plan"] != known["plan"]:
        added.insert(0, "plan: %s" % "; ".join(", ".join(str(host) for host in batch) for batch in later["plan"]))
    if later["outcome"] != known["outcome"]:
        added.append("outcome: %s" % later["outcome"])
    return {"before": "", "after": "".join("%s\n" % text for text in added)}
