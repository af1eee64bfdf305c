# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is published, and what holds for all files."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from ansible_collections.zero_downtime.deploy.tests.unit.test_collection.collection import (
    CHECKOUT,
    MODULES,
    PLAYBOOKS,
    PLUGINS,
    imports,
    load,
    task_files,
    tasks,
)

PUBLISHED = {
    "README.md", "COPYING", "CHANGELOG.md", "MANIFEST.json", "FILES.json", "changelogs", "meta", "plugins", "roles", "playbooks", "docs",
    "examples", "requirements.txt", "bindep.txt",
}  # fmt: skip
TASK_KEYWORDS = {
    "any_errors_fatal", "args", "async", "become", "become_exe", "become_flags", "become_method", "become_user", "changed_when",
    "check_mode", "collections", "connection", "debugger", "delay", "delegate_facts", "delegate_to", "diff", "environment",
    "failed_when", "ignore_errors", "ignore_unreachable", "listen", "local_action", "loop", "loop_control", "module_defaults",
    "name", "no_log", "notify", "poll", "port", "register", "remote_user", "retries", "run_once", "tags", "throttle", "timeout",
    "until", "vars", "when",
}  # fmt: skip
IMPURE = {
    "ansible", "asyncio", "http", "io", "multiprocessing", "os", "pathlib", "random", "requests", "shutil", "socket",
    "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip


@pytest.fixture(scope="module")
def tarball(tmp_path_factory) -> list[PurePosixPath]:
    """The paths in the collection as ``ansible-galaxy collection build`` makes it."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [Path(sys.executable).parent / "ansible-galaxy", "collection", "build", CHECKOUT, "--output-path", directory],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = directory.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        return [PurePosixPath(name) for name in archive.getnames()]


def test_the_tarball_holds_what_users_need_and_nothing_else(tarball):
    assert {path.parts[0] for path in tarball} - PUBLISHED == set()
    unwanted = re.compile(r"^(\.|__pycache__$|tests$|molecule$|fragments$|scripts$|build$)|\.(pyc|tar\.gz|retry)$")
    assert [str(path) for path in tarball if any(unwanted.search(part) for part in path.parts)] == []
    assert [str(path) for path in tarball if path.parts[:2] == ("examples", "demo")] == []


def test_the_tarball_is_complete(tarball):
    published = {str(path) for path in tarball}
    expected = ["README.md", "COPYING", "CHANGELOG.md", "meta/runtime.yml", "requirements.txt"]
    expected += [f"plugins/modules/{name}.py" for name in MODULES]
    expected += [str(path.relative_to(CHECKOUT)) for path in PLAYBOOKS]
    assert [name for name in expected if name not in published] == []


def test_the_oldest_ansible_is_said_alike_everywhere():
    requires = load(CHECKOUT / "meta" / "runtime.yml")["requires_ansible"]
    assert f"ansible-core{requires}" in (CHECKOUT / "requirements.txt").read_text(encoding="utf-8").splitlines()


def test_the_changelog_knows_this_version():
    version = load(CHECKOUT / "galaxy.yml")["version"]
    assert version in load(CHECKOUT / "changelogs" / "changelog.yaml")["releases"], "run make changelog"


def test_sanity_is_passed_without_exceptions():
    assert list((CHECKOUT / "tests").glob("sanity/ignore*")) == []


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)
def test_a_playbook_can_be_run_by_its_full_name(playbook):
    assert re.fullmatch(r"[a-z][a-z0-9_]*\.yml", playbook.name)


@pytest.mark.parametrize("path", task_files(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_actions_are_called_by_their_full_names(path):
    actions = {
        key for task in tasks(load(path)) for key in task if key not in TASK_KEYWORDS and not key.startswith("with_")
    }
    assert sorted(action for action in actions if action.count(".") < 2) == []


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_file_names_its_licence(path):
    text = path.read_text(encoding="utf-8")
    assert not text or "GNU General Public License v3" in "\n".join(text.splitlines()[:6])


@pytest.mark.parametrize(
    "path", sorted((PLUGINS / "module_utils" / "_domain").glob("*.py")), ids=lambda path: path.stem
)
def test_the_domain_is_pure(path):
    assert sorted({name.split(".")[0] for name in imports(path)} & IMPURE) == []
    # Its own package, and nothing further up.
    assert [name for name in imports(path) if name.startswith("..")] == []
    # It may calculate with dates, and asks no clock.
    assert re.findall(r"\.(?:now|today|utcnow)\(", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (PLUGINS / "module_utils").rglob("*.py") if path.name != "_doors.py"),
    ids=lambda path: str(path.relative_to(PLUGINS / "module_utils")),
)
def test_nothing_below_the_door_sees_the_module(path):
    assert [name for name in imports(path) if name.startswith("ansible.module_utils.basic")] == []
