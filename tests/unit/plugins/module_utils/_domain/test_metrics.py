# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may ask for."""

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.metrics import (
    Metric,
    read_metrics,
    read_share,
)


def asked(**more):
    return {"name": "m", "kind": "errors", "allowed_increase": "25%", **more}


@pytest.mark.parametrize(
    ("text", "share"), [("25%", 0.25), (0.25, 0.25), ("0", 0), (".5", 0.5), (" 150 % ", 1.5), ("10", 10), (1, 1)]
)
def test_shares(text, share):
    assert read_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "a lot", "-5%", "25", "nan", "inf", None, [1], "1e3", "25%%", "٣%x"])
def test_what_is_no_share(text):
    with pytest.raises(ValueError, match="expected a share|if you mean percent"):
        read_share(text)


def test_defaults():
    assert read_metrics([asked(), asked(name="l", kind="samples", direction="down")]) == [
        Metric("m", "errors", 0.25, tolerated=0.0, critical=True, minimum=200, direction="up"),
        Metric("l", "samples", 0.25, tolerated=None, critical=True, minimum=20, direction="down"),
    ]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ([], "0 metrics, expected 1 to 12"),
        ([asked(name=str(n)) for n in range(13)], "13 metrics, expected 1 to 12"),
        ([asked(), asked()], "Several metrics are called m"),
        ([asked(allowed_increase="25")], "write 25% if you mean percent"),
        ([asked(minimum=0)], "minimum: expected at least 1, found 0"),
        ([asked(kind="samples", minimum=7)], "minimum: expected at least 8, found 7"),
        ([asked(direction="down")], "direction is for samples alone"),
        ([asked(kind="samples", direction="down", allowed_increase="100%")], "expected less than 100%"),
        ([asked(kind="samples", direction="either", tolerated=1)], "either direction is bad"),
        ([asked(tolerated=1)], "tolerated: expected a rate"),
        ([asked(tolerated=float("nan"))], "tolerated: expected a rate"),
        ([asked(kind="samples", tolerated=float("inf"))], "tolerated: expected a number"),
    ],
)
def test_what_is_refused(metrics, said):
    with pytest.raises(InvalidInput) as refused:
        read_metrics(metrics)
    assert said in refused.value.message and refused.value.message.endswith("Nothing was watched.")


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(InvalidInput) as refused:
        read_metrics([asked(minimum=0), asked(name="Other", allowed_increase="x", minimum=-1)])
    assert (
        "metric m: minimum" in refused.value.message.lower()
        and "metric Other: allowed_increase" in refused.value.message
    )
