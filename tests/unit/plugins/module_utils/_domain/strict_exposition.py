# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads Prometheus's text format as strictly as its documentation has it, and knows the rules for names.

Written from https://prometheus.io/docs/instrumenting/exposition_formats/, not from our own writer. The real parsers (promtool, the
Pushgateway) have their say in tests/integration/notices.
"""

from __future__ import annotations

import re

METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LINE = re.compile(rf"({METRIC})(?:\{{(.*)\}})? (\S+)\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|\Z)')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
UNITS = ("_seconds", "_ratio", "_info", "_per_day")
COUNTS = re.compile(r"(success|requests|rollouts|deployments)\Z")


def labels_of(text):
    found, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"no label at {text[at:]!r}"
        name, value, _comma = match.groups()
        assert name not in found, f"{name} twice"
        found[name] = re.sub(r"\\.", lambda escape: ESCAPES[escape.group()], value)
        at = match.end()
    return found


def parse(text):
    """``{(name, ((label, value), ...)): number}``; AssertionError for whatever is not in order."""
    assert text == "" or text.endswith("\n")
    found, helped, types, current = {}, set(), {}, None
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert re.fullmatch(METRIC, current) and len(line.split(" ", 3)[3]) > 10
            assert current not in helped, f"{current} in two groups"
            helped.add(current)
        elif line.startswith("# TYPE "):
            _hash, _word, name, kind = line.split(" ")
            assert name == current and name not in types and kind in ("gauge", "summary")
            types[name] = kind
        elif not line.startswith("#"):
            match = LINE.match(line)
            assert match, f"no sample: {line!r}"
            name, labels, value = match.groups()
            family = re.sub(r"_(sum|count)\Z", "", name) if types.get(current) == "summary" else name
            assert family == current == list(types)[-1], f"{name} stands with {current}"
            key = name, tuple(sorted(labels_of(labels or "").items()))
            assert key not in found, f"{key} twice"
            found[key] = float(value)
            check_names(family, types[family], dict(key[1]))
    return found


def check_names(family, kind, labels):
    assert not re.search(r"_(total|count|sum|bucket|gauge|milliseconds|ms)\Z", family), family
    assert family.endswith(UNITS) or COUNTS.search(family), f"{family} has no unit"
    assert re.fullmatch(r"[a-z0-9_]+", family)
    assert kind == "summary" or "quantile" not in labels
    assert not any(name.startswith("__") for name in labels)
