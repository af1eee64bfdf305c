# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `rollout_preflight`: all there is of it, for Ansible's own state is the controller's."""

from __future__ import annotations

from typing import Any, Mapping

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.lookup.inventory_hostnames import LookupModule as InventoryHostnames

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import preflight
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.waits import cut_short, waits
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils import variables

ARGUMENT_SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "accepted_variables": {"type": "list", "elements": "str", "default": []},
    "strategy": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """See the module's documentation."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at what Ansible itself was given; fail with all that is wrong."""
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(ARGUMENT_SPEC)
        run, skip = task_vars.get("ansible_run_tags") or [], task_vars.get("ansible_skip_tags") or []
        fate = preflight.tags(self._task.tags, run, skip)
        if fate == preflight.LEFT_OUT:
            return {**result, "changed": False, "selected": False, "msg": "This playbook is left out by --tags or --skip-tags."}
        problems = [] if fate == preflight.RUNS else [_of_tags(run, skip)]
        problems += self._of_the_inventory(options, task_vars)
        if problems:
            return {**result, "changed": False, "failed": True, "problems": problems, "msg": f"{' '.join(problems)} Nothing was contacted."}
        return {**result, "changed": False, "selected": True, "problems": []}

    def _of_the_inventory(self, options: dict[str, Any], task_vars: dict[str, Any]) -> list[str]:
        hosts, hostvars, kinds = options["hosts"], task_vars["hostvars"], variables.kinds()
        # Where there is none of the hosts, any host of the inventory has this task.
        rolled = [host for host in hosts if host in task_vars["ansible_play_hosts_all"]]
        set_for = {host: self._ours(hostvars, host) for host in rolled}
        names = {name for of_host in set_for.values() for name in of_host}
        first = {name: value for of_host in reversed([*set_for.values()]) for name, value in of_host.items()}
        values = {**{name: kind.default for name, kind in kinds.items()}, **first}
        left_none = f"--limit {task_vars.get('ansible_limit')} leaves none of the hosts that rollout_hosts matches ({', '.join(hosts)})."
        return [
            *preflight.controllers_name(str(hostvars["localhost"]["inventory_hostname"])),
            *[left_none] * bool(hosts and not rolled),
            *preflight.misread_names(hosts, task_vars["groups"], lambda name: self._found_by(name, task_vars)),
            *preflight.unknown_variables(names, kinds, options["accepted_variables"]),
            *preflight.misshapen(first, kinds),
            *preflight.differing(set_for),
            *preflight.missing_hosts(preflight.named_hosts(first), hostvars),
            *cut_short(int(C.TASK_TIMEOUT or 0), waits(values, options["strategy"])),
        ]

    def _found_by(self, pattern: str, task_vars: dict[str, Any]) -> list[str]:
        lookup = InventoryHostnames(loader=self._loader, templar=self._templar)
        return [str(name) for name in lookup.run([pattern], variables=task_vars)]

    def _ours(self, hostvars: Any, host: str) -> dict[str, Any]:
        """What is set for a host of variables with our prefixes."""
        raw: Mapping[str, Any] = hostvars.raw_get(host)
        ours = {name: value for name, value in raw.items() if name.startswith(preflight.PREFIXES)}
        return {name: value for name, value in ours.items() if not self._templar.is_template(value)} | self._templated(
            hostvars, host, [name for name, value in ours.items() if self._templar.is_template(value)]
        )

    @staticmethod
    def _templated(hostvars: Any, host: str, names: list[str]) -> dict[str, Any]:
        """The values of templates; not of one that makes sense only later, for a batch or a colour."""
        values, of_host = {}, hostvars[host] if names else {}
        for name in names:
            try:
                values[name] = of_host[name]
            except AnsibleError:
                continue
        return values


def _of_tags(run: list[str], skip: list[str]) -> str:
    given = [f"--tags {','.join(run)}"] * ([*run] != ["all"]) + [f"--skip-tags {','.join(skip)}"] * bool(skip)
    return (
        f"{' '.join(given)} would run a part of this playbook alone, and a rollout is whole or none. Run it without, or, among other "
        "plays, give its import a tag and name the tags of the others with --skip-tags."
    )
