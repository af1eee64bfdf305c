# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `traffic_split`: the controller's door."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import split_traffic
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.balancers import BalancerAction

# Options that are the same when what was done is put back.
PASSED_ON = ("accept_errors", "lease")


class ActionModule(BalancerAction):
    """See the module's documentation.

    Balancers of several hosts are made ready first, all of them, and switch then: a check takes longer here than there, and
    meanwhile one would send its clients to the new members and the other to the old ones.
    """

    MODULE = "zero_downtime.deploy.traffic_split"
    ARGUMENT_SPEC = split_traffic.ARGUMENT_SPEC
    CONSTRAINTS = split_traffic.CONSTRAINTS
    USE_CASE = split_traffic.run
    SUMMED = split_traffic.summed
    AT_A_PLACE = {"on_failure": "fail"}
    TIMED = True
    RENEWS = True

    _seconds: float | None = None

    def act(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Split at each place; return the task's result."""
        result = super().act(task_vars)
        if self._seconds is not None and not result.get("failed") and not result.get("problem"):
            result["seconds"] = self._seconds
        return result

    def failure(self, error: DeployError) -> dict[str, Any]:
        """Failed, or reported, as the task wants it."""
        if self._task.args.get("on_failure") == "report":
            return split_traffic.problem(error)
        return super().failure(error)

    def everywhere(
        self, places: dict[str, list[dict[str, Any]]], task_vars: dict[str, Any], **more: Any
    ) -> list[dict[str, Any]]:
        """Make all of them ready, then let all of them switch."""
        params, _wrong = self.validated(self._task.args)
        started = time.monotonic()
        if len(places) == 1 or self._task.check_mode or params["prepare"] or params["prepared"]:
            results = super().everywhere(places, task_vars)
            self._seconds = None if self._task.check_mode or params["prepare"] else round(time.monotonic() - started, 3)
            return results
        ready = super().everywhere(places, task_vars, prepare=True)
        if any(result.get("failed") for result in ready):
            return ready
        decided = time.monotonic()
        switched = super().everywhere(places, task_vars, health="none" if params["health"] == "none" else "current")
        self._seconds = round(time.monotonic() - decided, 3)
        return [
            self._unready(place, entries, before, after, task_vars) if after.get("failed") else both(before, after)
            for (place, entries), before, after in zip(places.items(), ready, switched)
        ]

    def put_back_args(self, result: dict[str, Any]) -> dict[str, Any] | None:
        """Back to the states and weights that the result names as those before."""
        if not result["changed"]:
            return None
        return {
            "before": result["before"],
            # What is put back was so a moment ago, and its host has not been touched since.
            "min_available": "0",
            "health": "none",
            **{key: self._task.args[key] for key in PASSED_ON if key in self._task.args},
        }

    def _unready(
        self,
        place: str,
        entries: list[dict[str, Any]],
        ready: dict[str, Any],
        failed: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> dict[str, Any]:
        """A place that did not switch is as it was when it was ready; bring it back to what it was before that."""
        args = self.put_back_args(ready)
        if args is None:
            return failed
        undone = self.at(place, {**args, "balancers": entries}, task_vars)
        if not undone.get("failed"):
            return failed
        names = ", ".join(str(entry["name"]) for entry in entries)
        said = f"What had been made ready on {names} could NOT be put back: {undone.get('msg')}"
        return {**failed, "changed": True, "msg": f"{failed.get('msg')} {said}"}


def both(ready: dict[str, Any], switched: dict[str, Any]) -> dict[str, Any]:
    """One result out of those of the two steps."""
    earlier = {balancer["name"]: balancer for balancer in ready["balancers"]}
    balancers = []
    for balancer in switched["balancers"]:
        was = {member["name"]: member for member in earlier[balancer["name"]]["members"]}
        members = [
            {
                **member,
                "before": was[member["name"]]["before"],
                "waited": {**was[member["name"]]["waited"], **member["waited"]},
            }
            for member in balancer["members"]
        ]
        balancers.append(
            {
                **balancer,
                "changed": balancer["changed"] or earlier[balancer["name"]]["changed"],
                "reasserted": balancer["reasserted"] + earlier[balancer["name"]]["reasserted"],
                "members": members,
            }
        )
    return split_traffic.summed(balancers)
