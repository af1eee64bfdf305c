# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether plain data is of the shape that its reader relies on, and where it is not.  Pure.

A shape is a type or several; words of which one must stand there; a dictionary of shapes by key, with ``...`` for every key; or a
list of one shape, for a list of such things.
"""

from __future__ import annotations

from typing import Any

NUMBER = (int, float)
TIME, MAYBE_TIME = "a time", "a time or null"
_LATEST = 253402300800  # the year 10000, from which on calendars give up


def wrong(value: Any, shape: Any, where: str) -> str:
    """What is wrong with `value`, in words; empty when nothing is."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} is {_kind(value)}, not a dictionary"
        if ... in shape:
            shape = dict.fromkeys(value, shape[...])
        for key, inner in shape.items():
            problem = wrong(value[key], inner, f"{where}.{key}") if key in value else f"{where} has no {key!r}"
            if problem:
                return problem
        return ""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is {_kind(value)}, not a list"
        for index, item in enumerate(value):
            problem = wrong(item, shape[0], f"{where}[{index}]")
            if problem:
                return problem
        return ""
    if shape in (TIME, MAYBE_TIME):
        if value is None and shape == MAYBE_TIME:
            return ""
        known = isinstance(value, NUMBER) and not isinstance(value, bool) and 0 <= value < _LATEST
        return "" if known else f"{where} is {value!r}, not {shape} in seconds since 1970"
    types = shape if isinstance(shape, tuple) else (shape,)
    if isinstance(types[0], str):
        return "" if value in types else f"{where} is {value!r}, not one of {', '.join(types)}"
    # A truth value would pass for a number.
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if fits and isinstance(value, float) and not abs(value) < 1e15:
        return f"{where} is {value!r}, which is no number to draw"
    return "" if fits else f"{where} is {_kind(value)}, not {' or '.join(_NAMES[each] for each in types)}"


_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a dictionary",
    list: "a list",
    type(None): "null",
}


def _kind(value: Any) -> str:
    for kind in (bool, int, float, str, dict, list, type(None)):
        if isinstance(value, kind):
            return _NAMES[kind]
    return type(value).__name__
