# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands within a journal and a lease, as far as anybody relies on it: a person may have mended the file.  Pure."""

from __future__ import annotations

from typing import Any, Dict

from .._domain.canary_plan import STEP_PASSED
from .._domain.events import APPROVED, PAUSED, TO_UNDO
from .._domain.shape import wrong

_NONE = type(None)
_JOURNAL = {"plan": [list], "events": [{"time": str, "event": str, "hosts": [str], "details": dict}]}
_BEFORE = {"balancers": {...: {...: dict}}, "places": {...: str}, "versions": dict, "members": {...: str}, "names": {...: str}}
_COLORS = {"live": str, "members": {...: {...: str}}, "versions": dict}
_DETAILS: Dict[str, Any] = {
    PAUSED: {"point": str, "number": (int, _NONE), "why": str, "waits_for": str},
    APPROVED: {"point": str},
    TO_UNDO: {"groups": [[str]]},
    STEP_PASSED: {"step": int},
}
_TEXT, _WHOLE = (str, _NONE), (int, _NONE)
_OWNER = {
    "name": _TEXT, "controller": _TEXT, "pid": _WHOLE, "process_started": _WHOLE, "boot_id": _TEXT, "pid_namespace": _TEXT,
    "machine": _TEXT,
}  # fmt: skip


def wrong_journal(journal: Dict[str, Any]) -> str:
    """What of a journal cannot be used, in words; empty when all of it can."""
    before = journal["before"]
    problem = wrong(journal, _JOURNAL, "journal") or _given(before, _BEFORE, "journal.before")
    problem = problem or _given(journal["summary"], {"left_out": [str]}, "journal.summary")
    colors = before.get("colors")
    if colors and not problem:
        problem = wrong(colors, _COLORS, "journal.before.colors")
        if not problem and not any(color != colors["live"] for color in colors["members"]):
            problem = "journal.before.colors has no colour but the live one"
        if not problem and colors["live"] not in colors["members"]:
            problem = "journal.before.colors has no members of the live one"
    for index, event in enumerate([] if problem else journal["events"]):
        problem = problem or wrong(event["details"], _DETAILS.get(event["event"], {}), "journal.events[%d].details" % index)
    return problem


def wrong_owner(owner: Dict[str, Any]) -> str:
    """What of the owner of a lease cannot be used, in words; empty when all of it can."""
    return _given(owner, _OWNER, "the owner")


def _given(found: Dict[str, Any], shapes: Dict[str, Any], where: str) -> str:
    """Of what need not be there: what is there."""
    there = {key: of_it for key, of_it in shapes.items() if key in found}
    return wrong(found, there, where)
