# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer in memory and a clock that moves by sleeping alone: what the use cases of pools are tested with."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.base import Balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.guard import after
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member


class FakeClock(Clock):
    """Starts at zero."""

    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time

    def now(self):
        return 1795255200.0 + self.time

    def running(self):
        return 5000.0 + self.time

    def sleep(self, seconds):
        self.time += seconds


CAN_ALL = Capabilities(
    sticky_drain=True,
    in_flight=True,
    weight_range=(0, 256),
    health_readback=True,
    fresh_health=True,
    cut=True,
    survives_reload=True,
    membership=True,
)


class FakeBalancer(Balancer):
    """Members in a list.

    `wrote` has every write with its time; `before_apply` and `before_read` are called with the balancer, to let things
    happen in between or to raise; `heals` are the seconds after which a distrusted member's check passes, by name, None for
    never (1 for who is not named).
    """

    provider = "fake"

    def __init__(self, name="lb", clock=None, members=("m1", "m2", "m3", "m4")):
        super().__init__(name, f"/fake/{name}", CAN_ALL)
        self.clock = clock or FakeClock()
        self.pool = [Member(each, "192.0.2.1:80", "enabled", 100, "up", 0) for each in members]
        self.wrote = []
        self.reads = 0
        self.cuts = []
        self.settled = []
        self.heals = {}
        self.distrusted = {}
        self.busy_until = {}
        self.before_apply = self.before_read = lambda balancer: None

    def version(self):
        return "99.0"

    def set(self, name, **facts):
        """Make a member something, behind everybody's back."""
        self.pool = [replace(member, **facts) if member.name == name else member for member in self.pool]

    def __getitem__(self, name):
        return {member.name: member for member in self.pool}[name]

    def members(self, pool):
        self.reads += 1
        self.before_read(self)
        for name, since in list(self.distrusted.items()):
            needs = self.heals.get(name, 1.0)
            if needs is not None and self.clock.time >= since + needs:
                del self.distrusted[name]
                self.set(name, health="up")
        for name, end in self.busy_until.items():
            self.set(name, in_flight=0 if self.clock.time >= end else 3)
        return list(self.pool)

    def apply(self, pool, changes, distrust=False):
        self.before_apply(self)
        self.wrote.append((self.clock.time, [(change.name, change.state, change.weight) for change in changes]))
        self.pool = after(self.pool, changes)
        for change in changes:
            if distrust:
                self.distrusted[change.name] = self.clock.time
                self.set(change.name, health="down")
            elif change.state == "disabled":
                self.set(change.name, health="unknown")
            elif change.state == "enabled" and change.name not in self.distrusted:
                self.set(change.name, health="up")
        return self.members(pool)  # read back, as real ones do

    def add(self, pool, name, address, weight=None):
        self.pool.append(Member(name, address, "disabled", 100 if weight is None else weight, "unknown", 0))

    def remove(self, pool, names):
        self.pool = [member for member in self.pool if member.name not in names]

    def settle(self, pool, names):
        self.settled.append((self.clock.time, names))

    def cut(self, pool, names):
        self.cuts.append((self.clock.time, names))
        for name in names:
            self.busy_until[name] = self.clock.time
