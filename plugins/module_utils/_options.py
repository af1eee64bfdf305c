# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options held against their specification, as a module does it, where there is no module: in the controller, or within an option."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError


def validated(
    spec: Mapping[str, Any], options: Mapping[str, Any], constraints: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The options with types and defaults, and what is wrong with them, in sentences; none when nothing is.

    :param constraints: as ``AnsibleModule`` takes them beside the specification.
    """
    try:
        result = ArgumentSpecValidator(spec, **(constraints or {})).validate(options)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        # Ansible's own, over a value of another kind than a nested specification asks for.
        return {}, ["an option has a value of another kind than is asked for (%s)" % error]
    said = list(result.error_messages)
    if result.unsupported_parameters and isinstance(result.errors[0], UnsupportedError):
        said[0] = "Unsupported parameters: %s" % said[0]
    return result.validated_parameters, said
