# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write down what each task did, one JSON object a line, in a file for each run below the directory ``TOLD``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

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

    def v2_playbook_on_start(self, playbook):
        """A file of its own for each run, in the order of their beginnings."""
        name = Path(playbook._file_name).stem
        self._file = Path(os.environ["TOLD"]) / f"{time.time():.3f}-{name}.jsonl"

    def v2_runner_on_ok(self, result):
        """A task did what it should."""
        self._tell(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """A task failed."""
        self._tell(result, failed=True)

    def _tell(self, result, failed=False):
        told = {
            "at": round(time.time(), 3),
            "task": result._task.get_name(),
            "host": result._host.get_name(),
            "changed": bool(result._result.get("changed")),
            "failed": failed,
            "diff": result._result.get("diff"),
            "msg": result._result.get("msg"),
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told, default=str) + "\n")
