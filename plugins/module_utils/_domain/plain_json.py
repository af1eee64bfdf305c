# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON from outside, as the standard has it (https://www.rfc-editor.org/rfc/rfc8259) and no more.  Pure.

Python's own reader takes ``NaN``, ``1e999``, half a surrogate and thousands of brackets, and the first who makes a whole number of
it, writes it to a file or copies it ends in an error that nobody has thought of.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

DEEPEST = 200  # brackets within brackets: what is deeper was written to break who reads it
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def loads(text: str) -> Any:
    """The value that `text` is.

    :raises ValueError: it is no JSON, or has in it what no other program need understand: a number that is none or beyond all
        floats, half a surrogate, more than :data:`DEEPEST` brackets within each other.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    if _may_be_deep(text):
        _check_depth(value)
    if _ESCAPED_SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # the error is a ValueError
    return value


def _may_be_deep(text: str) -> bool:
    """Whether brackets are left when the innermost ones have been taken away often enough; those in strings count too.

    Of half a megabyte this takes 1 ms, and a walk through all of it 20.
    """
    brackets = text.encode("utf-8", "replace").translate(None, _ALL_BUT_BRACKETS)
    for _depth in range(DEEPEST):
        if not brackets:
            return False
        before = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(brackets) == before:
            break
    return bool(brackets)


def _check_depth(value: Any) -> None:
    level = [value]
    for _depth in range(DEEPEST + 1):
        below = []
        for container in level:
            inside = container.values() if isinstance(container, dict) else container
            below += [each for each in inside if isinstance(each, (dict, list))] if isinstance(container, (dict, list)) else []
        if not below:
            return
        level = below
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError("it is nested too deeply")


def _no_number(word: str) -> Any:
    raise ValueError("%s is no number" % word)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("%s is too large a number" % digits[:20])
    return number
