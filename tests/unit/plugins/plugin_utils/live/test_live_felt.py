# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe's record, read while it grows."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.felt import Ended, Second
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.record import Writer
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.felt import felt_so_far

HEADER = {"began": 100.0, "urls": ["http://shop/"], "rate": 10.0, "timeout": 5.0}


def second(at, *took, failed=0):
    told = Second(at)
    for each in took:
        told.note(Ended(at + 0.5, "ok", each))
    for _time in range(failed):
        told.note(Ended(at + 0.5, "refused", 1.0, why="nobody listens"))
    return told


@pytest.fixture
def record(tmp_path):
    """``record(second, ..., torn="...")`` writes one, as a probe does, and sums it up."""
    path = tmp_path / "record"

    def write(*seconds, torn=""):
        writer = Writer(str(path), HEADER)
        for each in seconds:
            assert writer.add(each.at + 1, [each])
        writer.close()
        with open(path, "a", encoding="latin-1") as file:
            file.write(torn)
        return felt_so_far(str(path))

    return write


def test_seconds_add_up(record):
    felt = record(second(100, *[4.0] * 90), second(101, *[30.0] * 8, failed=2))
    assert (felt["requests"], felt["failed"]) == (100, 2)
    assert felt["p95"] == pytest.approx(30.0, rel=0.025)


def test_nothing_is_known_without_a_record(tmp_path, record):
    assert felt_so_far(str(tmp_path / "nowhere")) is None
    assert felt_so_far(str(tmp_path)) is None
    assert record() is None


@pytest.mark.parametrize(
    "torn", ['{"until": 2, "seco', "null\n", "[1]\n", '{"until": 2}\n', '{"until": 1, "seconds": [{"at": "x"}]}\n', "\x00\xff\n"]
)
def test_a_line_that_is_torn_or_makes_no_sense_is_passed_over(record, torn):
    assert record(second(100, failed=1), torn=torn) == {"requests": 1, "failed": 1, "p95": None}
