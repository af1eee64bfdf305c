# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a rollout line by line, for a log, and for what stays above a view that is redrawn.  Pure.

A line is text and its style: GOOD, NOW, BAD, FAINT or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.sentences import failures_sentence, listed

from .hearing import BATCH_ENDED, BEGUN, ENDED, PAUSED, PHASE_ENDED, News
from .pace import lasted
from .state import Batch, Rollout

GOOD, NOW, BAD, FAINT, PLAIN = "good", "now", "bad", "faint", ""

Line = tuple[str, str]


@dataclass(frozen=True)
class Signs:
    """The characters that stand for something."""

    full: str
    rest: str
    good: str
    now: str
    bad: str
    cut: str


PRETTY = Signs(full="━", rest="─", good="✓", now="▸", bad="✗", cut="…")
ASCII = Signs(full="#", rest="-", good="+", now=">", bad="!", cut=".")

OUTCOMES = {
    "succeeded": "succeeded",
    "succeeded_with_failures": "succeeded with failures",
    "rolled_back": "rolled back",
    "rollback_failed": "FAILED to roll back",
    "nothing_to_do": "nothing to do",
    "abandoned": "ended before it was done",
    PAUSED: "paused",
}


def log_lines(news: News, felt: Mapping[str, Any] | None, now: float) -> list[Line]:
    """For a log: one line when a batch begins, one when each of its phases ends, one when it fails, one at the end."""
    rollout, batch, phase = news.rollout, news.batch, news.phase
    if news.what == ENDED:
        return [_end(rollout, felt, now)]
    if batch is None:
        return []
    place = f"{rollout.name} | {batch.title} | "
    if news.what == BEGUN:
        return [(f"{place}begins: {listed(batch.hosts)}", PLAIN)]
    if news.what == PHASE_ENDED and phase is not None:
        # Why is told when the batch ends, as a reader of a log needs it once.
        failed = f", FAILED{f': {listed(phase.failed)}' if phase.failed else ''}" if phase.why else ""
        return [(f"{place}{phase.name} {lasted(phase.seconds(now))}{failed}", BAD if phase.why else PLAIN)]
    if news.what == BATCH_ENDED and batch.why:
        return [(f"{place}FAILED after {lasted(batch.seconds(now))}: {batch.why}", BAD)]
    if news.what == BATCH_ENDED and batch.failures:
        return [(f"{place}goes on without {failures_sentence(batch.failures)}", BAD)]
    return []


def lasting_lines(
    news: News, felt: Mapping[str, Any] | None, width: int, now: float, signs: Signs = PRETTY
) -> list[Line]:
    """For a terminal, above what is redrawn: one line for each batch that has ended, one at the end."""
    if news.what == ENDED:
        text, style = _end(news.rollout, felt, now)
        return [(f"{signs.bad if style == BAD else signs.good} {text}", style)]
    if news.what == BATCH_ENDED and news.batch is not None:
        return [_batch(news.batch, width, now, signs)]
    return []


def felt_words(felt: Mapping[str, Any] | None) -> str:
    """``1,234 requests, 0 failed, p95 12 ms``; empty where nothing is known."""
    if not felt:
        return ""
    p95 = felt.get("p95")
    told = f"{felt['requests']:,} {'request' if felt['requests'] == 1 else 'requests'}, {felt['failed']:,} failed"
    return told if p95 is None else f"{told}, p95 {p95:.0f} ms" if p95 >= 9.95 else f"{told}, p95 {p95:.1f} ms"


def interrupted(rollout: Rollout, now: float) -> Line:
    """For a run that ends before its rollout has: where it was."""
    batch = rollout.batch
    place = f" in {batch.title} ({listed(batch.hosts)})" if batch else ""
    phase = f", {batch.running.name}" if batch and batch.running else ""
    return (
        f"{rollout.name} | the run ended{place}{phase} after {lasted(now - rollout.began)}: "
        "run the same command again to go on, or the playbook rollback to undo it",
        BAD,
    )


def _end(rollout: Rollout, felt: Mapping[str, Any] | None, now: float) -> Line:
    outcome = OUTCOMES.get(rollout.outcome, rollout.outcome)
    if not rollout.lines and rollout.outcome != PAUSED:
        outcome = "did not begin"
    took = lasted((rollout.ended if rollout.ended is not None else now) - rollout.began)
    words = [rollout.name, f"{'would have ' if rollout.check_mode else ''}{outcome} after {took}", felt_words(felt)]
    good = not rollout.failed and rollout.outcome in ("succeeded", "nothing_to_do", "rolled_back")
    return " | ".join(word for word in words if word), GOOD if good else BAD if rollout.failed else NOW


def _batch(batch: Batch, width: int, now: float, signs: Signs) -> Line:
    took = lasted(batch.seconds(now))
    if batch.why:
        return f"{signs.bad} {batch.title}: {listed(batch.hosts)}, FAILED after {took}: {batch.why}", BAD
    text = f"{signs.good} {batch.title}: {listed(batch.hosts)}{', back after' if batch.backwards else ','} {took}"
    if batch.failures:
        return f"{text}, without {failures_sentence(batch.failures)}", NOW
    phases = ", ".join(
        f"{phase.name} {lasted(phase.seconds(now))[:-2]}" for phase in batch.phases if phase.seconds(now) < 60
    )
    if phases and len(text) + len(phases) + 3 < width:
        text += f" ({phases})"
    return text, NOW if batch.backwards else GOOD
