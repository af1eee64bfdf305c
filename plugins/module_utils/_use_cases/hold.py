# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer is kept to the states of members by a process that a task leaves behind.

Between the task that takes members out and the one that brings them back the host is being deployed to: were the balancer restarted or
reloaded then, or its file replaced, it would send its clients there.  The keeper looks whether the same process still runs with the same
configuration, and writes again what is lost.  Where that does not tell all, it looks at the members themselves, less often.  In a balancer
that tells all, it does not fight a person: what is changed by hand in the running balancer stays.

What is to hold is in a file beside the lock (see `_balancers/lock.py`), and changes only under that lock.  The keeper ends when
nothing is left in there, or when its time is over, whatever became of the rollout.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any, Iterable

from .._balancers.base import Balancer
from .._balancers.lock import file_of, only_writer, opened
from .._clock import Clock, Deadline
from .._domain.errors import DeployError
from .._domain.members import Change
from .._domain.shape import NUMBER, wrong

POLL = 0.2  # seconds
LOOK = 1.0  # seconds between two looks at the members themselves, at least
_MEMBER = {"state": (str, type(None)), "weight": (int, type(None)), "until": NUMBER}
_HELD = {"running": (list, type(None)), "members": {...: _MEMBER}, "reasserted": int}
GONE = 120.0  # seconds without an answer after which the balancer is not waited for any more


class Hold:
    """What is to hold on one pool of one balancer.  Every method but :meth:`keep` is called under the pool's lock."""

    def __init__(self, balancer: Balancer, pool: str, clock: Clock) -> None:
        self.balancer, self.pool, self.clock = balancer, pool, clock
        self.look = max(LOOK, balancer.pace.longest)
        self.what = balancer.lock_name()
        held = f"{self.what} {pool}"
        self.path, self.keeper_path = file_of(held, "hold"), file_of(held, "keeper")

    def add(self, changes: Iterable[Change], seconds: float, running: tuple[str, float]) -> None:
        """Hold `changes` for so long.

        :param running: which process they were written to.
        """
        held = self._read()
        held["running"] = held["running"] or running
        until = self.clock.now() + seconds
        for change in changes:
            held["members"][change.name] = {"state": change.state, "weight": change.weight, "until": until}
        self._write(held)

    def let_go(self, names: Iterable[str]) -> dict[str, Any]:
        """Hold these members no longer; what was held of them, to be held again or empty."""
        held = self._read()
        members = {name: held["members"].pop(name) for name in names if name in held["members"]}
        if not members:
            return {}
        self._write(held)
        return {**held, "members": members}

    def hold_again(self, released: dict[str, Any]) -> None:
        """Hold what :meth:`let_go` returned, until then and no longer."""
        held = self._read()
        held["running"] = held["running"] or released["running"]
        held["members"].update(released["members"])
        self._write(held)

    def keep(self) -> None:
        """Be the keeper, if there is none yet, until nothing is left to hold."""
        with _open(self.keeper_path) as keeper:
            try:
                fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            gone, look = Deadline(self.clock, GONE), Deadline(self.clock, self.look)
            while not self._ended(keeper, gone.passed):
                known, now = self._read()["running"], self._running()
                if now:
                    gone = Deadline(self.clock, GONE)
                looks = look.passed and not self.balancer.running_tells_all
                if now and (looks or (known and (now[0] != known[0] or now[1] < known[1]))):
                    self._write_again(now)
                    look = Deadline(self.clock, self.look)
                self.clock.sleep(POLL)

    def _ended(self, keeper: Any, gone: bool) -> bool:
        """Whether nothing is left to hold; then there is no keeper any more, and whoever adds something starts a new one."""
        if not gone and not self._over():
            return False
        with only_writer(self.what, self.clock):
            if not gone and not self._over():  # asked again: now nobody can add anything
                return False
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            fcntl.flock(keeper, fcntl.LOCK_UN)
        return True

    def identity(self) -> tuple[str, float]:
        """Return which process of the balancer answers, and for how many seconds it has run; always the same for one that forgets nothing.

        :raises DeployError: when it does not tell.
        """
        if self.balancer.capabilities.survives_reload and not self.balancer.running_tells_all:
            return "", 0.0
        return self.balancer.running()

    def _running(self) -> tuple[str, float] | None:
        try:
            return self.identity()
        except DeployError:  # it is down, or being started: look again
            return None

    def _write_again(self, running: tuple[str, float]) -> None:
        with contextlib.suppress(DeployError), only_writer(self.what, self.clock):
            held = self._read()
            # Asked again: this process may have been stopped since, and what it holds be somebody else's by now.
            now = self.clock.now()
            good = {name: about for name, about in held["members"].items() if now <= about["until"]}
            wanted = [Change(name, about["state"], about["weight"]) for name, about in good.items()]
            there = {member.name: member for member in self.balancer.members(self.pool)}
            lost = [change for change in wanted if change.name in there and change.alters(there[change.name])]
            if lost:
                self.balancer.apply(self.pool, lost)
                held["reasserted"] += 1
            held["running"] = running
            self._write(held)

    def _over(self) -> bool:
        now = self.clock.now()
        return all(now > about["until"] for about in self._read()["members"].values())

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError, RecursionError), _open(self.path) as file:
            held: dict[str, Any] = json.loads(file.read() or "null") or {}
            if not wrong(held, _HELD, "held"):
                return held
        return {"running": None, "members": {}, "reasserted": 0}

    def _write(self, held: dict[str, Any]) -> None:
        with _open(self.path) as file:
            file.seek(0)
            file.truncate()
            file.write(json.dumps(held))


def _open(path: str) -> Any:
    return os.fdopen(opened(path), "r+", encoding="utf-8")
