# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `rollout_notice`: the controller's door."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import tell_rollout
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction


class ActionModule(UseCaseAction):
    """See the module's documentation."""

    MODULE = "zero_downtime.deploy.rollout_notice"
    ARGUMENT_SPEC = tell_rollout.ARGUMENT_SPEC
    USE_CASE = tell_rollout.run

    def needs_privilege(self, args: dict[str, Any]) -> bool:
        """A URL asks nobody who they are; a file does."""
        return bool(args.get("textfile"))
