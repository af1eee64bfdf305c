# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of JSON that leave everything else in the text as a person wrote it: order, indentation, numbers, escapes.

Every function takes a text and gives a new one; `path` is the way from the outermost value, of keys and indexes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, List, Tuple, Union

from .._domain import plain_json

Path = Tuple[Union[str, int], ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Part:
    """One entry of an object or array, and where in the text it stands.

    :param begins: where its key does, in an object; else the same as `start`.
    :param start: where its value begins.
    :param end: behind its value.
    """

    key: str | int
    value: Any
    begins: int
    start: int
    end: int


def load(text: str) -> Any:
    """The value that `text` is.

    :raises ValueError: when it is no JSON.
    """
    return plain_json.loads(text)


def dump(value: Any) -> str:
    """`value` as JSON that is YAML too, to those readers as well that know no escapes for what lies beyond the first 65,536 characters."""
    return json.dumps(value, ensure_ascii=False)


def parts(text: str, path: Path = ()) -> List[Part]:
    """The entries of the object or array at `path`.

    :raises KeyError: when there is none.
    """
    found: List[Part] = []
    at = part(text, path).start
    if text[at] not in "{[":
        raise KeyError(path)
    is_object = text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        begins = at
        key: Any = len(found)
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # past the colon
        value, end = _DECODER.raw_decode(text, at)
        found.append(Part(key, value, begins, at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def part(text: str, path: Path) -> Part:
    """What is at `path`.

    :raises KeyError: when there is nothing.
    """
    if not path:
        start = _skip(text, 0)
        value, end = _DECODER.raw_decode(text, start)
        return Part("", value, start, start, end)
    for found in reversed(parts(text, path[:-1])):  # of a key that is there twice the last one counts
        if found.key == path[-1]:
            return found
    raise KeyError(path[-1])


def replaced(text: str, path: Path, new: str) -> str:
    """With the value at `path` replaced by the JSON `new`."""
    old = part(text, path)
    return text[: old.start] + new + text[old.end :]


def inserted(text: str, after: Path, key: str, new: str) -> str:
    """With the entry ``key: new`` behind the one at `after`, set off from it as that one is from what precedes it."""
    neighbour = part(text, after)
    entry = "," + (space_before(text, after) or " ") + dump(key) + ": " + new
    return text[: neighbour.end] + entry + text[neighbour.end :]


def removed(text: str, path: Path) -> str:
    """Without the entry at `path`: the opposite of :func:`inserted`."""
    entries = parts(text, path[:-1])
    at = max(index for index, entry in enumerate(entries) if entry.key == path[-1])
    if at:
        return text[: entries[at - 1].end] + text[entries[at].end :]
    behind = entries[1].begins if len(entries) > 1 else entries[0].end
    return text[: entries[0].begins] + text[behind:]


def space_before(text: str, path: Path) -> str:
    """What separates the entry at `path` from the comma or bracket before it."""
    begins = part(text, path).begins
    return text[len(text[:begins].rstrip(" \t\r\n")) : begins]


def with_items(text: str, path: Path, items: List[str], like: str) -> str:
    """With exactly these items, JSON each, in the array at `path`; set off as its own were, or by `like` when it had none."""
    array, now = part(text, path), parts(text, path)
    if [text[item.start : item.end] for item in now] == items:
        return text
    before, between, behind = like, "," + like, like.rpartition("  ")[0] or like
    if now:
        before = text[array.start + 1 : now[0].start]
        between = text[now[0].end : now[1].start] if len(now) > 1 else "," + (before or " ")
        behind = text[now[-1].end : array.end - 1]
    return replaced(text, path, "[" + before + between.join(items) + behind + "]" if items else "[]")


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]
