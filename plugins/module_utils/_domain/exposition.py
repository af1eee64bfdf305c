# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus's text exposition format, version 0.0.4.  Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Dict, List, Mapping

from .errors import InvalidInput

GAUGE, SUMMARY = "gauge", "summary"

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


@dataclass(frozen=True)
class Sample:
    """One line.

    :param suffix: what follows the family's name: ``_sum`` and ``_count`` of a summary, else nothing.
    """

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True)
class Family:
    """A metric with its samples.

    :param about: the line of HELP.  It must not differ between two services: a collector of several files would complain.
    """

    name: str
    about: str
    samples: List[Sample] = field(default_factory=list)
    kind: str = GAUGE


def is_label(name: str) -> bool:
    """Whether a label may have this name; those that begin with two underscores are Prometheus's own."""
    return bool(_LABEL.match(name)) and not name.startswith("__")


def render(families: List[Family]) -> str:
    """The families that have samples, as text.

    :raises InvalidInput: a name is none.
    """
    return "".join(block(family) for family in families if family.samples)


def block(family: Family) -> str:
    """One family's lines."""
    if not _METRIC.match(family.name):
        raise InvalidInput("'%s' cannot be the name of a metric." % family.name)
    lines = ["# HELP %s %s" % (family.name, _help(family.about)), "# TYPE %s %s" % (family.name, family.kind)]
    for sample in family.samples:
        lines.append("%s%s%s %s" % (family.name, sample.suffix, _labels(sample.labels), number(sample.value)))
    return "".join("%s\n" % line for line in lines)


def blocks(text: str) -> Dict[str, str]:
    """What :func:`render` has made, by the families' names, in their order; lines before the first are left out."""
    found: Dict[str, str] = {}
    name = ""
    for line in text.splitlines(True):
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2].strip()
        if name:
            found[name] = found.get(name, "") + line
    return found


def number(value: float) -> str:
    """A sample's value: the shortest text that stands for exactly this number."""
    exact = float(value)
    if math.isnan(exact):
        return "NaN"
    if math.isinf(exact):
        return "+Inf" if exact > 0 else "-Inf"
    return str(int(exact)) if exact == int(exact) and abs(exact) < 1e15 else repr(exact)


def _labels(labels: Mapping[str, str]) -> str:
    wrong = [name for name in labels if not is_label(name)]
    if wrong:
        raise InvalidInput("'%s' cannot be the name of a label." % wrong[0])
    return "{%s}" % ",".join('%s="%s"' % (name, _value(value)) for name, value in labels.items()) if labels else ""


def _value(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
