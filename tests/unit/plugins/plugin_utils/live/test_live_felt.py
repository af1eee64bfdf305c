# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe's record, read while it grows."""

from __future__ import annotations

import json

import pytest

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.felt import felt_so_far


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "record"

    def write(*seconds, torn=""):
        path.write_text("".join(json.dumps(second) + "\n" for second in seconds) + torn)
        return felt_so_far(str(path))

    return write


def test_seconds_add_up(record):
    felt = record(
        {"t": 1, "requests": 90, "failed": 0, "latency": 4.0}, {"t": 2, "requests": 10, "failed": 2, "latency": 30.0}
    )
    assert felt == {"requests": 100, "failed": 2, "p95": 30.0}


@pytest.mark.parametrize(
    ("latency", "p95"),
    [(7, 7.0), ({"p50": 1, "p95": 8}, 8.0), ([1.0] * 19 + [50.0], 1.0), ({"p50": 1}, None), (None, None), ([], None)],
)
def test_latencies_in_whatever_form(record, latency, p95):
    assert record({"t": 1, "requests": 20, "failed": 0, "latency": latency})["p95"] == p95


def test_nothing_is_known_without_a_record(tmp_path, record):
    assert felt_so_far(str(tmp_path / "nowhere")) is None
    assert felt_so_far(str(tmp_path)) is None
    assert record() is None


@pytest.mark.parametrize(
    "torn", ['{"t": 2, "requ', "null\n", "[1]\n", '{"t": 2}\n', '{"requests": "many"}\n', "\x00\xff\n"]
)
def test_a_line_that_is_torn_or_makes_no_sense_is_passed_over(record, torn):
    assert record({"t": 1, "requests": 5, "failed": 1, "latency": None}, torn=torn) == {
        "requests": 5,
        "failed": 1,
        "p95": None,
    }
