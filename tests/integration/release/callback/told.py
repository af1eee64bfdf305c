# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write down each task's result, one JSON object a line, in the file that ``TOLD`` names."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: told
type: notification
short_description: Results as JSON lines
description: Results as JSON lines.
"""


class CallbackModule(CallbackBase):
    """See above."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "told"

    def _tell(self, result, **more):
        with open(os.environ["TOLD"], "a", encoding="utf-8") as file:
            json.dump([result._task.get_name(), {**result._result, **more}], file, default=str)
            file.write("\n")

    def v2_runner_on_ok(self, result):
        """A task did what it should."""
        self._tell(result)

    def v2_runner_on_skipped(self, result):
        """A task was not to be run."""
        self._tell(result, skipped=True)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """A task failed."""
        self._tell(result, failed=True)
