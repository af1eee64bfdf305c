# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that is changed as a person would: what is not touched stays as it was written, to the last blank.

``str(parse(text)) == text``.  Each member and element keeps the white space around it, so that those which are added look like their
neighbours, and one that is moved away and back again leaves no trace among neighbours that are laid out alike.  Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterator

from .._domain import plain_json

BLANK = re.compile(r"[ \t\r\n]*")
SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]}]+', re.DOTALL)
INDENT = re.compile(r"\n([ \t]+)")
COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")


class Scalar:
    """A string, number, boolean or null."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __str__(self) -> str:
        return self.source

    @property
    def data(self) -> Any:
        """As Python has it."""
        return json.loads(self.source)


class Item:
    """A member of an object or an element of an array.

    :param lead: the white space before it.
    :param key: a member's name, as written; empty in arrays.
    :param colon: what stands between name and value.
    :param trail: the white space between it and a comma.
    """

    def __init__(self, lead: str, key: str, colon: str, value: Scalar | Container, trail: str = "") -> None:
        self.lead, self.key, self.colon, self.value, self.trail = lead, key, colon, value, trail
        self.name = json.loads(key) if key else ""

    def __str__(self) -> str:
        return f"{self.lead}{self.key}{self.colon}{self.value}{self.trail}"


class Container:
    """An object or an array.

    :param brackets: ``{}`` or ``[]``.
    :param tail: the white space before the closing one.
    :param indent: what an item on a line of its own has before it that this has not.
    """

    def __init__(self, brackets: str, items: list[Item], tail: str, indent: str) -> None:
        self.brackets, self.items, self.tail, self.indent = brackets, items, tail, indent

    def __str__(self) -> str:
        return f"{self.brackets[0]}{','.join(map(str, self.items))}{self.tail}{self.brackets[1]}"

    @property
    def data(self) -> Any:
        """As Python has it."""
        return json.loads(str(self))

    @property
    def is_object(self) -> bool:
        """Rather than an array."""
        return self.brackets == "{}"

    def __iter__(self) -> Iterator[Scalar | Container]:
        return (item.value for item in self.items)

    def get(self, name: str) -> Scalar | Container | None:
        """The value of a member; of several with one name the last counts, as everywhere."""
        return next((item.value for item in reversed(self.items) if item.name == name), None)

    def put(self, name: str, value: Scalar | Container) -> None:
        """Give the object a member, or the member another value."""
        for item in reversed(self.items):
            if item.name == name:
                item.value = value
                return
        self._insert(len(self.items), json.dumps(name), self.items[-1].colon if self.items else ": ", value)

    def drop(self, name: str) -> None:
        """Take a member away, if there is one."""
        for index in range(len(self.items) - 1, -1, -1):
            if self.items[index].name == name:
                self.pop(index)

    def insert(self, index: int, value: Scalar | Container) -> None:
        """Give the array an element."""
        self._insert(index, "", "", value)

    def append(self, value: Scalar | Container) -> None:
        """Give the array one more element."""
        self.insert(len(self.items), value)

    def pop(self, index: int) -> Scalar | Container:
        """Take an item away; its value."""
        item = self.items.pop(index)
        if index == 0 and self.items:
            self.items[0].lead = item.lead
        return item.value

    def _insert(self, index: int, key: str, colon: str, value: Scalar | Container) -> None:
        between = self._between()
        lead = between
        if index == 0 and self.items:
            lead, self.items[0].lead = self.items[0].lead, between
        elif index == 0:
            lead = between if "\n" in between else ""
        self.items.insert(index, Item(lead, key, colon, value))

    def _between(self) -> str:
        """What stands between two items."""
        if len(self.items) > 1:
            return self.items[1].lead
        only = self.items[0].lead if self.items else self.tail + self.indent
        return only if "\n" in only else " "


def parse(text: str) -> tuple[str, Scalar | Container, str]:
    """What stands before the value, the value, what stands after it.

    :raises ValueError: when it is no JSON.
    """
    try:
        plain_json.loads(text)  # hence what follows need not look for mistakes
        start = _blank(text, 0)
        indented = INDENT.search(text)
        value, end = _value(text, start, indented.group(1) if indented else "  ")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return text[:start], value, text[end:]


def written(data: Any) -> Scalar | Container:
    """`data` as JSON in one line."""
    return parse(json.dumps(data))[1]


def _blank(text: str, at: int) -> int:
    return BLANK.match(text, at).end()  # type: ignore[union-attr]


def _value(text: str, at: int, indent: str) -> tuple[Scalar | Container, int]:
    if text[at] not in "{[":
        end = SCALAR.match(text, at).end()  # type: ignore[union-attr]
        return Scalar(text[at:end]), end
    brackets = "{}" if text[at] == "{" else "[]"
    items: list[Item] = []
    start = at + 1
    while True:
        first = _blank(text, start)
        if text[first] == brackets[1]:  # of an empty one
            return Container(brackets, items, text[start:first], indent), first + 1
        named = at = first
        if brackets == "{}":
            named = SCALAR.match(text, first).end()  # type: ignore[union-attr]
            at = COLON.match(text, named).end()  # type: ignore[union-attr]
        value, end = _value(text, at, indent)
        after = _blank(text, end)
        last = text[after] != ","
        items.append(Item(text[start:first], text[first:named], text[named:at], value, "" if last else text[end:after]))
        if last:
            return Container(brackets, items, text[end:after], indent), after + 1
        start = after + 1
