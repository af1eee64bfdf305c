# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `gate`: the controller's door."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import pass_gates
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction


class ActionModule(UseCaseAction):
    """See the module's documentation."""

    MODULE = "zero_downtime.deploy.gate"
    ARGUMENT_SPEC = pass_gates.ARGUMENT_SPEC
    USE_CASE = pass_gates.run

    def validated(self, args: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """As the module would see them; what YAML made of dates without quotes is text again."""
        gates = args.get("gates")
        return super().validated({**args, "gates": pass_gates.as_text(gates)} if isinstance(gates, list) else args)

    def needs_privilege(self, args: dict[str, Any]) -> bool:
        """A clock and a URL ask nobody who they are."""
        return False
