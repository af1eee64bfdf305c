# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small part of JSONPath that names one value: ``$.version``, ``$.nodes[0].state``, ``$['a key']``.

Wildcards, filters and ``..`` are left out on purpose: they name many values, and a check wants one.
"""

from __future__ import annotations

import re
from typing import Any, Tuple, Union

Steps = Tuple[Union[str, int], ...]

_STEP = re.compile(r"""\.([^.\[\]'"*\s]+)|\[(-?\d+)\]|\['([^']+)'\]|\["([^"]+)"\]""")


def parse(path: str) -> Steps:
    """Turn a path into its steps: a string is a key, an integer an index (negative: from the end).

    :raises ValueError: the text is no such path; the message says where it stops to be one.
    """
    if not path.startswith("$"):
        raise ValueError("a JSON path begins with '$', as in $.version or $.nodes[0].state; found '%s'" % path)
    steps = []
    position = 1
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise ValueError(
                "'%s' is no JSON path from '%s' on; known are .name, ['name'] and [0], as in $.nodes[0].state"
                % (path, path[position:])
            )
        plain, index, quoted, double_quoted = step.groups()
        steps.append(int(index) if index is not None else plain or quoted or double_quoted)
        position = step.end()
    return tuple(steps)


def find(document: Any, steps: Steps) -> tuple[bool, Any]:
    """Follow `steps` into `document`; return whether they lead anywhere, and the value there."""
    value = document
    for step in steps:
        if isinstance(step, str) and isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return False, None
    return True, value
