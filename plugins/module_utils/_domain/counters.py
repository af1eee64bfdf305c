# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What balancers count of each member, and of what users got.  Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Counters:
    """Requests that a member was given and those that it failed, since its balancer began to count.

    A failure is a 5xx answer, one that breaks off, and none at all.  A request that a retry saved elsewhere was failed all the same by
    the member that it was given to first.

    :param since: another one when the counting has begun anew.
    """

    requests: int
    errors: int
    since: str

    def as_dict(self) -> dict[str, Any]:
        """As a task's result shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Served:
    """What users got of a pool through one balancer since it began to count: each request once, however often it was tried.

    What a retry has saved is no failure here, and what the balancer itself turned away, since no member was free or left, is one.

    :param requests: that have ended.
    :param errors: answered with a status of 5xx, by a member or by the balancer in its stead.
    :param broken: whose answer broke off.
    :param unanswered: whose connection was closed without a word.  Some of them may be among `broken` as well: where a balancer's
        counters do not keep them apart, nobody can.
    :param left: whose client left before the answer was whole, which is the client's doing or that of who let it wait.
    :param since: another one when the counting has begun anew.
    """

    requests: int
    errors: int
    broken: int
    unanswered: int
    left: int
    since: str

    def as_dict(self) -> dict[str, Any]:
        """As a task's result shows it."""
        return asdict(self)
