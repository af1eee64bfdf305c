# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option `lease` on the controller: renewed where it is kept, and told to other hosts by their own clocks."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import fence
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Late, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import Fence, read

# The time of day in whole seconds, cut off, which is early and so on the safe side; and, where there is such a thing, the seconds since
# the boot. /proc/uptime is what the module reads there too: some containers have one of their own.
ASK_THE_TIME = "date +%s; cat /proc/uptime 2>/dev/null; true"
KEEPER = "zero_downtime.deploy.rollout"


def by_its_clock(action: ActionBase, args: dict[str, Any]) -> dict[str, Any]:
    """Arguments for a module that is about to be sent to a host, whose lease, if there is one, ends by that host's clock.

    :param action: with the connection to the host.
    :raises DeployError: the host does not tell the time, or the lease is over.
    """
    lease = args.get("lease")
    if not lease or action._task.check_mode or action._connection.transport == "local":
        return args
    answer = action._low_level_execute_command(ASK_THE_TIME, sudoable=False)
    there = reading(str(answer.get("stdout") or ""))
    if there is None:
        said = str(answer.get("stderr") or answer.get("stdout") or "nothing").strip()[:200]
        raise Unreachable(
            f"The host could not be asked for its time (`date +%s`), by which the lease ends there: it said {said}. Nothing was touched."
        )
    # This clock is read after the other one: whatever passed in between is lost, and not won.
    here = read(Clock())
    checked(lease, "Before anything was sent to the host")
    return {**args, "lease": fence.moved(lease, here, there)}


def reading(answer: str) -> fence.Reading | None:
    """What a host has answered to :data:`ASK_THE_TIME`; a banner of its shell may stand before."""
    lines = [line.split() for line in answer.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if len(line) == 1 and line[0].isdigit():
            try:
                return fence.Reading(float(line[0]), float(lines[index + 1][0]))
            except (IndexError, ValueError):
                return fence.Reading(float(line[0]))
    return None


def checked(lease: Any, where: str) -> None:
    """Pass while the lease is good.

    :raises DeployError: it is over, or no lease.
    """
    if not isinstance(lease, dict):
        raise InvalidInput(f"`lease` is a dictionary, as {KEEPER} returns it, not {type(lease).__name__}. Nothing was touched.")
    Fence(lease, Clock()).check(where)


def renewed(action: ActionBase, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any] | None:
    """The lease, renewed when less than half of it is left; None when there is nothing to renew.

    Whoever keeps it looks whether it is still the caller's: nobody gets back what another controller has taken.

    :raises DeployError: it is another controller's, or over and its keeper cannot be reached.
    """
    # Loaded by what needs it alone: each task pays for what it imports.
    from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.on_host import module_on_host

    lease = args.get("lease")
    if not lease or action._task.check_mode:
        return None
    if not isinstance(lease, dict):
        checked(lease, "")
    clock = Clock()
    asked = read(clock)
    if not fence.wanes(lease, asked):
        return None
    if not all(lease.get(key) for key in ("kept_by", "path", "service", "rollout", "fence", "ttl")):
        checked(lease, "Before anything was touched")
        return None
    record = {"action": "record", "id": lease["rollout"], **{key: lease[key] for key in ("path", "service", "fence", "ttl")}}
    try:
        result = module_on_host(action, str(lease["kept_by"]), task_vars, KEEPER, record)
    except (AnsibleError, OSError) as error:
        result = {"failed": True, "msg": str(error)}
    if not result.get("failed"):
        return fence.held({**lease, **result["lease"]}, asked)
    if result.get("holder"):
        raise Late(f"Nothing was touched. {result['msg']}", holder=result["holder"])
    rest = fence.left(lease, read(clock))
    if rest > 0:  # it is good for a while, and its keeper may be back by then
        return None
    raise Late(f"Nothing was touched. {fence.over(lease, rest)} It could not be renewed: {result.get('msg')} {fence.ADVICE}")
