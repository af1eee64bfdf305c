# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What balancers count of each member.  Pure."""

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
