# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of ``traffic_probe``: a prober on the controller ends with the playbook run that started it."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._processes import look, main_process
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import probe_traffic
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction


class ActionModule(UseCaseAction):
    """The door to :mod:`probe_traffic` in the controller's own process."""

    MODULE = "zero_downtime.deploy.traffic_probe"
    ARGUMENT_SPEC = probe_traffic.ARGUMENT_SPEC
    CONSTRAINTS = probe_traffic.CONSTRAINTS
    USE_CASE = probe_traffic.run

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the use case; say whose the prober is where that is a process of the same system."""
        given = self._task.args
        starts = given.get("state", "started") == "started" and given.get("owner_pid") is None
        # A module that is shipped to the controller, for another user, still sees its processes.
        if starts and self._connection.transport == "local":
            pid = main_process()
            self._task.args = {**given, "owner_pid": pid, "owner_started": look(pid)[1]}
        try:
            return super().run(tmp, task_vars)
        finally:
            # The task's own arguments: a retry of the task starts from them.
            self._task.args = given
