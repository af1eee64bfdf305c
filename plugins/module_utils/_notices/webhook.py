# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A URL that takes JSON: that of a Slack-compatible chat, or of a program of somebody's own."""

from __future__ import annotations

import json
from typing import Any, Mapping

from .._clock import Clock, Deadline
from .._domain.notices import check_template, document, filled, for_slack, values
from .letter import Letterbox
from .target import Notice, Target, Told

SLACK, JSON = "slack", "json"


class Webhook(Target):
    """One webhook.

    :param options: of the entry, see the module.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.kind, self.timeout, self._template = options["kind"], options["timeout"], options.get("text")
        if self._template:
            check_template(self._template)
        self._box = Letterbox("The webhook", options, {"Content-Type": "application/json"})
        self.where = self._box.where

    def tell(self, notice: Notice, clock: Clock, deadline: Deadline) -> Told:
        """See :class:`Target`."""
        return Told(tries=self._box.put("POST", "", json.dumps(self.body(notice)).encode(), clock, deadline))

    def body(self, notice: Notice) -> "dict[str, Any]":
        """What is sent."""
        escape = for_slack if self.kind == SLACK else None
        text = escape(notice.text) if escape else notice.text
        if self._template:
            text = filled(self._template, values(notice.event, notice.record, notice.text), escape)
        return {"text": text} if self.kind == SLACK else document(notice.event, notice.record, text, notice.labels)
