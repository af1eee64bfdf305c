# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to :mod:`check_health` in the controller's own process."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import check_health
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction


class ActionModule(UseCaseAction):
    """Action plugin of the module of the same name."""

    MODULE = "zero_downtime.deploy.health_check"
    ARGUMENT_SPEC = check_health.ARGUMENT_SPEC
    USE_CASE = check_health.run
    TIMED = True

    def needs_privilege(self, args: dict[str, Any]) -> bool:
        """Only a command cares who runs it."""
        return any("command" in target for target in args.get("targets") or [] if isinstance(target, dict))
