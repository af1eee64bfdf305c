# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `release` as a play uses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml


TASK = "Put the release in place, activate it and restart the service"


@pytest.fixture
def app(tmp_path):
    return tmp_path / "srv" / "app"


@pytest.fixture
def deploy(play, app, tmp_path):
    """Run the role for a service whose restart writes down which release it found."""
    for version in "123":
        (tmp_path / version).mkdir()
        (tmp_path / version / "VERSION").write_text(version + "\n")
    script = tmp_path / "restart"
    script.write_text(f"#!/bin/sh\ncat '{app}/current/VERSION' >> '{tmp_path}/started'\n")
    script.chmod(0o755)

    def run(tasks_from="main", check=False, **variables):
        return play(
            [{"ansible.builtin.include_role": {"name": "zero_downtime.deploy.release", "tasks_from": tasks_from}}],
            check=check,
            **{
                "release_path": str(app),
                "release_source": str(tmp_path) + "/{{ release_version }}",
                "release_restart_command": [str(script)],
                **variables,
            },
        )

    return run


@pytest.fixture
def started(tmp_path):
    """Which releases were started, in order."""
    return lambda: (tmp_path / "started").read_text().split() if (tmp_path / "started").exists() else []


def test_deploying_again_and_back(deploy, app, started):
    foretold = deploy(release_version="1", check=True)
    assert foretold[TASK]["restarted"]
    assert not app.exists() and started() == []

    deploy(release_version="1")
    deploy(release_version="1")
    assert started() == ["1"]
    deploy(release_version="2")
    assert started() == ["1", "2"]
    # Whoever cannot know what a run before this one left undone.
    deploy(release_version="2", release_restart="always")
    assert started() == ["1", "2", "2"]

    assert not deploy("revert", check=True).failed
    assert os.readlink(app / "current") == "releases/2"
    deploy("revert")
    assert started() == ["1", "2", "2", "1"]


def test_a_rollback_needs_no_source_and_does_not_take_that_of_the_release_it_leaves(deploy, app, tmp_path, started):
    own = {"release_source": str(tmp_path) + "/{{ rollout_version }}"}
    deploy(rollout_version="1", **own)
    deploy(rollout_version="2", **own)
    done = deploy(rollout_version="2", rollout_deploy_version="1", **own)
    assert not done.failed, done.output
    assert started() == ["1", "2", "1"]
    # A release that is gone is not made from the other one's source.
    failed = deploy(rollout_version="2", rollout_deploy_version="3", **own)
    assert "Release 3 is not in" in failed.message
    assert os.readlink(app / "current") == "releases/1"


def test_wrong_variables_are_told_before_anything_is_touched(deploy, app):
    for variables, message in [
        ({"release_keep": "many"}, "release_keep"),
        ({"release_restart": "sometimes"}, "release_restart"),
        ({"release_service": "shop.service"}, "mutually exclusive"),
        ({"release_version": ""}, "cannot name a directory"),
        ({"release_restart_command": ["/no/such/program"]}, "no program /no/such/program"),
        ({"release_restart_command": "systemctl restart shop"}, "no program systemctl restart shop"),
        ({"release_restart_command": [], "release_restart": "always"}, "says how"),
        ({"release_version": "a/b"}, "cannot name a directory"),
    ]:
        failed = deploy(**{"release_version": "1", **variables})
        assert failed.failed and message in failed.output
    assert not app.exists()


def test_defaults_and_argument_specs_say_the_same():
    role = Path(__file__).parents[3] / "roles" / "release"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    entries = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    described = {name: option for entry in entries.values() for name, option in entry["options"].items()}
    assert {name: option["default"] for name, option in described.items() if "default" in option} == defaults
    assert [name for name, option in described.items() if option.get("required")] == ["release_path"]
