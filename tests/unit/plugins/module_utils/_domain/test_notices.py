# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said, and to whom in which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.notices import (
    LONGEST,
    annotation,
    check_template,
    document,
    filled,
    for_grafana,
    for_slack,
    sentences,
    values,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.rollout_metrics import EVENTS
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._domain.test_rollout_metrics import (
    NOW,
    RECORD,
    strange,
)

FAILURES = {"app3": "not healthy, last seen: 500", "app4": "not healthy, last seen: 500"}


@pytest.mark.parametrize(
    ("event", "record", "said"),
    [
        ("begin", RECORD, "Rollout of shop to 1.4.2 has begun, rolling."),
        ("begin", {"service": "shop"}, "Rollout of shop to ? has begun."),
        ("begin", {**RECORD, "strategy": "rollback"}, "Rollback of shop from 1.4.2 has begun."),
        (
            "failure",
            {**RECORD, "failures": FAILURES},
            "Rollout of shop to 1.4.2 is failing: app3, app4: not healthy, last seen: 500.",
        ),
        ("failure", RECORD, "Rollout of shop to 1.4.2 is failing."),
        ("rollback", {**RECORD, "from_versions": ["1.4.1"]}, "Rollout of shop to 1.4.2 is being undone to 1.4.1."),
        (
            "finish",
            {
                **RECORD,
                "lines": ["Rollout of shop to 1.4.2 FAILED.", "3 hosts are back."],
                "felt": {"requests": 9, "failed": 0},
            },
            "Rollout of shop to 1.4.2 FAILED.\n3 hosts are back.\n"
            "It took 60 s. None of 9 requests failed. It was back 16.5 s after the decision.",
        ),
        (
            "finish",
            {"service": "shop", "version": "1.4.2", "outcome": "succeeded_with_failures"},
            "Rollout of shop to 1.4.2: succeeded with failures.\nNo probe watched: what users felt is not known.",
        ),
        (
            "finish",
            {
                "service": "s",
                "version": "1",
                "outcome": "succeeded",
                "felt": {"requests": 600, "failed": 2, "disturbance": 0.7},
            },
            "Rollout of s to 1: succeeded.\n2 of 600 requests failed within 0.7 s.",
        ),
        ("finish", {**RECORD, "outcome": "paused", "lines": ["It has paused."]}, "It has paused."),
    ],
)
def test_sentences(event, record, said):
    assert sentences(event, record, {}) == said


def test_labels_say_where_it_is():
    assert sentences("begin", RECORD, {"environment": "production", "site": "b"}).startswith(
        "[environment=production, site=b] Rollout of shop"
    )


def test_a_text_is_printable_and_short():
    said = sentences("failure", {"failures": {"app1": "\x1b[31mred\u202e\x00" + "x" * 9000}}, {})
    assert "\x1b" not in said and "\u202e" not in said and len(said) <= LONGEST + 4


@given(st.sampled_from(EVENTS), strange)
def test_whatever_a_record_holds_there_is_something_to_say(event, record):
    said = sentences(event, record, {"a": "b"})
    assert said
    json.dumps(document(event, record, said, {}))
    json.dumps(annotation(event, record, said, {}, NOW, None), allow_nan=False)
    values(event, record, said)


def test_nobody_is_called_by_what_a_host_says():
    said = sentences("failure", {**RECORD, "failures": {"app3": "<!channel> & <https://evil.example|click>"}}, {})
    assert for_slack(said) == (
        "Rollout of shop to 1.4.2 is failing: app3: &lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;."
    )
    assert for_grafana('<script>"x"</script>\n') == "&lt;script&gt;&quot;x&quot;&lt;/script&gt;<br>"


def test_a_text_of_the_user_s_own():
    found = values("finish", {**RECORD, "version": "<1>"}, "all of it")
    template = (
        "<!here> $service ${version} $outcome: $failed of $requests in $duration ($event, $strategy, $id), $$5. $text"
    )
    check_template(template)
    assert filled(template, found, for_slack) == (
        "<!here> shop &lt;1&gt; rolled_back: 3 of 600 in 60 s (finish, rolling, 20251122T054000Z-1.4.2-7), $5. all of it"
    )
    assert values("begin", {"service": "shop"}, "")["failed"] == ""


@pytest.mark.parametrize(("template", "words"), [("$nobody", r"\$nobody; there is \$event"), ("5 $", "before no name")])
def test_a_text_that_cannot_be_filled_in_is_refused(template, words):
    with pytest.raises(InvalidInput, match=words):
        check_template(template)


def test_what_is_large_or_nobody_else_s_business_is_not_sent():
    record = {
        **RECORD, "events": [1], "phases": [1], "members": [1], "plan": [["app1"]], "counted": {}, "verdicts": [], "lines": ["x"],
        "felt": {**RECORD["felt"], "urls": ["http://inside/"], "failures": [{"url": "http://inside/"}], "series": {"requests": [1]}},
    }  # fmt: skip
    found = document("finish", record, "said", {"environment": "production"})
    assert set(found) == {
        "schema", "event", "text", "labels", "service", "id", "version", "from_versions", "strategy", "outcome", "began", "ended",
        "decided", "undone", "failures", "felt",
    }  # fmt: skip
    assert set(found["felt"]) == {
        "began", "ended", "requests", "failed", "outcomes", "latency", "first_failure", "last_failure", "disturbance",
    }  # fmt: skip
    assert "inside" not in json.dumps(found)
    assert document("begin", {"service": "shop"}, "", {})["outcome"] == "running"


@pytest.mark.parametrize(
    ("event", "record", "time", "end"),
    [
        ("begin", RECORD, 1763790000000, None),
        ("failure", RECORD, 1763790060000, None),
        ("rollback", RECORD, 1763790013500, None),
        ("finish", RECORD, 1763790000000, 1763790060000),
        ("finish", {"outcome": "succeeded"}, 1763790060000, 1763790060000),
        ("finish", {**RECORD, "outcome": "paused", "ended": 1763790050.0}, 1763790050000, None),
    ],
)
def test_an_annotation_is_a_point_until_the_end(event, record, time, end):
    found = annotation(event, record, "said <b>", {"environment": "production"}, NOW, "abc")
    assert (found["time"], found.get("timeEnd"), found["dashboardUID"], found["text"]) == (
        time,
        end,
        "abc",
        "said &lt;b&gt;",
    )
    assert {"zero_downtime", event, f"service:{record.get('service', '')}", "environment:production"} <= set(
        found["tags"]
    )
    assert "dashboardUID" not in annotation(event, record, "", {}, NOW, None)
