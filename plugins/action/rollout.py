# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of ``rollout``: says who asks, and proves a dead owner dead where it can.

Only the controller knows its own processes.  When the lease is held by a run of this very controller whose
process is provably gone, waiting for the expiry would help nobody: the lease is taken at once.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.fence import held
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.owner import proof_of_death
from ansible_collections.zero_downtime.deploy.plugins.module_utils._processes import first_line, look, main_process
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import keep_journal
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import read
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction


class ActionModule(UseCaseAction):
    """The door to the lease and journal of a service."""

    MODULE = "zero_downtime.deploy.rollout"
    ARGUMENT_SPEC = keep_journal.ARGUMENT_SPEC
    CONSTRAINTS = keep_journal.CONSTRAINTS
    USE_CASE = keep_journal.run

    def needs_privilege(self, args: dict[str, Any]) -> bool:
        """Files care who writes them; etcd asks for a user of its own, though a key may be readable for root alone."""
        etcd = args.get("etcd")
        return not etcd or (isinstance(etcd, dict) and bool(etcd.get("client_key") or etcd.get("client_cert")))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the use case as this controller's run; once more when it is refused in favour of a dead one."""
        asked = read(Clock())
        result = self._asked(task_vars or {}, tmp)
        lease = result.get("lease")
        if not result.get("failed") and self._task.args.get("action") in ("begin", "record") and lease and lease.get("ttl"):
            result["lease"] = held(lease, asked)
            # By this other tasks renew it. What etcd is reached with may be secret, and a result is no place for that.
            if not self._task.args.get("etcd"):
                kept_by = self._task.delegate_to or (task_vars or {})["inventory_hostname"]
                result["lease"].update(kept_by=kept_by, path=self._path())
        return result

    def _path(self) -> str:
        return str(self._task.args.get("path") or self.ARGUMENT_SPEC["path"]["default"])

    def _asked(self, task_vars: dict[str, Any], tmp: str | None) -> dict[str, Any]:
        given = self._task.args
        owner = given.get("owner") or {}
        if given.get("action") == "read":
            return self._told(super().run(tmp, task_vars), this_run(task_vars))
        if given.get("action") not in ("begin", "approve") or not isinstance(owner, dict):
            return super().run(tmp, task_vars)
        here = this_run(task_vars)
        try:
            self._task.args = {**given, "owner": {**here, **owner}}
            result = super().run(tmp, task_vars)
            holder = result.get("holder")
            if given["action"] == "approve" or not result.get("failed") or not holder or not holder.get("owner"):
                return result
            proof = proof_of_death(holder["owner"], here, look)
            if proof is None:
                return result
            self._task.args = {**self._task.args, "dead_fence": holder["fence"]}
            result = super().run(tmp, task_vars)
            if result.get("taken_over_from"):
                result["taken_over_from"]["proof"] = proof
            return result
        finally:
            # The task's own arguments: a retry of the task starts from them.
            self._task.args = given

    @staticmethod
    def _told(result: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
        """What was read, and whether the lease was left behind by a run of this controller."""
        lease = result.get("lease")
        if lease and lease["held"]:
            lease["proof"] = proof_of_death(lease["owner"], here, look)
        return result


def this_run(task_vars: dict[str, Any]) -> dict[str, Any]:
    """The owner that this run of Ansible is; what cannot be found out is None."""
    pid = main_process()
    return {
        "name": person(task_vars),
        "controller": socket.gethostname(),
        "pid": pid,
        "process_started": look(pid)[1],
        "boot_id": first_line("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": pid_namespace(),
        "machine": machine(),
    }


def person(task_vars: dict[str, Any]) -> str:
    """The AWX job, else the user."""
    for name in ("awx_job_id", "tower_job_id"):
        if task_vars.get(name):
            return f"AWX job {task_vars[name]}"
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"user {os.getuid()}"


def pid_namespace() -> str | None:
    """Which set of process ids this process counts in."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def machine() -> str | None:
    """A hash of the system's machine id, which itself is to be kept private."""
    known = first_line("/etc/machine-id")
    if not known or known == "uninitialized":
        return None
    return hashlib.sha256(f"zero_downtime.deploy:{known}".encode()).hexdigest()[:32]
