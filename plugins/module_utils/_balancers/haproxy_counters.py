# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy counts of a server and of a backend, and what of it a client felt.  Pure.

https://docs.haproxy.org/2.8/management.html#9.1.  Measured on 2.6 and 2.8, by members that answer 500, close and reset the connection
before and amid an answer, hang, answer nonsense, and refuse.  Of a server:

* ``hrsp_5xx`` has the server's own answers alone; what HAProxy answers in its stead is counted for the backend;
* ``srv_abrt`` has answers that broke off, whatever their status, once each;
* who got no answer at all is in no counter of their own.  ``econ`` has refused connections, but not those that were dispatched
  anew; ``eresp`` has the rest, some once and some twice: 3 closed connections are 3 on 2.6 and 6 on 2.8;
* they are what is left of all attempts (``stot``) without those under way (``scur``) and those answered (``req_tot``).  Answers that
  are being sent are in both of the latter, and an early 1xx counts as one more answer, so this may be less than there were and never
  more.  The most of several looks is exact unless the server is sending at each of them;
* whatever is being sent, half of ``eresp`` beyond ``srv_abrt`` and all of ``econ`` are no less than that;
* a client that had used its connection before is told nothing when the server closes it: HAProxy closes, too, without a word.  Then
  ``srv_abrt`` has it as well, on 2.6 after a reset and on 2.8 always, so that it is counted twice.

Of a backend:

* ``stot`` has each request once, however often it was dispatched, ``hrsp_5xx`` what HAProxy itself answered as well, in the queue or
  without a server, and ``req_tot`` those that have ended with a status, whatever became of the answer;
* so ``stot`` without ``scur`` and ``req_tot`` are exactly those to whom nothing was said.  For a moment, a request that ends is in
  none of them: the least of several looks;
* who left while they waited is in ``cli_abrt`` and as a 4xx in ``hrsp_4xx`` with ``option abortonclose``; without it they wait on, as
  far as HAProxy knows, and are counted as what they would have got.

In TCP mode there are connections and no requests, and ``stot`` alone: nothing is told.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, Mapping, Sequence

from .._domain.counters import Served

COLUMNS = frozenset("stot scur req_tot hrsp_5xx srv_abrt cli_abrt econ eresp".split())
LOOKS = 4
NUMBER = re.compile(r"[0-9]{1,20}")
PAUSE = 0.003  # seconds between two looks
FORGETFUL = "some of the answers that break off"  # measured on 3.0; 2.6 and 2.8 have them all


def speaks_http(row: Mapping[str, Any]) -> bool:
    """Whether a row of the statistics is of a proxy in HTTP mode."""
    return row.get("mode") != "tcp"


def numbers(row: Mapping[str, Any]) -> Dict[str, int]:
    """The columns that are read here, of a row as numbers or text; what is left out, or no number, is 0."""
    return {column: int(row[column]) if NUMBER.fullmatch(str(row.get(column))) else 0 for column in COLUMNS}


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


def served(looks: Sequence[Mapping[str, int]], since: str) -> Served:
    """What users got; by rows of the same backend, each read a moment after the other."""
    last = looks[-1]
    unanswered = max(0, min(row["stot"] - row["scur"] - row["req_tot"] for row in looks))
    return Served(last["req_tot"] + unanswered, last["hrsp_5xx"], last["srv_abrt"], unanswered, last["cli_abrt"], since)


def forgets(version: str) -> bool:
    """Whether that version of HAProxy leaves out some of the answers that break off."""
    major = version.partition(".")[0]
    return not major.isdigit() or int(major) >= 3
