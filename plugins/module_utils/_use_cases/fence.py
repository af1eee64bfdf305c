# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a late owner of a lease from writing: each write asks right before it.

A process that is stopped in the middle of a wait (a signal, a suspended laptop, a paused machine) goes on when it wakes as if nothing
had been, while another controller may long be at work.  So it is not enough to look when a task begins.
"""

from __future__ import annotations

import math
from typing import Any

from .._balancers.base import Balancer
from .._clock import Clock
from .._domain import fence
from .._domain.errors import Late
from .._processes import orphaned

LEASE_OPTION: dict[str, Any] = {"lease": {"type": "dict"}}


def read(clock: Clock) -> fence.Reading:
    """This machine's clocks."""
    return fence.Reading(clock.now(), clock.running())


class Fence:
    """The option `lease` of a task; without one everything passes.

    :raises InvalidInput: it is not what the module ``rollout`` returned.
    """

    def __init__(self, lease: dict[str, Any] | None, clock: Clock) -> None:
        self.lease, self.clock = lease or {}, clock
        self.left()

    def left(self) -> float:
        """Seconds for which may be written."""
        return fence.left(self.lease, read(self.clock)) if self.lease else math.inf

    def check(self, where: str) -> None:
        """Pass as long as may be written.

        :param where: what is about to be written to, as a sentence begins.
        :raises Late: it is over.
        """
        if not self.lease:
            return
        fence.demand(self.lease, read(self.clock), where)
        # A worker outlives its playbook that was killed; and of an owner who is proven dead the lease is taken before its time.
        if orphaned():
            raise Late(f"{where}: nothing is written any more. The run that this task belonged to is gone. {fence.ADVICE}")


class Fenced:
    """A balancer that is asked whatever is asked of it, and written to as long as the lease is good."""

    def __init__(self, balancer: Balancer, barrier: Fence) -> None:
        self._balancer, self._barrier = balancer, barrier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._balancer, name)

    def heal(self, pool: str) -> None:
        """See :class:`Balancer`; so are those below."""
        self._check(pool)
        self._balancer.heal(pool)

    def apply(self, pool: str, *args: Any, **options: Any) -> Any:
        self._check(pool)
        return self._balancer.apply(pool, *args, **options)

    def settle(self, pool: str, names: list[str]) -> None:
        self._check(pool)
        self._balancer.settle(pool, names)

    def cut(self, pool: str, names: list[str]) -> None:
        self._check(pool)
        self._balancer.cut(pool, names)

    def add(self, pool: str, *args: Any, **options: Any) -> None:
        self._check(pool)
        self._balancer.add(pool, *args, **options)

    def remove(self, pool: str, names: list[str]) -> None:
        self._check(pool)
        self._balancer.remove(pool, names)

    def persist(self, pool: str, check_mode: bool = False) -> bool:
        if not check_mode:
            self._check(pool)
        return self._balancer.persist(pool, check_mode)

    def _check(self, pool: str) -> None:
        self._barrier.check(f"Balancer {self._balancer.name}, pool {pool}")


def fenced(balancer: Balancer, lease: dict[str, Any] | None, clock: Clock) -> Balancer:
    """The balancer, and between it and whoever writes the lease, where there is one."""
    return Fenced(balancer, Fence(lease, clock)) if lease else balancer  # type: ignore[return-value]
