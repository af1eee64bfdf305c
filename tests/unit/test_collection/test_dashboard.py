# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard for Grafana shows what we expose, and nothing else."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.notices import annotation
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.rollout_metrics import (
    ABOUT,
    EVENTS,
    OWN_LABELS,
)


@pytest.fixture(scope="module")
def dashboard(checkout):
    return json.loads((checkout / "examples" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))


def expressions(dashboard):
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*found, *(one["definition"] for one in dashboard["templating"]["list"] if one["type"] == "query")]


def test_it_asks_only_for_what_we_expose(dashboard):
    for expression in expressions(dashboard):
        asked = set(re.findall(r"\bzero_downtime_\w+", expression))
        assert asked and asked <= set(ABOUT), expression
        # With metrics, functions, numbers and selectors taken away, nothing is left that could be another metric.
        rest = re.sub(
            r"\{[^}]*\}|\bzero_downtime_\w+|\btime\(\)|\blabel_values\(|, service\)|[-+*/<>() \d.]", "", expression
        )
        assert rest == "", expression


def test_it_selects_by_labels_that_there_are(dashboard):
    for expression in expressions(dashboard):
        for selector in re.findall(r"\{([^}]*)\}", expression):
            assert {part.split("=")[0].strip() for part in selector.split(",")} <= set(OWN_LABELS)


def test_nearly_all_that_we_expose_is_shown(dashboard):
    shown = set(re.findall(r"\bzero_downtime_\w+", " ".join(expressions(dashboard))))
    assert set(ABOUT) - shown == {
        "zero_downtime_rollout_started_timestamp_seconds",
        "zero_downtime_history_window_seconds",
        "zero_downtime_history_deployments",
    }


def test_panels_are_told_apart_and_do_not_overlap(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _y in cells) < 24 and not cells & taken, panel["title"]
        taken |= cells
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_it_is_of_the_schema_of_grafana_10_and_11(dashboard):
    assert dashboard["schemaVersion"] in range(37, 41)
    kinds = {panel["type"] for panel in dashboard["panels"]}
    assert kinds <= {"stat", "table", "timeseries", "bargauge"}
    for panel in dashboard["panels"]:
        assert all(one["datasource"]["uid"] == "${datasource}" for one in [panel, *panel["targets"]])


def test_its_annotations_are_those_that_we_make(dashboard):
    made = [set(annotation(event, {}, "", {}, 0.0, None)["tags"]) for event in EVENTS]
    for one in dashboard["annotations"]["list"]:
        assert any(set(one["target"]["tags"]) <= tags for tags in made), one["name"]
