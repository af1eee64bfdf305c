# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of every host through its phases: batches, rows and the stretches in a row.  Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from .report_words import clock, plural, span

FOLD_FROM = 60  # hosts from which on batches are folded
# What a phase is called by a reader.
SAID = {
    "drain": "Drain", "deploy": "Deploy", "check": "Check", "return": "Return", "soak": "Soak", "switch": "Switch", "watch": "Watch",
    "undo_drain": "Drain, to undo", "undo_deploy": "Undo", "undo_check": "Check, undone", "undo_return": "Return, undone",
    "undo_soak": "Soak, undone", "undo_switch": "Switch back", "undo_watch": "Watch, undone",
}  # fmt: skip
MEANS = {
    "drain": "taken out of traffic, until nothing is in flight",
    "deploy": "the new release is installed and started",
    "check": "until it is healthy on the new release",
    "return": "brought back into traffic",
    "soak": "watched, before the next batch begins",
    "switch": "all traffic is led to the other colour",
    "watch": "watched under traffic",
    "undo_drain": "taken out of traffic again",
    "undo_deploy": "the old release is put back",
    "undo_check": "until it is healthy on the old release",
    "undo_return": "brought back into traffic, as before",
    "undo_soak": "watched under traffic, on the old release",
    "undo_switch": "all traffic is led back to the colour from before",
    "undo_watch": "watched under traffic, on the colour from before",
}


class Segment(NamedTuple):
    """A phase of a host."""

    phase: str
    began: float
    ended: float
    ok: bool

    @property
    def title(self) -> str:
        """``Deploy: 04:12:10 to 04:12:19 UTC, 9.1 s``."""
        failed = "" if self.ok else ", failed"
        return f"{SAID[self.phase]}{failed}: {clock(self.began)} to {clock(self.ended)} UTC, {span(self.ended - self.began)}"


class Row(NamedTuple):
    """A host and what it went through, in order."""

    host: str
    segments: list[Segment]
    failed: bool

    @property
    def said(self) -> str:
        """How it went, shortly."""
        if not self.segments:
            return "failed, not touched" if self.failed else "not reached"
        took = span(max(each.ended for each in self.segments) - self.segments[0].began)
        broken = [SAID[each.phase].lower() for each in self.segments if not each.ok]
        return f"{took}, failed in {broken[0]}" if broken else f"{took}, failed" if self.failed else took


class Batch(NamedTuple):
    """Hosts that went together.  `number` is 0 for those that belong to no batch."""

    number: int
    rows: list[Row]

    @property
    def began(self) -> float | None:
        """When the first of it began; None when none did."""
        return min((row.segments[0].began for row in self.rows if row.segments), default=None)

    @property
    def ended(self) -> float | None:
        """When the last of it ended what leads forward."""
        return max(
            (each.ended for row in self.rows for each in row.segments if not each.phase.startswith("undo_")),
            default=None,
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return f"Batch {self.number}" if self.number else "In no batch"

    @property
    def failed(self) -> int:
        """How many of its hosts failed."""
        return sum(row.failed for row in self.rows)

    @property
    def said(self) -> str:
        """``2 hosts, 04:12:10 to 04:13:01 UTC, 1 failed``."""
        parts = [plural(len(self.rows), "host")]
        if self.began is None:
            parts.append("not reached")
        else:
            ends = max(each.ended for row in self.rows for each in row.segments)
            parts.append(f"{clock(self.began)} to {clock(ends)} UTC")
        return ", ".join([*parts, *([f"{self.failed} failed"] if self.failed else [])])


def batches(plan: list[list[str]], phases: list[dict[str, Any]], failures: dict[str, str]) -> list[Batch]:
    """Every host in its batch, in the order of the plan, with its phases in the order of time.

    A host is in the batch that its phases name.  One that has no phase is in that of the plan: it was not reached.
    """
    segments: dict[str, list[Segment]] = {}
    numbers: dict[str, int] = {}
    for each in sorted(phases, key=lambda phase: (phase["began"], phase["ended"])):
        segments.setdefault(each["host"], []).append(
            Segment(each["phase"], each["began"], max(each["began"], each["ended"]), each["ok"])
        )
        if each["batch"] and not numbers.get(each["host"]):
            numbers[each["host"]] = each["batch"]
    order: dict[str, int] = {}
    for number, hosts in enumerate(plan, 1):
        for host in hosts:
            order.setdefault(host, len(order))
            if host not in segments:
                numbers.setdefault(host, number)
    for host in [*segments, *failures]:
        order.setdefault(host, len(order))
    rows: dict[int, list[Row]] = {}
    for host in order:
        mine = segments.get(host, [])
        failed = host in failures or any(not each.ok for each in mine)
        rows.setdefault(numbers.get(host, 0), []).append(Row(host, mine, failed))
    return [Batch(number, rows[number]) for number in sorted(rows, key=lambda number: (number == 0, number))]


def kinds(found: list[Batch]) -> list[str]:
    """The phases that occur, in the order in which a host goes through them."""
    there = {each.phase for batch in found for row in batch.rows for each in row.segments}
    return [phase for phase in SAID if phase in there]
