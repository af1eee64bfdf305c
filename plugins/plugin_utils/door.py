# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second door to a use case: the controller's own process.

A module costs about half a second to build, ship and start; the same use case called from an action plugin
costs a tenth.  An action plugin runs in the controller's process when the task runs there anyway (a local
connection, no privilege escalation, the controller's own Python) and ships the module otherwise.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import UseCase, outcome
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._options import validated
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.lease import by_its_clock, renewed


class UseCaseAction(ActionBase):
    """An action plugin that is nothing but a door.

    Subclasses name the module (``MODULE``), its ``ARGUMENT_SPEC`` and its use case (``USE_CASE``; a function, always
    read from the class, so that it is not bound).
    """

    _supports_check_mode = True
    _supports_async = False

    MODULE: str
    ARGUMENT_SPEC: dict[str, Any]
    # What AnsibleModule takes beside the options: mutually_exclusive, required_one_of, ...
    CONSTRAINTS: dict[str, Any] = {}
    USE_CASE: UseCase
    # Whether the result says when the task began and ended, by the controller's clock: what a rollout's course is told by.
    TIMED = False
    # Whether the option `lease` is renewed before the task begins, when less than half of it is left.
    RENEWS = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the use case here or ship the module; return the task's result."""
        began = time.time()
        result = super().run(tmp, task_vars)
        del tmp
        result.update(self.under_lease(task_vars or {}))
        if self.TIMED:
            result.update(began=round(began, 3), ended=round(time.time(), 3))
        return result

    def under_lease(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the task does, with a lease that is good for a while; the result has it when it was renewed."""
        given = self._task.args
        if not self.RENEWS or not given.get("lease"):
            return self.act(task_vars)
        try:
            lease = renewed(self, given, task_vars)
        except DeployError as error:
            return self.failure(error)
        if lease is None:
            return self.act(task_vars)
        try:
            self._task.args = {**given, "lease": lease}
            return {**self.act(task_vars), "lease": lease}
        finally:
            # The task's own arguments: a retry of the task starts from them.
            self._task.args = given

    def act(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the task does, once Ansible has found nothing against it."""
        if self.runs_here(self._task.args):
            return self.in_process(self._task.args)
        return self.shipped(self._task.args, task_vars)

    def shipped(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Send the module to the task's target; its result."""
        try:
            args = by_its_clock(self, args)
        except DeployError as error:
            return {"changed": False, **error.facts, "failed": True, "msg": error.message}
        return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)

    def failure(self, error: DeployError) -> dict[str, Any]:
        """The task's result when it failed before any module ran."""
        return {"changed": False, **error.facts, "failed": True, "msg": error.message}

    def runs_here(self, args: dict[str, Any]) -> bool:
        """Whether this process can do it: the task's target is the controller, and no other user is needed.

        `ansible_become` is often set for all hosts, and reaches the controller too.
        """
        if self._connection.transport != "local":
            return False
        return not self._connection.become or not self.needs_privilege(args)

    def needs_privilege(self, args: dict[str, Any]) -> bool:
        """Whether `become`, where it is asked for, makes a difference to this task."""
        return True

    def in_process(self, args: dict[str, Any]) -> dict[str, Any]:
        """Validate `args` as the module would and run the use case in this process."""
        params, wrong = self.validated(args)
        return wrong or outcome(type(self).USE_CASE, params, self._task.check_mode)

    def validated(self, args: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options as the module would see them, and a failed result when it would refuse them."""
        params, wrong = validated(self.ARGUMENT_SPEC, args, self.CONSTRAINTS)
        return params, {"failed": True, "changed": False, "msg": "; ".join(wrong)} if wrong else {}
