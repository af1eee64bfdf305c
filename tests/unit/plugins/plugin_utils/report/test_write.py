# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a report: where they are, what is in them, and when they are written."""

from __future__ import annotations

import json
import os
import stat

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report import write
from ansible_collections.zero_downtime.deploy.tests.support.records import samples


@pytest.fixture
def report(tmp_path):
    """``report(record, …)`` writes below a directory that is not there yet."""

    def run(record=None, check_mode=False, **options):
        params = {
            "record": record or samples.rolled_back(),
            "directory": str(tmp_path / "a" / "reports"),
            "name": None,
            **options,
        }
        return write.run(params, check_mode, Clock())

    run.directory = tmp_path / "a" / "reports"
    return run


def everything(directory):
    return {path.relative_to(directory) for path in directory.rglob("*") if path.is_file()}


def test_three_files_and_nothing_else(report):
    result = report()
    stem = "shop-20261122T041203Z-1a2b"
    assert sorted(os.listdir(report.directory)) == [f"{stem}.html", f"{stem}.json", "shop-latest.html"]
    assert (result["html"], result["json"], result["latest"]) == tuple(
        str(report.directory / name) for name in (f"{stem}.html", f"{stem}.json", "shop-latest.html")
    )
    page = (report.directory / f"{stem}.html").read_bytes()
    assert (
        result["changed"]
        and result["bytes"] == len(page)
        and page == (report.directory / "shop-latest.html").read_bytes()
    )


def test_the_json_is_the_record(report):
    record = samples.rolled_back()
    text = open(report(record)["json"], encoding="utf-8").read()
    assert json.loads(text) == record and text.count("\n") == len(record) + 2


def test_a_second_time_nothing_is_written(report):
    first = report()
    before = os.stat(first["html"])
    second = report()
    after = os.stat(first["html"])
    assert not second["changed"] and (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert second["diff"]["before"] == second["diff"]["after"]


def test_only_what_differs_is_written(report):
    result = report()
    os.unlink(result["json"])
    page = os.stat(result["html"]).st_ino
    again = report()
    assert again["changed"] and os.path.exists(result["json"]) and os.stat(result["html"]).st_ino == page
    assert "1a2b.json: absent\n" in again["diff"]["before"] and "absent" not in again["diff"]["after"]


def test_check_mode_tells_the_same_and_touches_nothing(report):
    told = report(check_mode=True)
    assert not report.directory.parent.exists()
    assert told == report()
    assert not report(check_mode=True)["changed"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o644)])
def test_modes_are_those_of_the_umask(report, mask, mode):
    before = os.umask(mask)
    try:
        result = report()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(os.stat(result[name]).st_mode) for name in ("html", "json", "latest")} == {mode}


def test_who_has_closed_a_file_finds_it_closed(report):
    path = report()["html"]
    os.chmod(path, 0o600)
    assert report({**samples.rolled_back(), "lines": ["Something else."]})["changed"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_nobody_sees_half_a_page(report, monkeypatch):
    """A write that fails leaves the old files, whole, and no other."""
    path = report()["html"]
    before, content = sorted(os.listdir(report.directory)), open(path, "rb").read()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "fsync", full)
    with pytest.raises(Unreachable, match="No space left on device"):
        report({**samples.rolled_back(), "lines": ["Something else."]})
    assert (sorted(os.listdir(report.directory)), open(path, "rb").read()) == (before, content)


def test_a_link_is_replaced_and_not_followed(report, tmp_path):
    path = report()["html"]
    victim = tmp_path / "victim"
    victim.write_text("mine")
    os.unlink(path)
    os.symlink(victim, path)
    report()
    assert victim.read_text() == "mine" and not os.path.islink(path)


@pytest.mark.parametrize("name", ["service", "id"])
@pytest.mark.parametrize(
    "bad", ["../../x", "/etc/x", "..", ".", "", "a\0b", "a\nb", "-", ".hidden", "ü" * 200, "x" * 300]
)
def test_no_service_and_no_id_leads_out_of_the_directory(report, name, bad, tmp_path):
    result = report({**samples.nothing(), name: bad})
    assert {os.path.dirname(result[key]) for key in ("html", "json", "latest")} == {str(report.directory)}
    assert len(everything(tmp_path)) == 3 and not [
        path for path in everything(report.directory) if path.name.startswith(".")
    ]


@pytest.mark.parametrize("bad", ["../x", "a/b", "/x", ".x", "..", "a\\b", "a\nb", "x" * 121])
def test_a_name_that_is_none_is_refused(report, bad):
    with pytest.raises(InvalidInput, match="is no name of a file in the directory"):
        report(name=bad)
    assert not report.directory.exists()


def test_a_name_of_one_s_own(report):
    assert os.path.basename(report(name="shop on friday")["html"]) == "shop on friday.html"


def test_another_schema_is_refused_before_anything_is_written(report):
    with pytest.raises(InvalidInput, match="expected schema 1, found schema 2"):
        report({**samples.nothing(), "schema": 2})
    assert not report.directory.exists()


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_directory_that_is_a_file(report, check_mode):
    report.directory.parent.write_text("")
    with pytest.raises(Unreachable, match="The rollout itself is not touched"):
        report(check_mode=check_mode)


def test_ansible_s_own_types_and_what_json_cannot_say():
    class Tagged(str):
        pass

    assert write.plain({Tagged("a"): (Tagged("b"), float("nan"), 1, True, None)}) == {"a": ["b", None, 1, True, None]}
    assert not isinstance(write.plain(Tagged("b")), Tagged)


def test_text_that_is_no_text(report):
    """A lone surrogate comes from bytes that were no UTF-8."""
    result = report({**samples.nothing(), "lines": ["\udcff"]})
    assert "?" in json.loads(open(result["json"], encoding="utf-8").read())["lines"][0]


def test_the_version_is_that_of_the_collection(checkout, monkeypatch, tmp_path):
    assert f"version: {write.collection_version()}\n" in (checkout / "galaxy.yml").read_text(encoding="utf-8")
    monkeypatch.setattr(write, "COLLECTION", tmp_path)
    assert write.collection_version() == "of unknown version"
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": "7.8.9"}}')
    assert write.collection_version() == "7.8.9"
