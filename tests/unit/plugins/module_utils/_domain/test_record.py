# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a record, and that the published schema says the same."""

from __future__ import annotations

import json
import math

import jsonschema
import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import record as records
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.tests.support.records import samples


@pytest.fixture(scope="module")
def schema(checkout):
    return json.loads((checkout / "docs" / "report.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_a_record_is_taken_by_code_and_schema(name, schema):
    record = samples.SAMPLES[name]()
    records.expect_record(record)
    jsonschema.Draft202012Validator(schema).validate(record)


def test_the_schema_is_one(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


def spoilt(path, value):
    """A good record with one place made bad."""
    record = samples.rolled_back()
    *way, last = path
    place = record
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return record


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("lines",), ..., "record has no 'lines'"),
        (("lines",), "one line", "record.lines is text, not a list"),
        (("version",), 1.4, "record.version is a number, not text"),
        (("outcome",), "fine", "record.outcome is 'fine', not one of succeeded,"),
        (("began",), True, "record.began is True, not a time"),
        (("decided",), math.inf, "record.decided is inf, not a time or null"),
        (("ended",), 1e15, "record.ended is 1000000000000000.0, not a time"),
        (("phases", 3, "phase"), "sleep", "record.phases[3].phase is 'sleep'"),
        (("phases", 0, "ok"), 1, "record.phases[0].ok is a whole number, not true or false"),
        (("plan", 0), "app1", "record.plan[0] is text, not a list"),
        (("felt", "latency", "p95"), ..., "record.felt.latency has no 'p95'"),
        (("felt", "series", "p50", 2), "2", "record.felt.series.p50[2] is text, not a whole number or a number or null"),
        (("felt", "series", "step"), 0, "record.felt.series.step is 0"),
        (("felt", "outcomes", "ok"), "many", "record.felt.outcomes.ok is text, not a whole number"),
        (("felt", "series", "versions", "1.4.1", 0), "1", "record.felt.series.versions.1.4.1[0] is text"),
        (("failures", "app3"), None, "record.failures.app3 is null, not text"),
        (("counted", "agrees"), "yes", "record.counted.agrees is text, not true or false or null"),
        (("counted", "balancers", 0, "exact"), ..., "record.counted.balancers[0] has no 'exact'"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_is_not_as_it_must_be_is_named_by_its_place(path, value, said, schema):
    record = spoilt(path, value)
    with pytest.raises(InvalidInput) as refused:
        records.expect_record(record)
    assert said in refused.value.message and "Nothing was written" in refused.value.message
    if path not in (("decided",), ("ended",)):  # JSON Schema has no word for what JSON cannot say, nor for calendars
        assert not jsonschema.Draft202012Validator(schema).is_valid(record)


def test_columns_of_different_lengths():
    with pytest.raises(InvalidInput, match=r"series\.p95 has 3 entries and requests has 107"):
        records.expect_record(spoilt(("felt", "series", "p95"), [1.0, 2.0, 3.0]))


def test_failures_without_a_time():
    with pytest.raises(InvalidInput, match=r"felt\.failed is 4 and last_failure is null"):
        records.expect_record(spoilt(("felt", "last_failure"), None))


@pytest.mark.parametrize(
    ("schema_of", "found"), [(2, "schema 2"), (None, "no schema"), ("1", "schema '1'"), (True, "schema True")]
)
def test_another_schema_is_refused_in_clear_words(schema_of, found):
    with pytest.raises(InvalidInput, match=f"expected schema 1, found {found}. Nothing was written"):
        records.expect_record({**samples.nothing(), "schema": schema_of})


def test_code_and_schema_know_the_same_words(schema):
    said = schema["properties"]
    assert tuple(said["outcome"]["enum"]) == records.OUTCOMES
    assert tuple(said["strategy"]["enum"]) == records.STRATEGIES
    assert tuple(said["phases"]["items"]["properties"]["phase"]["enum"]) == records.PHASES
    assert said["schema"]["const"] == records.SCHEMA
