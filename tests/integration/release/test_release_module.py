# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules `release` and `release_info` as playbooks use them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest


def oldest_python():
    """The oldest supported Python that there is here and that runs."""
    for minor in range(8, 11):
        python = shutil.which(f"python3.{minor}")
        if python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return sys.executable


PYTHON = oldest_python()
DOORS = [
    pytest.param({"shipped": False}, id="in-process"),
    pytest.param(
        {"shipped": True, "python": PYTHON},
        id=f"shipped-{os.path.basename(PYTHON)}",
        marks=pytest.mark.skipif(os.getuid() != 0, reason="only root becomes root without being asked"),
    ),
]
pytestmark = pytest.mark.parametrize("door", DOORS)

TOLD = ["path", "current", "previous", "releases", "activated", "unpacked", "pruned", "changed", "diff"]


def release(**options):
    return {"name": "Release", "zero_downtime.deploy.release": options}


@pytest.fixture
def app(tmp_path):
    return tmp_path / "srv" / "app"


@pytest.fixture
def files(tmp_path):
    """The files directory beside the playbook, with an archive and a directory in it."""
    tree = tmp_path / "files" / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "VERSION").write_text("tree\n")
    (tree / "bin" / "app").write_text("#!/bin/sh\n")
    (tree / "bin" / "app").chmod(0o755)
    with tarfile.open(tmp_path / "files" / "app.tar.gz", "w:gz") as tar:
        tar.add(tree, "app")
    return tmp_path / "files"


def test_from_the_controller_with_prediction_and_once_only(play, app, files, door):
    archive = release(path=str(app), version="1", source="app.tar.gz", strip_components=1, shared=["log"])
    directory = release(path=str(app), version="2", source="tree/")
    for task in (archive, directory):
        foretold = play([task], check=True, **door)
        if task is archive:
            assert not app.exists()
        done = play([task], **door)
        again = play([task], **door)
        # Ansible itself adds what it knows about `path`, once that is there.
        told = [{key: run["Release"][key] for key in TOLD} for run in (foretold, done)]
        assert told[0] == told[1]
        assert told[1]["changed"] and told[1]["activated"] and told[1]["unpacked"]
        assert not again["Release"]["changed"]
        assert '"current": "' in foretold.output
    assert (app / "current" / "VERSION").read_text() == "tree\n"
    assert os.access(app / "current" / "bin" / "app", os.X_OK)
    # Both doors record the same content as the same.
    other = play([directory], shipped=not door["shipped"])
    assert not other["Release"].get("failed"), other.output
    assert not other["Release"]["changed"]

    info = play([{"name": "Info", "zero_downtime.deploy.release_info": {"path": str(app)}}], **door)["Info"]
    assert [(r["version"], r["source_kind"], r["source_name"]) for r in info["releases"]] == [
        ("1", "archive", "app.tar.gz"),
        ("2", "directory", "tree"),
    ]
    assert (info["current"], info["previous"], info["incomplete"]) == ("2", "1", [])

    # What is there needs no source on the controller either.
    shutil.rmtree(files)
    back = play([archive], **door)
    assert back["Release"]["current"] == "1" and not back["Release"]["unpacked"]
    reverted = play([release(path=str(app), state="reverted")], **door)
    assert reverted["Release"]["current"] == "2"


def test_from_the_host_and_from_a_server(play, app, files, tmp_path, door):
    play([release(path=str(app), version="1", source=str(files / "app.tar.gz"), remote_src=True)], **door)
    assert (app / "current" / "app" / "VERSION").exists()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(files)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        options = {"path": str(app), "headers": {"X-Token": "t0k3n-t0k3n"}}
        done = play([release(version="2", source=url + "/app.tar.gz", **options)], **door)
        assert done["Release"]["current"] == "2"
        assert "t0k3n" not in done.output
        failed = play([release(version="3", source=url + "/missing", **options)], **door)
        assert "answered 404" in failed.message
    finally:
        server.shutdown()
        server.server_close()
    assert sorted(os.listdir(app / "releases")) == ["1", "2"]


@pytest.mark.parametrize("check", [True, False])
def test_what_is_wrong_is_told_and_touches_nothing(play, app, files, door, check):
    (files / "bad.tar").write_text("no archive")
    wrong = "sha256:" + "0" * 64
    tasks = []
    for options in (
        {"source": "nowhere.tgz"},
        {"source": "bad.tar"},
        {"source": "app.tar.gz", "checksum": wrong},
        {"source": "tree", "checksum": wrong},
        {"source": "app.tar.gz", "version": "a/b"},
        {},
        {"state": "reverted", "version": None},
    ):
        options = {"path": str(app), "version": "1", **options}
        task = release(**{name: value for name, value in options.items() if value is not None})
        tasks.append({**task, "ignore_errors": True})
    messages = [result["msg"] for name, result in play(tasks, check=check, **door).tasks]
    expected = [
        "nowhere.tgz",
        "expected an archive",
        "checksum of app.tar.gz is wrong",
        "is a directory, and a checksum is that of an archive",
        "cannot name a directory",
        "no source",
        "no previous release",
    ]
    assert len(messages) == len(expected)
    for message, part in zip(messages, expected, strict=True):
        assert part in message
        assert "othing was" in message
    assert not app.exists() or os.listdir(app / "releases") == []
