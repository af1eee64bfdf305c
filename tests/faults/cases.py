# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cases there are: pure, from the steps that a run has and a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

STRATEGIES = ("rolling", "blue_green", "canary")
DEATHS = ("kill", "term", "int")
BALANCERS = ("b2-down", "b2-hung", "b2-hiccup", "b2-restarted", "b2-read-only", "b2-unreadable")
STATES = ("b2-differs",)
LOST = ("refused", "hangs", "power", "reboot")
RELEASES = {"no_start": "3.1", "error_500": "3.2", "wrong_version": "3.3", "hangs": "3.4", "dies_at_once": "3.5", "dies_soon": "3.6"}
DRAINS = ("endless-fail", "endless-cut")
RECOVERIES = ("again", "rollback")
LONGEST_DELAY = 1500  # ms into a task; what is shorter is left behind, and a later task is hit
NAME = re.compile(
    r"(?P<strategy>[a-z_]+)/(?P<fault>[a-z0-9_-]+)/(?P<step>\d+|-)(\+(?P<delay>\d+))?/(?P<recovery>again|rollback|itself)(?P<elsewhere>@elsewhere)?"
)


@dataclass(frozen=True)
class Case:
    """One fault in one rollout, and how things are put right afterwards. Its name is all that is needed to repeat it.

    :attr step: before which task it happens; None for a fault that is there from the start.
    :attr delay: ms after that task has begun; None for before it begins.
    :attr recovery: ``again`` for the same command, ``rollback``, or ``itself`` where the rollout is to undo itself.
    :attr elsewhere: the recovery comes from another controller; the first is gone.
    """

    strategy: str
    fault: str
    step: int | None
    delay: int | None
    recovery: str
    elsewhere: bool = False

    def __str__(self) -> str:
        step = "-" if self.step is None else str(self.step)
        delay = "" if self.delay is None else f"+{self.delay}"
        return f"{self.strategy}/{self.fault}/{step}{delay}/{self.recovery}{'@elsewhere' if self.elsewhere else ''}"

    @property
    def family(self) -> str:
        """What kind of fault it is."""
        name = self.fault.removesuffix("-group")
        if name in DEATHS:
            return "controller"
        if name in (*BALANCERS, *STATES):
            return "balancer"
        return "host" if name.startswith("app") else "application"


def parse(name: str) -> Case:
    """The case of that name.

    :raises ValueError: naming what a case's name looks like.
    """
    found = NAME.fullmatch(name)
    if not found or found["strategy"] not in STRATEGIES:
        form = "STRATEGY/FAULT/STEP[+MS]/again|rollback|itself[@elsewhere]"
        raise ValueError(f"no case {name!r}: expected {form}, such as rolling/kill/25/again")
    step, delay = found["step"], found["delay"]
    return Case(
        found["strategy"], found["fault"], None if step == "-" else int(step), None if delay is None else int(delay),
        found["recovery"], bool(found["elsewhere"]),
    )  # fmt: skip


def catalogue(steps: Mapping[str, int], seed: int) -> list[Case]:
    """All cases.

    :param steps: how many boundaries a run of each strategy has.
    :param seed: decides on delays, on who recovers, and on the order.
    """
    chance = random.Random(seed)
    cases: list[Case] = []

    def add(strategy: str, fault: str, step: int | None, delay: int | None = None) -> None:
        cases.append(Case(strategy, fault, step, delay, chance.choice(RECOVERIES), chance.random() < 0.25))

    for strategy, count in steps.items():
        for step in range(count):
            for death in DEATHS:
                add(strategy, death, step)
                add(strategy, death + chance.choice(("", "-group")), step, chance.randint(5, LONGEST_DELAY))
            for balancer in BALANCERS:
                add(strategy, balancer, step)
            for host in ("app1", "app3"):
                for lost in LOST:
                    add(strategy, f"{host}-{lost}", step)
        for fault in ("b2-differs", "app1-disk", "app3-disk", "slow_start"):
            add(strategy, fault, None)
        for release in RELEASES:
            cases.append(Case(strategy, release, None, None, "itself"))
        if strategy != "blue_green":  # who waits for a drain
            for drain in DRAINS:
                add(strategy, drain, None)
    return sorted(set(cases), key=str)


def choose(cases: Sequence[Case], seed: int, count: int | None) -> list[Case]:
    """So many of them, each kind of fault and each strategy in turn; all of them without a count."""
    chance = random.Random(seed)
    kinds: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        kinds.setdefault((case.family, case.strategy), []).append(case)
    for kind in kinds.values():
        chance.shuffle(kind)
    order = [case for row in zip_longest(*(kinds[key] for key in sorted(kinds))) for case in row if case]
    return order[:count]
