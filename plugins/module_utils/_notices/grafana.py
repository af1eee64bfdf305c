# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations in Grafana, by its HTTP API."""

from __future__ import annotations

import json
from typing import Any, Mapping

from .._clock import Clock, Deadline
from .._domain.notices import annotation
from .letter import Letterbox, authorization
from .target import Notice, Target, Told


class Grafana(Target):
    """One Grafana.

    :param options: of the entry, see the module.
    """

    kind = "grafana"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.timeout, self._dashboard = options["timeout"], options.get("dashboard_uid")
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            **authorization(options.get("token")),
        }
        self._box = Letterbox("Grafana", options, headers)
        self.where = self._box.where

    def tell(self, notice: Notice, clock: Clock, deadline: Deadline) -> Told:
        """See :class:`Target`."""
        said = annotation(notice.event, notice.record, notice.text, notice.labels, notice.now, self._dashboard)
        return Told(tries=self._box.put("POST", "/api/annotations", json.dumps(said).encode(), clock, deadline))
