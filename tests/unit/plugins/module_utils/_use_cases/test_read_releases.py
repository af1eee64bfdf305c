# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a release layout."""

from __future__ import annotations

import os

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import manage_release, read_releases


def read(path):
    return read_releases.run({"path": str(path)}, True, Clock())


def test_a_path_that_is_not_there_holds_nothing(tmp_path):
    found = read(tmp_path / "app")
    assert found["exists"] is False
    assert (found["current"], found["releases"], found["incomplete"]) == (None, [], [])
    assert not (tmp_path / "app").exists()


def test_releases_and_leftovers(tmp_path):
    source, app = tmp_path / "tree", tmp_path / "app"
    source.mkdir()
    (source / "f").write_text("x")
    params = {name: option.get("default") for name, option in manage_release.ARGUMENT_SPEC.items()}
    params.update(path=str(app), version="1", source=str(source), remote_src=True)
    manage_release.run(params, False, Clock())
    (app / "releases" / ".2.partial").mkdir()
    (app / "releases" / "unknown").mkdir()
    (app / "releases" / "a-file").write_text("")
    os.symlink("releases/1", app / ".current.new")
    found = read(app)
    assert found["incomplete"] == [
        str(app / ".current.new"),
        str(app / "releases" / ".2.partial"),
        str(app / "releases" / "unknown"),
    ]
    (release,) = found["releases"]
    assert (release["version"], release["source_kind"], release["source_name"]) == ("1", "directory", "tree")
    assert release["checksum"].startswith("sha256:") and release["unpacked_at"].endswith("+00:00")


def test_what_is_no_layout_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeployError, match="found a file"):
        read(tmp_path / "file")
    with pytest.raises(DeployError, match="not absolute"):
        read("relative")
