# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where figures come from: files, real programs, and pools as balancers tell of them."""

from __future__ import annotations

import json
import math
import sys

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.growth import Counter
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.balancers import BalancerCounters
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.command import Command
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.figure_file import FigureFile
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.prometheus import (
    Prometheus,
    alternatives,
    longest_range,
)

OPTIONS = {
    "url": "http://127.0.0.1:1",
    "timeout": 1,
    "username": None,
    "password": None,
    "validate_certs": True,
    "ca_path": None,
}
GROUPS = {"canary": ["m1"], "baseline": ["m2", "m3"]}


def member(name, requests, errors, since="monday"):
    counters = {"requests": requests, "errors": errors, "since": since}
    return {"name": name, "state": "enabled", "health": "up", "last_check": "", "counters": counters}


def test_the_members_of_a_group_are_counted_on_every_balancer():
    pool = [
        {"name": "lb1", "members": [member("m1", 10, 1), member("m2", 20, 2), member("m4", 1, 1)]},
        {"name": "lb2", "members": [member("m1", 5, 0), member("m2", 7, 0), member("m3", 8, 1, "tuesday")]},
    ]
    read = BalancerCounters(lambda _counters: pool).read(GROUPS, 0)
    assert read["canary"].counters == {"lb1/m1": Counter(10, 1, "monday"), "lb2/m1": Counter(5, 0, "monday")}
    assert read["baseline"].counters["lb2/m3"] == Counter(8, 1, "tuesday")
    assert set(read["baseline"].counters) == {"lb1/m2", "lb2/m2", "lb2/m3"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("m1", 1, 0)], "m2, m3: no such member of the pool on lb1, which has m1"),
        (
            [{**member(name, 1, 0), "counters": None} for name in ("m1", "m2", "m3")],
            "no counters of requests and errors for m1, m2, m3",
        ),
        ([{"name": name, "state": "enabled", "health": "up"} for name in ("m1", "m2", "m3")], "Take another source"),
    ],
)
def test_balancers_that_cannot_tell(members, said):
    with pytest.raises(InvalidInput) as refused:
        BalancerCounters(lambda _counters: [{"name": "lb1", "members": members}]).read(GROUPS, 0)
    assert said in refused.value.message


def command(code, kind="errors", timeout=20.0):
    return Command([sys.executable, "-c", code], kind, timeout)


def test_a_command_is_told_its_group_and_answers_for_it():
    code = "import json, sys; asked = json.load(sys.stdin); figures = {'requests': len(asked['members']), 'errors': asked['elapsed']}"
    code += "; print(json.dumps(figures))"
    read = command(code).read(GROUPS, 1.5)
    assert read["canary"].counters == {"command": Counter(1, 1.5)}
    assert read["baseline"].counters == {"command": Counter(2, 1.5)}


def test_a_command_for_samples():
    read = command("print('{\"samples\": [1, 2.5, null]}')", "samples").read(GROUPS, 0)
    assert read["canary"].values[:2] == [1.0, 2.5] and math.isnan(read["canary"].values[2])


@pytest.mark.parametrize(
    ("code", "kind", "error", "said"),
    [
        (
            "import sys; sys.exit('no database')",
            "errors",
            Unreachable,
            "asked for the canary, ended with 1: no database",
        ),
        ("print('hello')", "errors", InvalidInput, "printed no JSON: 'hello"),
        ('print(\'{"requests": -1, "errors": 0}\')', "errors", InvalidInput, "both numbers from 0"),
        ('print(\'{"requests": true, "errors": 0}\')', "errors", InvalidInput, "both numbers from 0"),
        ("print('[]')", "errors", InvalidInput, "both numbers from 0"),
        ('print(\'{"samples": ["1"]}\')', "samples", InvalidInput, "expected a list of numbers"),
        ("print('{}')", "samples", InvalidInput, "expected a list of numbers, found 'None'"),
        ("print('[' * 100000)", "samples", InvalidInput, "printed no JSON"),
    ],
)
def test_commands_that_cannot_tell(code, kind, error, said):
    with pytest.raises(error) as refused:
        command(code, kind).read(GROUPS, 0)
    assert said in refused.value.message and len(refused.value.message) < 500


def test_a_command_that_hangs_is_ended():
    with pytest.raises(Unreachable, match="did not end within 0.2 s"):
        command("import time; time.sleep(600)", timeout=0.2).read(GROUPS, 0)


