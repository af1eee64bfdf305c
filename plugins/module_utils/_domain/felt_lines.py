# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users felt, in a few words for the end of a run, and small enough for a journal.  Pure."""

from __future__ import annotations

from typing import Any

# Of what a probe has seen, what a journal keeps for the history.
KEPT = ("began", "ended", "rate", "requests", "failed", "outcomes", "latency", "first_failure", "last_failure", "disturbance", "late")


def kept(felt: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the journal keeps: the figures, without the course over time."""
    return {key: felt[key] for key in KEPT} if felt else None


def lines(felt: dict[str, Any] | None, counted: dict[str, Any] | None) -> list[str]:
    """Sentences for the end of a run; none where nobody looked."""
    said = []
    if felt:
        said.append(_probe(felt))
    if counted and (felt or counted["requests"]):
        said.append(counted["said"])
    return said


def _probe(felt: dict[str, Any]) -> str:
    if not felt["requests"]:
        return "What users felt is not known: the probe has made no request."
    latency = felt["latency"]
    slow = f", p95 {latency['p95']:.0f} ms" if latency["p95"] is not None else ""
    text = f"What users felt, by a probe of {felt['rate']:g} requests a second: {felt['failed']} of {felt['requests']} failed{slow}."
    if felt["failed"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in felt["outcomes"].items() if kind not in ("ok", "skipped"))
        text = text[:-1] + f" ({kinds}, within {felt['disturbance']:.1f} s)."
    if felt["late"]:
        text += f" {felt['late']} more could not be sent in time: the probe's machine was too busy."
    return text
