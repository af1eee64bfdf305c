# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus's Pushgateway.

https://github.com/prometheus/pushgateway#api: what is pushed stays in a group of ``job``, ``service`` and the user's own labels.
``POST`` takes the place of metrics of the same names there, ``PUT`` of the whole group.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Mapping

from .._clock import Clock, Deadline
from .._domain.exposition import render
from .letter import Letterbox
from .target import Notice, Target, Told

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Pushgateway(Target):
    """One Pushgateway.

    :param options: of the entry, see the module.
    """

    kind = "pushgateway"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.timeout = options["timeout"]
        self._job = str(options["job"])
        self._box = Letterbox("The Pushgateway", options, {"Content-Type": CONTENT_TYPE})
        self.where = self._box.where

    def tell(self, notice: Notice, clock: Clock, deadline: Deadline) -> Told:
        """See :class:`Target`."""
        group = {"job": self._job, "service": notice.service, **notice.labels}
        path = "/metrics" + "".join(grouping(name, value) for name, value in group.items())
        body = render(notice.families).encode("utf-8", "replace")
        return Told(tries=self._box.put("PUT" if notice.whole else "POST", path, body, clock, deadline))


def grouping(name: str, value: str) -> str:
    """One label of a group's path; a value that cannot stand in a path, or is empty, is told in base64."""
    if re.match(r"[A-Za-z0-9_.-]+\Z", value) and value not in (".", ".."):
        return "/%s/%s" % (name, value)
    return "/%s@base64/%s" % (name, base64.urlsafe_b64encode(value.encode("utf-8", "replace")).decode() or "=")
