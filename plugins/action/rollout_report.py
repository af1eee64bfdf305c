# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `rollout_report`: all there is of it, for the controller has what a report needs."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report import write


class ActionModule(UseCaseAction):
    """See the module's documentation."""

    MODULE = "zero_downtime.deploy.rollout_report"
    ARGUMENT_SPEC = write.ARGUMENT_SPEC
    USE_CASE = write.run

    def runs_here(self, args: dict[str, Any]) -> bool:
        """Always: the report is the controller's, whatever host the task is for."""
        return True