def test_a_command_that_is_not_there():
    with pytest.raises(InvalidInput, match="There is no program /nonexistent where the analysis runs"):
        Command(["/nonexistent"], "errors", 1).read(GROUPS, 0)


def test_a_file_of_one_json_text(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text(
        json.dumps({"canary": {"requests": 5, "errors": 1}, "baseline": {"requests": 7, "errors": 0}, "note": 1})
    )
    read = FigureFile(str(path), "errors").read(GROUPS, 0)
    assert read["canary"].counters == {"file": Counter(5, 1)} and read["baseline"].counters == {"file": Counter(7, 0)}
    path.write_text(json.dumps({"canary": [1, 2], "baseline": {"samples": [3]}}))
    read = FigureFile(str(path), "samples").read(GROUPS, 0)
    assert (read["canary"].values, read["baseline"].values) == ([1, 2], [3])


def test_lines_are_appended_while_we_watch(tmp_path):
    path = tmp_path / "figures.jsonl"
    source = FigureFile(str(path), "samples")
    with pytest.raises(Unreachable, match="cannot be read: No such file"):
        source.read(GROUPS, 0)
    lines = [
        '{"group": "canary", "value": 1}',
        '{"group": "baseline", "samples": [2, 3]}',
        '{"group": "other", "value": 9}',
    ]
    path.write_text("\n".join(lines) + "\n")
    read = source.read(GROUPS, 1)
    assert (read["canary"].values, read["baseline"].values) == ([1], [2, 3])
    with path.open("a") as file:
        file.write('\n{"group": "canary", "value": 4}\n{"group": "canary", "val')  # the last one is under way
    read = source.read(GROUPS, 2)
    assert (read["canary"].values, read["baseline"].values) == ([4], [])
    with path.open("a") as file:
        file.write('ue": 5}\n')
    assert source.read(GROUPS, 3)["canary"].values == [5]
    path.write_text(lines[0] + "\n")
    with pytest.raises(Unreachable, match="fewer samples of the canary than before"):
        source.read(GROUPS, 4)


def test_counts_in_lines_are_added_up(tmp_path):
    path = tmp_path / "figures.jsonl"
    path.write_text(
        '{"group": "canary", "requests": 5, "errors": 1}\n{"group": "canary", "requests": 6, "errors": 0}\n'
    )
    read = FigureFile(str(path), "errors").read(GROUPS, 0)
    assert read["canary"].counters == {"file": Counter(11, 1)} and read["baseline"].counters == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", "line 1: expected JSON with a"),
        ("[1, 2]\n", "line 1: expected JSON with a"),
        ('{"group": "canary", "value": 1}\n{"group": 5}\n', "line 2"),
        ('{"group": "canary"}\n', "expected a list of numbers"),
        ('{"group": "canary", "value": "fast"}\n', "expected a list of numbers"),
        ('{"canary": 5}', "expected a list of numbers"),
    ],
)
def test_files_that_cannot_tell(tmp_path, text, said):
    path = tmp_path / "figures"
    path.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        FigureFile(str(path), "samples").read(GROUPS, 0)
    assert said in refused.value.message


def test_members_in_a_query():
    assert alternatives(["app1", "app2"]) == "(app1|app2)"
    assert alternatives(["app1.example.org:8080", "a+b"]) == "(app1[.]example[.]org:8080|a[+]b)"
    for strange in ('a"b', "a\\b", "a b", "^a"):
        with pytest.raises(InvalidInput, match="Write queries without"):
            alternatives([strange])


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0),
        ("rate(a[5m])", 300),
        ("rate(a[1m30s]) / rate(b[30s])", 90),
        ("max_over_time(rate(a[1m])[1h:30s])", 3600),
        ('a{b="[9m]x"}', 540),  # a range in quotes is none; later values do no harm
    ],
)
def test_the_longest_range_of_a_query(query, seconds):
    assert longest_range(query) == seconds


@pytest.mark.parametrize(
    ("kind", "queries"),
    [
        ("errors", {"query": "a"}),
        ("errors", {"requests": "a"}),
        ("samples", {"requests": "a", "errors": "b"}),
        ("samples", {}),
    ],
)
def test_queries_that_do_not_fit_the_metric(kind, queries):
    with pytest.raises(InvalidInput, match="a metric of"):
        Prometheus({**OPTIONS, **queries}, kind, 5)


def test_a_password_and_a_token_are_one_too_many():
    with pytest.raises(InvalidInput, match="not both"):
        Prometheus({**OPTIONS, "query": "a", "password": "x", "token": "y"}, "samples", 5)
