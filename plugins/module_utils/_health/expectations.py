# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure predicates: what an answer must look like, and in one sentence what it looked like."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Pattern, Tuple

from . import json_path
from .observation import COMMAND, HTTP, TCP, Observation, seconds
from .redaction import Redactor, mask_url


@dataclass(frozen=True)
class JsonValue:
    """A value that must stand at a path."""

    path: str
    steps: json_path.Steps
    expected: Any


@dataclass(frozen=True)
class VersionSource:
    """Where an answer tells the running version: one of a JSON path, a header, a pattern with one group."""

    path: str | None = None
    steps: json_path.Steps = ()
    header: str | None = None
    pattern: Pattern[str] | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return "at %s" % self.path
        if self.header is not None:
            return "in header %s" % self.header
        return "that matches /%s/" % (self.pattern.pattern if self.pattern else "")


@dataclass(frozen=True)
class Expectations:
    """What a healthy target answers. Header names are in lower case; patterns are searched for."""

    status: Tuple[int, ...] = (200,)
    rc: int = 0
    headers: Tuple[Tuple[str, Pattern[str]], ...] = ()
    body: Pattern[str] | None = None
    json: Tuple[JsonValue, ...] = ()
    version: VersionSource | None = None
    expected_version: str | None = None
    redactor: Redactor = field(default_factory=Redactor)


@dataclass(frozen=True)
class Verdict:
    """What an attempt comes to.

    :param seen: one sentence, without its full stop; free of secrets.
    :param version: the running version, when the answer told it.
    """

    ok: bool
    seen: str
    version: str | None = None


def judge(seen: Observation, expected: Expectations) -> Verdict:
    """Hold an observation against what was expected."""
    if seen.failure is not None:
        return Verdict(False, expected.redactor.text(seen.failure))
    version = version_of(seen, expected.version)
    complaint = (
        _wrong_end(seen, expected)
        or _wrong_header(seen, expected)
        or _wrong_body(seen, expected)
        or _wrong_json(seen, expected)
        or _wrong_version(seen, expected, version)
    )
    told = None if version is None else expected.redactor.version(version)
    return Verdict(complaint is None, complaint or _headline(seen, told), told)


def same(found: Any, expected: Any) -> bool:
    """Whether a JSON value is the expected one; values of different types are compared as text.

    Inventories and templates turn ``true`` and ``3`` into text easily; a check should not stumble over it.
    """
    numbers = (int, float)
    truths = isinstance(found, bool), isinstance(expected, bool)
    if truths == (False, False) and isinstance(found, numbers) and isinstance(expected, numbers):
        return found == expected
    if truths == (True, True) or (isinstance(found, str) and isinstance(expected, str)):
        return found == expected
    if isinstance(found, (dict, list)) and isinstance(expected, (dict, list)):
        return found == expected
    if any(truths):
        # Templates write True, JSON writes true.
        return _text(found).lower() == _text(expected).lower()
    return _text(found) == _text(expected)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _headline(seen: Observation, version: str | None = None) -> str:
    if seen.kind == TCP:
        return "connected in %s" % seconds(seen.took)
    what = "HTTP %s" % seen.status if seen.kind == HTTP else "exit code %s" % seen.rc
    return "%s in %s" % (what, seconds(seen.took)) + (", version %s" % version if version is not None else "")


def _subject(seen: Observation) -> str:
    return "its output" if seen.kind == COMMAND else "the body"


def _begins(seen: Observation, expected: Expectations) -> str:
    return "begins %s" % expected.redactor.snippet(seen.text) if seen.text.strip() else "is empty"


def _wrong_end(seen: Observation, expected: Expectations) -> str | None:
    if seen.kind == HTTP and seen.status not in expected.status:
        wanted = " or ".join(str(status) for status in expected.status)
        found = _headline(seen) + _whither(seen, expected)
        return "%s, expected %s: body %s" % (found, wanted, _begins(seen, expected))
    if seen.kind == COMMAND and seen.rc != expected.rc:
        said = seen.aside if seen.aside.strip() else seen.text
        rest = ": it said %s" % expected.redactor.snippet(said) if said.strip() else " and no output"
        return "%s, expected %s%s" % (_headline(seen), expected.rc, rest)
    return None


def _whither(seen: Observation, expected: Expectations) -> str:
    location = seen.headers.get("location")
    if location and 300 <= (seen.status or 0) < 400:
        return " to %s" % expected.redactor.snippet(mask_url(location))
    return ""


def _wrong_header(seen: Observation, expected: Expectations) -> str | None:
    for name, pattern in expected.headers:
        value = seen.headers.get(name)
        if value is None:
            return "%s, but header %s is missing, expected to match /%s/" % (_headline(seen), name, pattern.pattern)
        if not pattern.search(value):
            return "%s, but header %s is %s, expected to match /%s/" % (
                _headline(seen),
                name,
                expected.redactor.snippet(value),
                pattern.pattern,
            )
    return None


def _wrong_body(seen: Observation, expected: Expectations) -> str | None:
    if expected.body is None or expected.body.search(seen.text):
        return None
    return "%s, but %s does not match /%s/: it %s" % (
        _headline(seen),
        _subject(seen),
        expected.body.pattern,
        _begins(seen, expected),
    )


def _wrong_json(seen: Observation, expected: Expectations) -> str | None:
    if not expected.json:
        return None
    readable, document = _document(seen)
    if not readable:
        return "%s, but %s is not JSON: it %s" % (_headline(seen), _subject(seen), _begins(seen, expected))
    for wanted in expected.json:
        there, value = json_path.find(document, wanted.steps)
        if not there:
            return "%s, but %s is missing, expected %s" % (_headline(seen), wanted.path, _quoted(wanted.expected))
        if not same(value, wanted.expected):
            return "%s, but %s is %s, expected %s" % (
                _headline(seen),
                wanted.path,
                expected.redactor.snippet(_text(value)),
                _quoted(wanted.expected),
            )
    return None


def _quoted(value: Any) -> str:
    return "'%s'" % _text(value)


def _wrong_version(seen: Observation, expected: Expectations, version: str | None) -> str | None:
    if expected.expected_version is None or version == expected.expected_version:
        return None
    if version is None:
        return "%s, but no version %s, expected %s" % (_headline(seen), expected.version, expected.expected_version)
    return "version %s runs, expected %s" % (expected.redactor.version(version), expected.expected_version)


def version_of(seen: Observation, source: VersionSource | None) -> str | None:
    """The running version that an answer tells; None where it tells none, or nobody asks."""
    if source is None:
        return None
    if source.header is not None:
        value = seen.headers.get(source.header)
        return value.strip() if value is not None else None
    if source.pattern is not None:
        match = source.pattern.search(seen.text)
        return match.group(1) if match else None
    readable, document = _document(seen)
    there, found = json_path.find(document, source.steps) if readable else (False, None)
    return _text(found) if there and found is not None else None


def _document(seen: Observation) -> tuple[bool, Any]:
    try:
        return True, json.loads(seen.text)
    except (ValueError, RecursionError):
        return False, None
