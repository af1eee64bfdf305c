# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Areas, lines and bars: that they show what was felt."""

from __future__ import annotations

import re

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_series import Stretch
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_timeline import Row, Segment, batches
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.record import PHASES
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.scales import Window
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report import charts

WINDOW = Window(0, 10)


def stretch(began, ended, failed=0, p50=None, **versions):
    return Stretch(began, ended, 10, failed, p50, p50 and 2 * p50, p50 and 3 * p50, versions)


def paths(drawing, kind):
    return re.findall(rf'<path class="{kind}" d="([^"]*)"', drawing)


def test_versions_lie_upon_each_other():
    stretches = [stretch(0, 5, old=50), stretch(5, 10, old=25, new=25)]
    drawing = charts.traffic("traffic", "", stretches, ["new", "old"], WINDOW, [])
    # The scale goes to 10 a second: half of the height is 5.
    assert paths(drawing, "v0") == ["M0.0 100.0V100.0H500.0V50.0H1000.0V100.0H500.0V100.0H0.0z"]
    assert paths(drawing, "v1") == ["M0.0 100.0V0.0H500.0V0.0H1000.0V50.0H500.0V100.0H0.0z"]
    assert "00:00:05 UTC, 5.0 s: new 5/s, old 5/s" in drawing


def test_failed_requests_are_bars_where_they_were():
    drawing = charts.errors("errors", "", [stretch(0, 1), stretch(1, 2, failed=2), stretch(2, 3)], WINDOW, [])
    assert re.findall(r'<rect class="failed" [^>]*>', drawing) == [
        '<rect class="failed" x="100.0" y="0.0" width="100.0" height="100.0"/>'
    ]
    assert "00:00:01 UTC: 2 of 10 requests failed" in drawing and ">none<" not in drawing
    assert ">none<" in charts.errors("errors", "", [stretch(0, 1)], WINDOW, [])


def test_a_line_is_broken_where_nothing_was_answered():
    drawing, logarithmic = charts.latency(
        "latency", "", [stretch(0, 2, p50=10), stretch(2, 4), stretch(4, 6, p50=20), stretch(6, 8, p50=30)], WINDOW, []
    )
    (line,) = paths(drawing, "line p50")
    assert re.findall(r"[ML][\d.]+", line) == ["M100.0", "L100.0", "M500.0", "L500.0", "L700.0"]
    assert not logarithmic and "00:00:02 UTC, 2.0 s: no answer" in drawing


def test_short_phases_can_be_seen_and_failed_ones_are_marked():
    drawing = charts.row(
        Row("a", [Segment("drain", 1.0, 1.001, True), Segment("check", 2.0, 4.0, False)], True), WINDOW, False
    )
    assert 'class="ph drain" x="10.00%" y="8" width="0.25%"' in drawing
    assert 'class="ph check broken" x="20.00%" y="3" width="20.00%"' in drawing and "✕" in drawing
    assert 'aria-label="Drain: 00:00:01 to 00:00:01, 0.0 s, Check, failed: 00:00:02 to 00:00:04, 2.0 s"' in drawing


def test_every_phase_has_a_shape():
    assert set(charts.SHAPES) == set(PHASES)


def phase(host, batch, name, began, ended, ok=True):
    return {"host": host, "batch": batch, "phase": name, "began": began, "ended": ended, "ok": ok}


def test_bands_are_batches_a_switch_and_the_way_back():
    phases = [
        phase("a", 1, "deploy", 0, 4),
        phase("b", 2, "deploy", 4, 6),
        phase("b", 2, "switch", 6, 7),
        phase("b", 2, "undo_deploy", 8, 9),
    ]
    found = charts.bands(batches([["a"], ["b"]], phases, {}), 7.5, 9.0)
    assert [(band.name, band.began, band.ended) for band in found] == [
        ("Batch 1", 0, 4),
        ("Batch 2", 4, 7),
        ("Switch", 6, 7),
        ("Rollback", 7.5, 9.0),
    ]


def test_a_name_needs_room():
    wide, narrow, tiny = (charts.Band("Batch 7", "7", 1, 1 + length, "batch") for length in (1.0, 0.4, 0.1))
    drawings = [charts.errors("errors", "", [], WINDOW, [band]) for band in (wide, narrow, tiny)]
    assert [("Batch 7" in drawing, ">7<" in drawing) for drawing in drawings] == [
        (True, True),
        (False, True),
        (False, False),
    ]


def test_the_overview_has_every_host_and_shows_failures():
    phases = [phase(f"h{number}", 1, "deploy", 0, 5) for number in range(300)] + [
        phase("h7", 1, "check", 5, 10, ok=False)
    ]
    drawing = charts.overview("overview", "", batches([[f"h{number}" for number in range(300)]], phases, {}), WINDOW)
    assert paths(drawing, "ph deploy")[0].count("M") == 300
    assert paths(drawing, "ph broken") == ["M500.0 7h500.0v1h-500.0z"]
    assert drawing.count("<circle") == 1


def test_the_cross_of_a_failure_is_hidden_by_nothing():
    """It comes after all phases, in its own where there is room."""

    def marks(*segments):
        drawing = charts.row(Row("a", list(segments), True), WINDOW, False)
        return re.findall(
            r'<text class="(mark[^"]*)" text-anchor="(\w+)" x="([\d.]+)%"', drawing[drawing.rindex("<rect") :]
        )

    assert marks(Segment("check", 2, 4, False), Segment("undo_check", 4, 5, True)) == [
        ("mark inside", "middle", "30.00")
    ]
    assert marks(Segment("check", 2, 2.1, False), Segment("undo_check", 4, 5, True)) == [("mark", "start", "21.00")]
    assert marks(Segment("check", 9.9, 10, False)) == [("mark", "end", "99.00")]
