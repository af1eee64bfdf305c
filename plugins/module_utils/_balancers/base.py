# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every driver of a balancer can be asked, and what it declares about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._domain.counters import Counters, Served
from .._domain.errors import NotApplied, Refused
from .._domain.members import Change, Member
from .._domain.pools import OtherPool, Pace, Timing
from .declaration import Capabilities


class Balancer(ABC):
    """One running balancer.  Every method may raise a DeployError; none leaves a write unverified."""

    #: the word a user writes for `provider`
    provider: str
    #: whether its `timing` may tell a delay for members that leave
    delays_leaving = False
    #: whether `running` changes whenever the balancer loses what was written, so that members themselves need not be looked at
    running_tells_all = False
    #: whether a process that a task leaves behind may look at it every second, and write
    watchable = True
    #: how often it may be asked while something is waited for
    pace = Pace()
    #: where the count of requests in flight comes from, for the plan; empty where there is none
    in_flight_source: str = ""

    def __init__(self, name: str, endpoint: str, capabilities: Capabilities) -> None:
        """
        :param name: what a user calls it.
        :param endpoint: where it is; the same for every task that talks to it, whatever it calls it.
        :param capabilities: what it can do: as declared, or less where this one is configured so.
        """
        self.name, self.endpoint, self.capabilities = name, endpoint, capabilities
        #: the running balancer: the same for entries of its several files
        self.instance = endpoint

    def lock_name(self) -> str:
        """Return the name of the lock that keeps writers apart: the same in every task, under any name of the balancer.

        One for all pools: several of them may be in one file, and one reload is for all.
        """
        return f"{self.provider} {self.endpoint}"

    @abstractmethod
    def version(self) -> str:
        """The server's own version."""

    def heal(self, pool: str) -> None:
        """Finish what a writer that was killed has left half done.  Called under the pool's lock, before anything else is read."""
        return

    @abstractmethod
    def members(self, pool: str) -> list[Member]:
        """All members of `pool`, in the balancer's order.

        :raises InvalidInput: when there is no such pool.
        """

    def other_pools(self, pool: str) -> list[OtherPool]:
        """Other pools of this balancer through which requests reach servers of `pool`: by the same address, or by tracking one.

        :raises InvalidInput: when there is no such pool.
        """
        raise self._cannot("tell in which other pools a member's server is")

    def timing(self, pool: str) -> Timing:
        """How long this balancer takes, by its own configuration, to let a member of `pool` leave and return."""
        return Timing()

    def drains_first(self, pool: str) -> bool | None:
        """Whether to write `disabled` ends the requests that a member has under way, so that it is drained until it is idle first.

        None where that is not known.
        """
        return False

    def busy_sentence(self, pool: str, busy: dict[str, int | None]) -> str:
        """Words of this balancer's own about members that are still busy at the deadline; empty where there are none."""
        return ""

    @abstractmethod
    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        """Write `changes` as atomically as the balancer can, read the pool back and return it.

        :param distrust: in the same breath, hold these members to be down until checks that begin after this call have
            passed; `changes` drain them, or enable them where the check alone lets them in (`returns_by_check`).  The last
            result may be older than the process it speaks of, and clients that are bound to a drained member reach it as
            long as it counts as up.
        :raises Refused: when the balancer does not allow it.
        :raises NotApplied: when it accepted the write and did not do it.
        """

    def settle(self, pool: str, names: list[str]) -> None:
        """Told once these members, which are disabled, have nothing under way any more.

        For balancers that can keep requests from a member more surely then than while they still show what is under way.
        """
        return

    def cut(self, pool: str, names: list[str]) -> None:
        """End the requests that these members have under way."""
        raise self._cannot("end requests that are under way")

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        """Make a member, out of traffic; at `weight`, or at what the balancer gives by itself.

        :param address: ``host:port``.
        """
        raise self._cannot("add members")

    def remove(self, pool: str, names: list[str]) -> None:
        """Remove members that are out of traffic and have nothing under way."""
        raise self._cannot("remove members")

    def persist(self, pool: str, check_mode: bool = False) -> bool:
        """Let a restart bring the members back as they are now; whether anything had to be, or would be, written for that."""
        if self.capabilities.survives_reload:
            return False
        raise self._cannot("keep states and weights beyond a restart as it is configured here")

    def running(self) -> tuple[str, float]:
        """Which process answers, and for how many seconds it has run.  For balancers that forget when they are restarted."""
        raise self._cannot("tell since when it runs")

    def counters(self, pool: str) -> dict[str, Counters]:
        """What has been counted of each member, by name; nothing of a member that the balancer has no counters of at the moment."""
        raise self._cannot("count the requests of each member, and those that failed")

    def served(self, pool: str) -> Served | None:
        """What users got of the pool; None where this one does not count it as it is configured."""
        raise self._cannot("count what users got of a pool")

    def check_written(self, pool: str, changes: list[Change], members: list[Member], reasons: str) -> None:
        """Hold what was written against what was read back.

        :param reasons: what usually keeps this balancer from doing it, for the message.
        :raises NotApplied: naming the first member that is not as written.
        """
        now = {member.name: member for member in members}
        for change in changes:
            if change.name not in now or change.alters(now[change.name]):
                found = now[change.name].describe() if change.name in now else "gone"
                raise NotApplied(
                    f"Balancer {self.name}: {pool}/{change.name} was to be {change.describe()} and, read back, is {found}. {reasons}"
                )

    def _cannot(self, what: str) -> Refused:
        return Refused(f"Balancer {self.name}: provider {self.provider} cannot {what}.")
