# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count the tasks of a run, and hold it before one of them until the campaign lets it go on.

``FAULTS_TRACE`` is the file to which each task's beginning is written, a JSON object a line; ``FAULTS_HOLD`` the number of the task
before which to hold; ``FAULTS_GO`` the file whose appearance ends the hold.
"""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: boundaries
type: notification
short_description: Hold a run between two tasks
description: Hold a run between two tasks.
"""


class CallbackModule(CallbackBase):
    """See above."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "boundaries"

    def __init__(self):
        super().__init__()
        self._count, self._play = 0, ""

    def v2_playbook_on_play_start(self, play):
        """Remember which play it is."""
        self._play = play.get_name()

    def v2_playbook_on_task_start(self, task, is_conditional):
        """A task is about to begin: nothing of it has happened yet."""
        self._boundary(task.get_name())

    def v2_playbook_on_handler_task_start(self, task):
        """A handler's task is one like any other."""
        self._boundary(task.get_name())

    def v2_playbook_on_stats(self, stats):
        """The last boundary of all: every task has ended, and the process has not."""
        self._boundary("the end")

    def _boundary(self, name):
        with open(os.environ["FAULTS_TRACE"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"number": self._count, "play": self._play, "task": name, "at": time.time()}) + "\n")
        held = self._count == int(os.environ.get("FAULTS_HOLD") or -1)
        self._count += 1
        while held and not os.path.exists(os.environ["FAULTS_GO"]):
            time.sleep(0.01)
