# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `pool_member`: the controller's door."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import kept_state
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import set_members
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.balancers import BalancerAction

# Options that are the same when what was done is put back.
PASSED_ON = ("drain_timeout", "on_drain_timeout", "drain_wait", "accept_errors", "lease")


class ActionModule(BalancerAction):
    """See the module's documentation."""

    MODULE = "zero_downtime.deploy.pool_member"
    ARGUMENT_SPEC = set_members.ARGUMENT_SPEC
    CONSTRAINTS = set_members.CONSTRAINTS
    USE_CASE = set_members.run
    SUMMED = set_members.summed
    AT_A_PLACE = {"on_failure": "fail"}
    TIMED = True
    RENEWS = True

    def failure(self, error: DeployError) -> dict[str, Any]:
        """Failed, or reported, as the task wants it."""
        if self._task.args.get("on_failure") == "report":
            return set_members.problem(error)
        return super().failure(error)

    def put_back_args(self, result: dict[str, Any]) -> dict[str, Any] | None:
        """Back to the states and weights that the result names as those before."""
        if not result["changed"]:
            return None
        before = {
            balancer["name"]: {
                member["name"]: kept_state(member["before"])
                for member in balancer["members"]
            }
            for balancer in result["balancers"]
        }
        return {
            "members": self._task.args["members"],
            "state": "as_before",
            "before": before,
            "addresses": {
                member["name"]: member["before"]["address"]
                for balancer in result["balancers"]
                for member in balancer["members"]
                if member["after"]["state"] == "absent"
            },
            # What is put back was so a moment ago, and its host has not been touched since.
            "min_available": "0",
            "health": "none",
            # Members that had been let in may have work by now; it ends as the task itself would have let it end.
            **{key: self._task.args[key] for key in PASSED_ON if key in self._task.args},
        }
