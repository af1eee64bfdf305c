# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few lines at the bottom of a terminal that show a rollout as it is.  Pure: state, size and time in, lines out.

A line is a list of pieces, each a text and its style (see `words`); together they never need more than the width.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Mapping

from .hearing import PAUSED
from .pace import about, lasted, remaining, running
from .state import Batch, Phase, Rollout
from .words import BAD, FAINT, GOOD, NOW, PLAIN, PRETTY, Line, Signs, felt_words

# Columns. A bar across a very wide terminal says no more.
NARROWEST, WIDEST = 20, 101


def frame(
    rollout: Rollout, felt: Mapping[str, Any] | None, width: int, height: int, now: float, signs: Signs = PRETTY
) -> list[list[Line]]:
    """The lines, from the top; the first one is empty and keeps the others apart from what stands above.

    :param felt: what users have felt so far, see `felt.felt_so_far`.
    :param width: of the terminal, in columns; the last one stays free, and so is what lies beyond the widest that is of use.
    :param height: of the terminal, in lines; half of it stays free, and the less important lines are left out.
    """
    width = min(max(NARROWEST, width), WIDEST) - 1
    lines: list[list[Line]] = [[], _head(rollout, width, now)]
    batch = rollout.batch or (rollout.batches[-1] if rollout.batches else None)
    if batch is not None:
        lines += [_bar(rollout, width, signs), _phases(batch, width, now, signs), _hosts(batch, width)]
    if felt_words(felt):
        style = BAD if felt and felt["failed"] else PLAIN
        lines.append([("users so far: ", FAINT), (felt_words(felt), style)])
    most = max(1, height // 2)
    if len(lines) > most:
        # What the batch does says most, then how far it is; which hosts it has can be looked up.
        kept = [place for place in (3, 2, 1, 5, 4, 0) if place < len(lines)][:most]
        lines = [line for place, line in enumerate(lines) if place in kept]
    return [clipped(line, width, signs) for line in lines]


def clipped(line: list[Line], width: int, signs: Signs = PRETTY) -> list[Line]:
    """As much of a line as fits."""
    if sum(columns(text) for text, _style in line) <= width:
        return line
    kept: list[Line] = []
    left = width - columns(signs.cut)
    for text, style in line:
        while columns(text) > left:
            text = text[:-1]
            if columns(text) <= left:
                return [*kept, (text + signs.cut, style)]
        kept.append((text, style))
        left -= columns(text)
    return kept


def columns(text: str) -> int:
    """How many columns of a terminal a text needs."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _head(rollout: Rollout, width: int, now: float) -> list[Line]:
    what = f"rollback of {rollout.version}" if rollout.asked_back else rollout.strategy.replace("_", "-")
    back = ", going back" if rollout.going_back and not rollout.asked_back else ""
    left = f"{rollout.name}, {what}{', check mode' if rollout.check_mode else ''}{back}"
    rest = remaining(rollout, now)
    right = running((rollout.ended if rollout.ended is not None else now) - rollout.began)
    if rest is not None:
        right += f", {about(rest)} left"
    gap = width - columns(left) - columns(right)
    return [(left, BAD if back else PLAIN), (" " * max(2, gap), PLAIN), (right, FAINT)]


def _bar(rollout: Rollout, width: int, signs: Signs) -> list[Line]:
    done, planned = rollout.reached, max(rollout.planned, rollout.reached, 1)
    back = rollout.going_back
    hosts = "host" if planned == 1 else "hosts"
    told = f"  {done} of {planned} {hosts}{' back' if back else ''}"
    room = max(0, width - columns(told))
    full = int(room * min(1.0, (done + _part(rollout.batch)) / planned))
    return [(signs.full * full, BAD if back else GOOD), (signs.rest * (room - full), FAINT), (told, PLAIN)]


def _part(batch: Batch | None) -> float:
    """For how many hosts the batch under way counts: by the phases that it has behind it."""
    if batch is None or not batch.number:
        return 0.0
    behind = len(batch.steps) - len(batch.coming) - (1 if batch.running else 0)
    return len(batch.hosts) * max(0, behind) / (len(batch.steps) + 1)


def _phases(batch: Batch, width: int, now: float, signs: Signs) -> list[Line]:
    title = (f"{batch.title}   ", BAD if batch.backwards else PLAIN)
    shown: dict[str, Phase] = {}
    for phase in batch.phases:  # of those that come again, such as a canary's, the latest
        shown.pop(phase.name, None)
        shown[phase.name] = phase
    for detailed in (True, False):
        words = [_phase(phase, now, signs, detailed) for phase in shown.values()] + [
            (name, FAINT) for name in batch.coming
        ]
        line = [title, *words[:1]]
        for word in words[1:]:
            line += [("  ", PLAIN), word]
        if sum(columns(text) for text, _style in line) <= width:
            break
    return line


def _phase(phase: Phase, now: float, signs: Signs, detailed: bool) -> Line:
    if phase.ended is None:
        return f"{signs.now} {phase.name} {running(phase.seconds(now))}", NOW
    took = f" {lasted(phase.seconds(now))}" if detailed else ""
    return f"{signs.bad if phase.why else signs.good} {phase.name}{took}", BAD if phase.why else GOOD


def _hosts(batch: Batch, width: int) -> list[Line]:
    """Which of its hosts are in the phase, and which have failed."""
    well = [host for host in batch.hosts if host not in batch.failures]
    phase = batch.running.name if batch.running else PAUSED if batch.why == PAUSED else ""
    line: list[Line] = []
    room = width // 2 if well and batch.failures else width
    if well:
        line.append((_fitting(f"{phase}: " if phase else "", well, room), PLAIN))
    if batch.failures:
        line += [("   " if well else "", PLAIN), (_fitting("failed: ", list(batch.failures), room - 3), BAD)]
    return line


def _fitting(words: str, hosts: list[str], room: int) -> str:
    """Hosts after some words: as many as fit, and the number of the rest."""
    for shown in range(len(hosts), 0, -1):
        more = f" and {len(hosts) - shown} more" if shown < len(hosts) else ""
        text = f"{words}{', '.join(hosts[:shown])}{more}"
        if columns(text) <= room:
            return text
    return f"{words}{len(hosts)} hosts"
