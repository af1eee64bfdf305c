# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the campaign is told: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COLUMNS = ("strategy", "fault", "step", "runs", "requests", "forced", "failed", "not as it must be", "s a case")


def line(told: Mapping[str, Any]) -> str:
    """One case, as it ends."""
    if told["skipped"]:
        return f"skipped  {told['case']}: this machine cannot have it"
    good = "ok    " if not told["violations"] else "FAILED"
    failed = f"{told['failed']} of {told['requests']} failed" + (f", {told['forced']} forced" if told["forced"] else "")
    words = [f"{good} {told['case']:<48} {failed:<28} {told['seconds']:>5.1f} s  {told['step'][:60]}".rstrip()]
    words += [f"         {each}" for each in told["violations"]]
    if told["violations"]:
        words.append(f"         again: make faults CASE='{told['case']}'   logs: {told['logs']}")
    return "\n".join(words)


def rows(cases: Iterable[Mapping[str, Any]]) -> list[Sequence[Any]]:
    """By strategy and fault: at how many steps, how often, what came of it."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for told in cases:
        if not told["skipped"]:
            strategy, fault = told["case"].split("/")[:2]
            groups.setdefault((strategy, fault), []).append(told)
    found = []
    for (strategy, fault), group in sorted(groups.items()):
        seconds = sum(told["seconds"] for told in group) / len(group)
        sums = [sum(told[name] for told in group) for name in ("requests", "forced", "failed")]
        steps = {told["step"] for told in group if told["step"]}
        bad = sum(bool(told["violations"]) for told in group)
        found.append((strategy, fault, len(steps) or "-", len(group), *sums, bad, f"{seconds:.1f}"))
    return found


def table(cases: Sequence[Mapping[str, Any]]) -> str:
    """All of it."""
    text = [COLUMNS, *([str(cell) for cell in row] for row in rows(cases))]
    widths = [max(len(row[index]) for row in text) for index in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in text]
    run = [told for told in cases if not told["skipped"]]
    bad = [told for told in run if told["violations"]]
    lines += ["", f"{len(run) - len(bad)} passed, {len(bad)} failed, {len(cases) - len(run)} skipped; "
              f"{sum(told['requests'] for told in run)} requests, {sum(told['failed'] for told in run)} failed that no fault forced, "
              f"{sum(told['forced'] for told in run)} that one did."]  # fmt: skip
    return "\n".join(lines)
