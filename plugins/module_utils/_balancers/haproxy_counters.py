# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy counts of a server, and what of it a client felt.  Pure.

https://docs.haproxy.org/2.8/management.html#9.1.  Measured on 2.6 and 2.8, by members that answer 500, close and reset the connection
before and amid an answer, hang, answer nonsense, and refuse:

* ``hrsp_5xx`` has the server's own answers alone; what HAProxy answers in its stead is counted for the backend;
* ``srv_abrt`` has answers that broke off, whatever their status, once each;
* who got no answer at all is in no counter of their own.  ``econ`` has refused connections, but not those that were dispatched
  anew; ``eresp`` has the rest, some once and some twice: 3 closed connections are 3 on 2.6 and 6 on 2.8;
* they are what is left of all attempts (``stot``) without those under way (``scur``) and those answered (``req_tot``).  Answers that
  are being sent are in both of the latter, and an early 1xx counts as one more answer, so this may be less than there were and never
  more.  The most of several looks is exact unless the server is sending at each of them;
* whatever is being sent, half of ``eresp`` beyond ``srv_abrt`` and all of ``econ`` are no less than that.
"""

from __future__ import annotations

from typing import Iterable, Mapping

COLUMNS = frozenset("stot scur req_tot hrsp_5xx srv_abrt econ eresp".split())
LOOKS = 4
PAUSE = 0.003  # seconds between two looks


def requests(row: Mapping[str, int]) -> int:
    """Attempts that were made at a server, retries included."""
    return row["stot"]


def errors(looks: Iterable[Mapping[str, int]]) -> int:
    """Attempts that failed; by rows of the same server, each read a moment after the other."""
    return max(
        row["hrsp_5xx"]
        + row["srv_abrt"]
        + max(row["stot"] - row["scur"] - row["req_tot"], row["econ"] + (row["eresp"] - row["srv_abrt"] + 1) // 2)
        for row in looks
    )
