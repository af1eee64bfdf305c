# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One attempt at a TCP port: does it take a connection?"""

from __future__ import annotations

from dataclasses import dataclass

from .._clock import Clock, Deadline
from .connecting import NoConnection, connect
from .observation import TCP, Observation


@dataclass(frozen=True)
class TcpProbe:
    """Connects to a port and hangs up."""

    host: str
    port: int

    def __call__(self, clock: Clock, timeout: float) -> Observation:
        """Make one attempt of at most `timeout` seconds."""
        deadline = Deadline(clock, timeout)
        try:
            connect(self.host, self.port, deadline).close()
        except NoConnection as none:
            return Observation(TCP, deadline.elapsed, failure=str(none))
        return Observation(TCP, deadline.elapsed)
