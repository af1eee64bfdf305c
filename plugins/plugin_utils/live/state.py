# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a rollout while it runs.  Pure: times are handed in, seconds of any one clock."""

from __future__ import annotations

from dataclasses import dataclass, field

# What a batch stands for: the words before its number.
FORWARD, UNDO, SWITCH, SWITCH_BACK, OLD_COLOR = "batch", "undo", "switch", "switch back", "old colour"

DRAIN, DEPLOY, CHECK, RETURN, SOAK = "drain", "deploy", "check", "return", "soak"
SHIFT, WATCH = "switch", "watch"

PLAIN_STEPS = (DRAIN, DEPLOY, CHECK, RETURN)


@dataclass
class Phase:
    """One of the steps that a batch goes through.

    :param name: drain, deploy, check, return, soak, switch or watch.
    :param why: what went wrong, in words; empty as long as nothing did.
    :param failed: the hosts with which it did.
    """

    name: str
    began: float
    ended: float | None = None
    why: str = ""
    failed: list[str] = field(default_factory=list)

    def seconds(self, now: float) -> float:
        """How long it took, or has taken until now."""
        return max(0.0, (now if self.ended is None else self.ended) - self.began)


@dataclass
class Batch:
    """Hosts that go through the phases together.

    :param kind: FORWARD, UNDO, SWITCH, SWITCH_BACK or OLD_COLOR; the first two have a number `of` so many.
    :param steps: the phases it is expected to have.
    :param failures: by host, why; within a budget the others go on without them.
    :param why: what ended it; empty when it has come to its end, or has not ended.
    """

    kind: str
    hosts: list[str]
    began: float
    number: int = 0
    of: int = 0
    steps: tuple[str, ...] = ()
    phases: list[Phase] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    ended: float | None = None
    why: str = ""

    @property
    def title(self) -> str:
        """What it is called: ``batch 2 of 3``, ``undo 1 of 2``, ``switch``."""
        return f"{self.kind} {self.number} of {self.of}" if self.number else self.kind

    @property
    def backwards(self) -> bool:
        """Whether it takes something back."""
        return self.kind in (UNDO, SWITCH_BACK)

    @property
    def done(self) -> bool:
        """Whether it has come to its end."""
        return self.ended is not None and not self.why

    @property
    def running(self) -> Phase | None:
        """The phase it is in."""
        return self.phases[-1] if self.phases and self.phases[-1].ended is None else None

    @property
    def coming(self) -> tuple[str, ...]:
        """The phases that are still expected."""
        seen = {phase.name for phase in self.phases}
        last = max((place for place, step in enumerate(self.steps) if step in seen), default=-1)
        return self.steps[last + 1 :]

    def had(self, name: str) -> bool:
        """Whether that phase has begun."""
        return any(phase.name == name for phase in self.phases)

    def seconds(self, now: float) -> float:
        """How long it took, or has taken until now."""
        return max(0.0, (now if self.ended is None else self.ended) - self.began)


@dataclass
class Rollout:
    """One attempt to bring a service to a release, or back.

    :param groups: the batches that are planned; `undo_groups`: those of the way back, once it is known.
    :param asked_back: whether it is a rollback that somebody asked for; `version` is then what is undone.
    :param switches_back: whether the way back is to give the traffic back to the other colour.
    :param soaks: whether its batches soak.
    :param outcome: as the journal knows it, and ``paused``; empty until it has ended.
    :param lines: how the rollout itself tells its end.
    """

    service: str
    version: str
    strategy: str
    began: float
    check_mode: bool = False
    groups: list[list[str]] = field(default_factory=list)
    undo_groups: list[list[str]] = field(default_factory=list)
    asked_back: bool = False
    switches_back: bool = False
    soaks: bool = False
    batches: list[Batch] = field(default_factory=list)
    ended: float | None = None
    outcome: str = ""
    failed: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Service and version; of a rollback the service alone."""
        return self.service if self.asked_back else f"{self.service} {self.version}".strip()

    @property
    def batch(self) -> Batch | None:
        """The batch that is under way."""
        return self.batches[-1] if self.batches and self.batches[-1].ended is None else None

    @property
    def going_back(self) -> bool:
        """Whether something is being taken back."""
        return bool(self.batches) and self.batches[-1].backwards

    @property
    def planned(self) -> int:
        """How many hosts there are to do: to bring forward, or, on the way back, to bring back."""
        return sum(len(group) for group in (self.undo_groups if self.going_back else self.groups))

    def finished(self) -> list[Batch]:
        """The batches that have come to their end, of the direction that it goes now."""
        kind = UNDO if self.going_back else FORWARD
        return [batch for batch in self.batches if batch.kind == kind and batch.done]

    @property
    def reached(self) -> int:
        """How many of the hosts that are planned are done."""
        return sum(len(batch.hosts) for batch in self.finished())
