# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of this collection's plays."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_hosts
short_description: The hosts of a play of this collection
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Used by the playbooks of this collection as C(hosts) of each play.
  - Lets the play read C(group_vars), C(host_vars) and C(roles), and have C(playbook_dir), as if it stood in the playbook that was named
    on the command line. For a playbook that was named as C(NAMESPACE.COLLECTION.PLAYBOOK), this is the directory in which Ansible was
    started.
options:
  _terms:
    description:
      - A pattern of hosts, or a list of such. Where it matches nobody, or C(--limit) leaves nobody of them, any host will do to say so.
    type: list
    elements: str
  planned:
    description: Names of hosts in the order of a plan, instead of a pattern. None is nobody.
    type: list
    elements: str
  ours:
    description: Whether the play is of the strategy that the playbook promote goes on with.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: See the result
  ansible.builtin.debug:
    msg: "{{ query('zero_downtime.deploy.rollout_hosts', 'shop') }}"
"""

RETURN = r"""
_list:
  description: A pattern of hosts.
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.inventory.manager import split_host_pattern
from ansible.plugins.lookup import LookupBase
from ansible.plugins.lookup.inventory_hostnames import LookupModule as InventoryHostnames

from ansible_collections.zero_downtime.deploy.plugins.filter.rollout import IMPORTED_FOR_WORKERS

IMPORTED = IMPORTED_FOR_WORKERS  # see there
COLLECTION = Path(__file__).resolve().parents[2]
NOBODY = "localhost:!localhost"
ANYBODY = "all:localhost"
PARTS = ("start_at_task", "step")


class LookupModule(LookupBase):
    """See above."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, planned: list[str] | None = None, ours: bool = True
    ) -> list[str]:
        """The hosts, as Ansible takes them.

        :raises AnsibleLookupError: an option of ``ansible-playbook`` would leave out tasks, this play's perhaps among them.
        """
        variables = variables or {}
        if not ours:
            return [NOBODY]
        self._loader.set_basedir(str(project()))
        if planned is not None:
            return list(planned) or [NOBODY]
        for option in PARTS:
            if context.CLIARGS.get(option):
                raise AnsibleLookupError(
                    f"--{option.replace('_', '-')} leaves out tasks of a rollout, and a rollout is whole or none. Nothing was contacted. "
                    "One that is unfinished is gone on with by the same command, without the option."
                )
        found = self._found_by([*filter(None, self._flatten(terms))], variables)
        limit = _patterns(str(variables.get("ansible_limit") or ""))
        if limit and not {*found} & {*self._found_by(limit, variables)}:
            return [ANYBODY]
        return found or [ANYBODY]

    def _found_by(self, patterns: list[str], variables: dict[str, Any]) -> list[str]:
        lookup = InventoryHostnames(loader=self._loader, templar=self._templar)
        return [str(name) for name in lookup.run(patterns, variables=variables)] if patterns else []


def _patterns(limit: str) -> list[str]:
    """The patterns of ``--limit``; ``@FILE`` names a file of them, which Ansible has read before."""
    patterns = []
    for part in split_host_pattern(limit):
        patterns += Path(part[1:]).read_text(encoding="utf-8").split("\n") if part.startswith("@") else [part]
    return [pattern for pattern in patterns if pattern]


def project() -> Path:
    """The directory of the playbook that was named on the command line, or, for one of a collection, the working directory."""
    for playbook in context.CLIARGS.get("args") or ():
        path = Path(playbook)
        if path.is_file() and COLLECTION not in path.resolve().parents:
            return path.resolve().parent
    return Path.cwd()
