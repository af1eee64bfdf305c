# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to :mod:`analyse_canary` in the controller's own process, where the balancers' hosts can be reached."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import outcome
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import analyse_canary
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction

POOL_INFO = "zero_downtime.deploy.pool_info"


class ActionModule(UseCaseAction):
    """Action plugin of the module of the same name."""

    MODULE = "zero_downtime.deploy.canary_analysis"
    ARGUMENT_SPEC = analyse_canary.ARGUMENT_SPEC
    TIMED = True
    USE_CASE = analyse_canary.run

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Remember the variables, by which other hosts are reached."""
        self._task_vars = task_vars or {}
        return super().run(tmp, task_vars)

    def needs_privilege(self, args: dict[str, Any]) -> bool:
        """Commands and files care who asks; the balancers are read by `pool_info`, which sees to it itself."""
        sources = [metric.get("source") for metric in args.get("metrics") or [] if isinstance(metric, dict)]
        return any(isinstance(source, dict) and (source.get("command") or source.get("file")) for source in sources)

    def in_process(self, args: dict[str, Any]) -> dict[str, Any]:
        """Validate `args` as the module would, and analyse here."""
        params, wrong = self.validated(args)

        def use_case(options: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
            return analyse_canary.analyse(options, clock, lambda counters: self._read_pool(args, counters))

        return wrong or outcome(use_case, params, self._task.check_mode)

    def _read_pool(self, args: dict[str, Any], counters: bool) -> list[dict[str, Any]]:
        """The pool, read by the door of `pool_info`, which knows how each balancer is reached."""
        task = self._task.copy()
        task.args = {"balancers": args["balancers"], "pool": args.get("pool"), "counters": counters}
        door = self._shared_loader_obj.action_loader.get(
            POOL_INFO,
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result = door.run(task_vars=self._task_vars)
        if result.get("failed"):
            raise Unreachable(str(result.get("msg") or "The balancers could not be read, and no reason was given."))
        balancers: list[dict[str, Any]] = result["balancers"]
        return balancers
