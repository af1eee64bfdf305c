# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two doors to a use case share: the module's process and the controller's.

A use case is a function ``run(params, check_mode, clock) -> dict``: validated options in, the task's result
out (``changed`` at the least), :class:`DeployError` for whatever a user can act on.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

from ansible.module_utils.basic import AnsibleModule

from ._clock import Clock
from ._domain.errors import DeployError

UNUSABLE = (
    "An option has a zero byte or half a character in it, which no path, program or host's name can have, so what it names was not "
    "opened. Look for a variable that was read from something binary or in another encoding."
)
UseCase = Callable[[Dict[str, Any], bool, Clock], Dict[str, Any]]


def outcome(use_case: UseCase, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Run `use_case` and return a task's result; an error of ours becomes a failed one."""
    try:
        return use_case(params, check_mode, Clock())
    except DeployError as error:
        # `changed` may be among the facts: what was done before the failure is still told.
        return {"changed": False, **error.facts, "failed": True, "msg": error.message}
    except ValueError as error:
        # Where it is in the way, the system says so first, before anything is opened or started; elsewhere such text does no harm.
        if "embedded null" not in str(error) and "surrogates not allowed" not in str(error):
            raise
        return {"changed": False, "failed": True, "msg": UNUSABLE}


def serve(module: AnsibleModule, use_case: UseCase) -> None:
    """The module's door: run `use_case` on the module's options and end the module."""
    if module.params.get("balancers"):
        from ._balancers.http_headers import readable  # for these modules alone

        module.no_log_values.difference_update(readable(module.params["balancers"]))
    result = outcome(use_case, module.params, module.check_mode)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)
