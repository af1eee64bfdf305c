# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: one file of HTML that loads nothing and works without its script.

Two things keep what hosts, versions and answers are called from doing anything in the page: whatever comes from the record is escaped
(Jinja2's autoescape and markupsafe), and the page's own policy lets run the one script whose hash it names, and load nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import report, report_words
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.record import SCHEMA
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_series import merged
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_timeline import (
    FOLD_FROM,
    MEANS,
    SAID,
    batches,
    kinds,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.scales import Window
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report import charts

HERE = Path(__file__).parent
SHOWN_EVENTS = 400  # on the page, half from each end; the JSON has all
SHOWN_HOSTS = 3  # named in an event before the rest is counted
SHOWN_MEMBERS = 40  # not as before, from which on they are folded
SHOWN_FAILED = 40  # hosts that failed, outside of their folded batches


def render(record: dict[str, Any], name: str, version: str) -> str:
    """The page, the same for the same record.

    :param record: of a rollout, checked (:func:`expect_record`).
    :param name: of the files, without their ends; the page names the JSON beside it.
    :param version: of this collection.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(words=report_words, report=report, charts=charts, said=SAID, means=MEANS)
    environment.filters.update(units=units, unbroken=unbroken)
    # These three are ours, not the record's. "</" cannot occur in them: a test sees to it.
    return environment.from_string(_part("page.html.j2")).render(
        policy=policy, style=Markup(style), script=Markup(script), name=name, collection_version=version, schema=SCHEMA, record=record,
        **_drawn(record),
    )  # fmt: skip


def units(value: str) -> Markup:
    """A figure with its units set smaller than its numbers."""
    parts = re.split(r"(?:(?<=\d) )?([a-z%]+)", value)
    small = Markup('\u202f<span class="unit">{}</span>')
    return Markup().join(small.format(part) if index % 2 else part for index, part in enumerate(parts))


def unbroken(sentence: str) -> str:
    """A sentence in which no line ends between a number and its unit."""
    return re.sub(r"(?<=\d) (?=(?:%|ms|s|min|h|d)(?!\w))", "\u00a0", sentence)


def _drawn(record: dict[str, Any]) -> dict[str, Any]:
    """What the page shows and does not find in the record as it is."""
    felt = record["felt"]
    found = batches(record["plan"], record["phases"], record["failures"])
    hosts = sum(len(batch.rows) for batch in found)
    touched = any(row.segments for batch in found for row in batch.rows)
    window = Window(
        min([record["began"], *(phase["began"] for phase in record["phases"]), *([felt["began"]] if felt else [])]),
        max([record["ended"], *(phase["ended"] for phase in record["phases"]), *([felt["ended"]] if felt else [])]),
    )
    changed = [member for member in record["members"] if not report.as_before(member)]
    events = record["events"]
    left_out = max(0, len(events) - SHOWN_EVENTS)
    if left_out:
        events = events[: SHOWN_EVENTS // 2] + [None] + events[-SHOWN_EVENTS // 2 :]
    return {
        "outcome": report.OUTCOMES[record["outcome"]],
        "figures": report.figures(record),
        "batches": found,
        "touched": touched,
        "kinds": kinds(found),
        "hosts": hosts,
        "fold": hosts >= FOLD_FROM,
        "failed_rows": [row for batch in found for row in batch.rows if row.failed][:SHOWN_FAILED],
        "overview": charts.overview(
            "overview",
            f"{report_words.plural(hosts, 'host')} in {report_words.plural(len(found), 'batch', 'batches')}",
            found,
            window,
        ),
        "broken": any(not segment.ok for batch in found for row in batch.rows for segment in row.segments),
        "window": window,
        "drawings": _charts(record, charts.bands(found, record["decided"], record["undone"]), window),
        "changed": changed,
        "unchanged": [member for member in record["members"] if report.as_before(member)],
        "shown_members": SHOWN_MEMBERS,
        "shown_hosts": SHOWN_HOSTS,
        "events": events,
        "events_left_out": left_out,
    }


def _charts(record: dict[str, Any], shaded: list[charts.Band], window: Window) -> dict[str, Any] | None:
    """The three charts of what was felt; None where there is nothing to draw."""
    felt = record["felt"]
    if not felt or not felt["requests"] or not felt["series"]["requests"]:
        return None
    stretches = merged(felt["series"])
    versions = _ordered(record["version"], record["from_versions"], felt["series"]["versions"])
    latency, logarithmic = charts.latency("latency", report.latency_said(felt), stretches, window, shaded)
    return {
        "versions": [
            (charts.version_class(index, version), version or "not told") for index, version in enumerate(versions)
        ],
        "traffic": charts.traffic("traffic", report.traffic_said(record), stretches, versions, window, shaded),
        "errors": charts.errors("errors", report.errors_said(felt)[0], stretches, window, shaded),
        "latency": latency,
        "logarithmic": logarithmic,
        "seconds": stretches[0].seconds,
    }


def _ordered(new: str, before: list[str], seen: dict[str, Any]) -> list[str]:
    """The versions that answered: the new one first, so that it lies at the bottom, then those before it, untold ones last."""
    known = [new, *before]
    return sorted((version for version in seen if any(seen[version])), key=lambda version: (
        version == "", known.index(version) if version in known else len(known), version,
    ))  # fmt: skip


def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a policy names a script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
