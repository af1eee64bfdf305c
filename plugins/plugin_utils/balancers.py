# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's door for what talks to balancers, wherever each of them can be reached from."""

from __future__ import annotations

from typing import Any, Callable

from ansible import constants as C
from ansible import context

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.health_endpoint import HealthEndpoint
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import by_pool
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError, InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.together import all_or_none
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.on_host import module_on_host, side_by_side

# Of a failed module's result, what Ansible put there or what is told anew.
NOT_FACTS = frozenset(
    "failed msg module_stderr module_stdout rc invocation exception warnings deprecations ansible_facts".split()
)
# Options of balancers that are reached on the machine itself.
OF_THIS_MACHINE = ("socket", "file", "read")
HERE = ""  # the place of balancers that are talked to from where the task runs
SWITCH = "zero_downtime.deploy.member_switch"


class BalancerAction(UseCaseAction):
    """Runs a use case for balancers on several hosts as one operation.

    Balancers that share a host are one call, so that the module there can treat them as one; the hosts are visited
    side by side; when one of them fails, the others are put back.
    """

    # Options that are the whole operation's, and have another value at each place.
    AT_A_PLACE: dict[str, Any] = {}
    # Makes one result out of the balancers' own.
    SUMMED: Callable[[list[dict[str, Any]]], dict[str, Any]]

    def act(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run the use case at each place; return the task's result."""
        params, wrong = self.validated(self._task.args)
        if wrong:
            return wrong
        try:
            entries = by_pool(params["balancers"], params.get("pool"))
            places = group_by_place(entries)
            if list(places) == [HERE] and not any(entry["provider"] == HealthEndpoint.provider for entry in entries):
                return super().act(task_vars)
            outcomes = [self._as_outcome(result) for result in self.everywhere(places, task_vars)]
            results = all_or_none(
                [place or "of the task's own host" for place in places],
                outcomes,
                self._putting_back(places, outcomes, task_vars),
            )
        except DeployError as error:
            return self.failure(error)
        by_name = {balancer["name"]: balancer for result in results for balancer in result["balancers"]}
        for entry in entries:
            if entry.get("host") and "endpoint" in by_name[entry["name"]]:
                by_name[entry["name"]]["endpoint"] = f"{entry['host']} {by_name[entry['name']]['endpoint']}"
        return type(self).SUMMED([by_name[entry["name"]] for entry in entries])

    def put_back_args(self, result: dict[str, Any]) -> dict[str, Any] | None:
        """Arguments that undo the task where it returned `result`; None where it wrote nothing."""
        return None

    def needs_privilege(self, args: dict[str, Any]) -> bool:
        """A socket's or file's mode may keep out who runs Ansible, and a program need it; an address asks nobody who they are."""
        return any(entry.get(option) for entry in args["balancers"] for option in OF_THIS_MACHINE)

    def everywhere(
        self, places: dict[str, list[dict[str, Any]]], task_vars: dict[str, Any], **more: Any
    ) -> list[dict[str, Any]]:
        """What the use case returns at each place, failed or not.

        :param more: options that have another value than the task's.
        """
        args = {**self._task.args, **self.AT_A_PLACE, **more}
        return side_by_side(
            [
                lambda place=place, entries=entries: self.at(place, {**args, "balancers": entries}, task_vars)
                for place, entries in places.items()
            ]
        )

    def at(self, place: str, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the use case returns at one place.

        :param args: all of them; `balancers` are those of the place.
        """
        switched = args["balancers"][0]["provider"] == HealthEndpoint.provider
        if switched:
            return self._by_switches(args, task_vars)
        if place != HERE:
            return module_on_host(self, place, task_vars, self.MODULE, args)
        if self.runs_here(args):
            return self.in_process(args)
        return self.shipped(args, task_vars)

    def _by_switches(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """In this process, which alone knows the connections to the members' hosts."""

        # The host may be reached long after this process has looked whether the lease is good.
        lease = {"lease": args["lease"]} if args.get("lease") else {}

        def reach(requests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
            jobs = [
                lambda host=host, request=request: module_on_host(
                    self, host, task_vars, SWITCH, {**lease, **{key: value for key, value in request.items() if value is not None}}
                )
                for host, request in requests.items()
            ]
            # A pool may have as many members as the inventory has hosts: no more of them at once than of any task.
            return dict(zip(requests, side_by_side(jobs, context.CLIARGS.get("forks") or C.DEFAULT_FORKS)))

        HealthEndpoint.reach = staticmethod(reach)
        return self.in_process(args)

    def _putting_back(
        self, places: dict[str, list[dict[str, Any]]], outcomes: list[dict[str, Any] | DeployError], task_vars: dict[str, Any]
    ) -> Callable[[int], None]:
        def put_back(index: int) -> None:
            place = list(places)[index]
            args = self.put_back_args(outcomes[index])
            if args is None or self._task.check_mode:
                return
            result = self.at(place, {**args, "balancers": places[place]}, task_vars)
            if result.get("failed"):
                raise DeployError(str(result.get("msg")))

        return put_back

    @staticmethod
    def _as_outcome(result: dict[str, Any]) -> dict[str, Any] | DeployError:
        if not result.get("failed"):
            return result
        said = [str(result[key]).strip() for key in ("msg", "module_stderr") if result.get(key)]
        facts = {key: value for key, value in result.items() if key not in NOT_FACTS and not key.startswith("_ansible_")}
        return DeployError(" ".join(said) or "No reason was given.", **facts)


def group_by_place(entries: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Balancers by the host they are reached from, each entry as that host is to be given it.

    :param entries: of :func:`.registry.by_pool`.
    """
    places: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        there = {key: value for key, value in entry.items() if value is not None and key != "host"}
        place = entry.get("host") or HERE
        if entry["provider"] == HealthEndpoint.provider:
            if place != HERE:
                raise InvalidInput(
                    f"Balancer {there['name']}: provider {HealthEndpoint.provider} acts on the members' hosts, so it has no `host`. "
                    "Nothing was touched."
                )
            place = there["name"]  # a process of its own: it starts more for the members' hosts
        places.setdefault(place, []).append(there)
    return places
