# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The use case on real directories and archives."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError, Late
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.fence import held
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import manage_release, read_releases
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import read


def do(path, version=None, check=False, **options):
    args = {"path": str(path), "version": version, **{k: str(v) if k == "source" else v for k, v in options.items()}}
    args.setdefault("remote_src", "source" in options)
    args = {name: value for name, value in args.items() if value is not None}
    validated = ArgumentSpecValidator(manage_release.ARGUMENT_SPEC, **manage_release.CONSTRAINTS).validate(args)
    assert not validated.error_messages, validated.error_messages
    return manage_release.run(validated.validated_parameters, check, Clock())


def info(path):
    return read_releases.run({"path": str(path)}, False, Clock())


def snapshot(path):
    """Everything below `path`: names, kinds, contents, link targets, times."""
    found = {}
    for root, directories, files in os.walk(path):
        for name in directories + files:
            here = os.path.join(root, name)
            status = os.lstat(here)
            content = os.readlink(here) if os.path.islink(here) else None
            if os.path.isfile(here) and not os.path.islink(here):
                with open(here, "rb") as file:
                    content = file.read()
            found[here] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.fixture
def app(tmp_path):
    return tmp_path / "srv" / "app"


@pytest.fixture
def build(tmp_path):
    """Make the archive of a version; its content says which it is."""

    def built(version, **files):
        tree = tmp_path / "build" / version
        tree.mkdir(parents=True)
        for name, content in {"VERSION": version, **files}.items():
            file = tree / name.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(content)
        archive = tmp_path / f"app-{version}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tree, ".")
        return archive

    return built


def running(app):
    return (app / "current" / "VERSION").read_text()


def sha256(path):
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_release_is_put_in_place_and_activated(app, build):
    result = do(app, "1", source=build("1"))
    assert running(app) == "1"
    assert result["changed"] and result["activated"] and result["unpacked"]
    assert (result["current"], result["previous"], result["releases"]) == ("1", None, ["1"])
    assert os.readlink(app / "current") == "releases/1"
    assert sorted(os.listdir(app / "releases")) == ["1"]


def test_a_second_time_nothing_changes(app, build):
    archive = build("1")
    do(app, "1", source=archive)
    before = snapshot(app)
    result = do(app, "1", source=archive)
    assert not result["changed"] and not result["activated"]
    assert snapshot(app) == before


def test_present_does_not_activate(app, build):
    do(app, "1", source=build("1"))
    result = do(app, "2", source=build("2"), state="present")
    assert running(app) == "1" and result["unpacked"] and not result["activated"]
    # What is there needs no source.
    result = do(app, "2")
    assert running(app) == "2" and result["previous"] == "1" and not result["unpacked"]


def test_reverting_and_reverting_again(app, build):
    for version in "12":
        do(app, version, source=build(version))
    result = do(app, state="reverted")
    assert running(app) == "1" and result["previous"] == "2" and result["activated"]
    assert result["releases"] == ["1", "2"]
    do(app, state="reverted")
    assert running(app) == "2"


def test_reverting_without_a_previous_release(app, build):
    do(app, "1", source=build("1"))
    before = snapshot(app)
    with pytest.raises(DeployError, match="no previous release.*current is 1"):
        do(app, state="reverted")
    assert snapshot(app) == before


def test_old_releases_are_pruned(app, build):
    for version in "12345":
        result = do(app, version, source=build(version), keep=3)
    assert result["pruned"] == ["2"]
    assert sorted(os.listdir(app / "releases")) == ["3", "4", "5"]
    do(app, "3", keep=3)
    result = do(app, "3", keep=1)
    # What ran before is kept, however old.
    assert (result["pruned"], result["releases"], result["previous"]) == (["4"], ["3", "5"], "5")


def test_an_old_release_that_will_not_go_is_a_warning(app, build, monkeypatch):
    for version in "12":
        do(app, version, source=build(version))

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("shutil.rmtree", refuse)
    result = do(app, "3", source=build("3"), keep=2)
    assert running(app) == "3"
    assert "old release 1 could not be removed" in result["warnings"][0]
    monkeypatch.undo()
    assert info(app)["incomplete"] == [str(app / "releases" / ".1.removed")]
    assert do(app, "3", keep=2)["changed"]
    assert info(app)["incomplete"] == []


def test_an_unwritable_directory_of_an_old_release_is_removed(app, build):
    do(app, "1", source=build("1", cache__x="x"))
    (app / "releases" / "1" / "cache").chmod(0o500)
    for version in "23":
        do(app, version, source=build(version), keep=2)
    assert sorted(os.listdir(app / "releases")) == ["2", "3"]


def test_absent(app, build):
    for version in "123":
        do(app, version, source=build(version))
    with pytest.raises(DeployError, match="is the current one"):
        do(app, "3", state="absent")
    assert do(app, "1", state="absent")["pruned"] == ["1"]
    assert not do(app, "1", state="absent")["changed"]
    result = do(app, "2", state="absent")
    assert result["previous"] is None and not os.path.lexists(app / "previous")
    assert not do(app.parent / "nothing", "1", state="absent")["changed"]


def test_a_directory_as_source(app, tmp_path, build):
    build("1")
    tree = tmp_path / "build" / "1"
    do(app, "1", source=tree)
    assert running(app) == "1"
    assert not do(app, "1", source=tree)["changed"]
    (tree / "VERSION").write_text("other")
    with pytest.raises(DeployError, match="there already, with other content"):
        do(app, "1", source=tree)
    with pytest.raises(DeployError, match="is a directory, and a checksum is that of an archive"):
        do(app, "2", source=tree, checksum="sha256:" + "0" * 64)
    # A copy of a release gets a record of its own.
    do(app, "2", source=app / "releases" / "1")
    assert json.loads((app / "releases" / "2" / ".release.json").read_text())["version"] == "2"


def test_checksums(app, build):
    archive, wrong = build("1"), "sha256:" + "0" * 64
    with pytest.raises(DeployError, match="checksum of app-1.tar.gz is wrong") as caught:
        do(app, "1", source=archive, checksum=wrong)
    assert caught.value.facts == {"expected_checksum": wrong, "found_checksum": sha256(archive)}
    assert wrong in caught.value.message and sha256(archive) in caught.value.message
    assert info(app)["releases"] == [] and info(app)["incomplete"] == []
    sha512 = "sha512:" + hashlib.sha512(archive.read_bytes()).hexdigest()
    do(app, "1", source=archive, checksum=sha512)
    assert info(app)["releases"][0]["checksum"] == sha256(archive)
    for checksum in (sha256(archive), sha512):
        assert not do(app, "1", checksum=checksum)["changed"]
    with pytest.raises(DeployError, match="with other content"):
        do(app, "1", checksum=wrong)
    with pytest.raises(DeployError, match="with other content"):
        do(app, "1", source=build("other"))


def test_shared_directories_and_files(app, build):
    first = build("1", log__first="seed", conf__app="from release 1", conf__fixed="kept 1")
    do(app, "1", source=first, shared=["log", "conf/app", "tmp/pids"])
    assert (app / "shared" / "log" / "first").read_text() == "seed"
    assert (app / "current" / "conf" / "app").read_text() == "from release 1"
    assert (app / "current" / "tmp" / "pids").is_dir()
    (app / "shared" / "log" / "today").write_text("line")
    second = build("2", log__other="x", conf__app="from release 2", conf__fixed="kept 2")
    do(app, "2", source=second, shared=["log", "conf/app", "tmp/pids"])
    # What is shared wins; the rest is the release's own.
    assert sorted(os.listdir(app / "current" / "log")) == ["first", "today"]
    assert (app / "current" / "conf" / "app").read_text() == "from release 1"
    assert (app / "current" / "conf" / "fixed").read_text() == "kept 2"
    assert os.readlink(app / "current" / "conf" / "app") == "../../../shared/conf/app"


def test_a_shared_path_below_a_file_leaves_nothing(app, build):
    do(app, "1", source=build("1"))
    with pytest.raises(DeployError, match="cannot be shared"):
        do(app, "2", source=build("2", log="a file"), shared=["log/app"])
    assert running(app) == "1" and info(app)["incomplete"] == [] and len(info(app)["releases"]) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_release_is_given_to_its_owner(app, build):
    do(app, "1", source=build("1", bin__app="x"), shared=["log"], owner="nobody", group="12345")
    uid = {(path.lstat().st_uid, path.lstat().st_gid) for path in (app / "releases" / "1").rglob("*")}
    assert uid == {((app / "releases" / "1").stat().st_uid, 12345)} and 0 not in {pair[0] for pair in uid}
    assert (app / "shared" / "log").stat().st_gid == 12345
    assert (app / "releases").stat().st_uid == 0


def test_wrong_input_touches_nothing(app, build, tmp_path):
    archive = build("1")
    for options, message in [
        ({"version": "../x", "source": archive}, "cannot name a directory"),
        ({"version": "1", "source": tmp_path / "missing"}, "There is no source .*missing"),
        ({"version": "1", "source": "/dev/null"}, "neither a file nor a directory"),
        ({"version": "1"}, "no source on this host was named"),
        ({"version": "1", "source": archive, "owner": "no-such-user"}, "no user 'no-such-user'"),
        ({"version": "1", "source": archive, "group": "no-such-group"}, "no group 'no-such-group'"),
        ({"version": "1", "source": archive, "keep": 0}, "keep must be 1 or more"),
        ({"version": "1", "source": archive, "strip_components": -1}, "strip_components must be 0"),
        ({"version": "1", "source": archive, "shared": ["/etc"]}, "shared path"),
        ({"version": "1", "source": archive, "checksum": "abc"}, "checksum 'abc' is none"),
        ({"version": "1", "state": "reverted"}, "version has no meaning"),
    ]:
        for check in (True, False):
            with pytest.raises(DeployError, match=message):
                do(app, check=check, **options)
    with pytest.raises(DeployError, match="not absolute"):
        do("srv/app", "1", source=archive)
    assert not app.parent.exists()


def test_what_is_missing_is_a_source(app):
    with pytest.raises(DeployError) as caught:
        do(app, "1")
    assert caught.value.facts["source_needed"] is True


@pytest.mark.parametrize("content", ["no archive", ""])
def test_a_source_that_is_no_archive_leaves_nothing(app, build, tmp_path, content):
    do(app, "1", source=build("1"))
    (tmp_path / "bad.tar.gz").write_text(content)
    for check in (True, False):
        with pytest.raises(DeployError, match="bad.tar.gz: expected an archive"):
            do(app, "2", source=tmp_path / "bad.tar.gz", check=check)
    assert running(app) == "1"
    assert sorted(os.listdir(app / "releases")) == ["1"]


def test_things_in_the_way(app, build, tmp_path):
    archive = build("1")
    app.parent.mkdir()
    app.write_text("a file")
    with pytest.raises(DeployError, match="expected a directory, or nothing, found a file"):
        do(app, "1", source=archive)
    app.unlink()
    (app / "current").mkdir(parents=True)
    with pytest.raises(DeployError, match="current: expected a symbolic link.*found a directory.*Move it away"):
        do(app, "1", source=archive)
    (app / "current").rmdir()
    (app / "current").symlink_to(tmp_path)
    with pytest.raises(DeployError, match="found one to"):
        do(app, "1", source=archive)
    (app / "current").unlink()
    (app / "releases").write_text("")
    with pytest.raises(DeployError, match="expected a directory of releases"):
        do(app, "1", source=archive)


def test_a_layout_made_by_something_else_is_taken_over(app, build):
    """With an absolute link, and releases without a record: what is linked is complete, of the rest nobody knows."""
    for version in ("old", "torn"):
        (app / "releases" / version).mkdir(parents=True)
        (app / "releases" / version / "VERSION").write_text(version)
    (app / "current").symlink_to(app / "releases" / "old")
    with pytest.raises(DeployError, match="nobody knows whether it is complete"):
        do(app, "torn")
    result = do(app, "1", source=build("1"), keep=1)
    assert (result["previous"], result["releases"]) == ("old", ["old", "1"])
    assert info(app)["incomplete"] == [str(app / "releases" / "torn")]
    do(app, state="reverted")
    assert running(app) == "old"
    assert do(app, "torn", state="absent")["changed"]


def test_a_second_run_at_the_same_time_is_refused(app, build):
    do(app, "1", source=build("1"))
    archive = build("2")
    directory = os.open(app / "releases", os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    try:
        with pytest.raises(DeployError, match="Another run is at work"):
            do(app, "2", source=archive)
    finally:
        os.close(directory)
    do(app, "2", source=archive)


def test_a_full_disk_leaves_the_release_that_runs(app, build, monkeypatch):
    do(app, "1", source=build("1"))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(DeployError, match="No space left on device. Current names 1.*Make room"):
        do(app, "2", source=build("2"))
    assert sorted(os.listdir(app / "releases")) == ["1"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs to be root first, to be somebody else then")
def test_a_missing_permission_is_told(build):
    archive = build("1")
    # Not below pytest's own directory, which nobody else may enter.
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        source = shutil.copy(archive, place)
        os.seteuid(65534)
        try:
            with pytest.raises(DeployError, match="Permission denied.*There is no current release.*become"):
                do(place + "/app", "1", source=source)
        finally:
            os.seteuid(0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["active", "present", "reverted", "absent"]), st.sampled_from("12345"), st.integers(1, 4)
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """A directory with a tree for each of five versions."""
    root = tmp_path_factory.mktemp("five")
    for version in "12345":
        (root / version).mkdir()
        (root / version / "VERSION").write_text(version)
    return root


@settings(max_examples=40)
@given(STEPS)
def test_check_mode_says_what_the_run_then_does_and_writes_nothing(tmp_path_factory, five, steps):
    app = tmp_path_factory.mktemp("srv") / "app"
    for state, version, keep in steps:
        options = {"keep": keep, "state": state}
        if state != "reverted":
            options.update(version=version, source=five / version, shared=["log"])
        before = snapshot(app)
        outcomes = []
        for check in (True, False):
            try:
                outcomes.append(do(app, check=check, **options))
            except DeployError as error:
                outcomes.append(error.message)
            if check:
                assert snapshot(app) == before
        assert outcomes[0] == outcomes[1]
        found = info(app)
        assert found["incomplete"] == [] and not found["interrupted"]
        if found["current"]:
            assert running(app) == found["current"]


# Crashes


def killed_at(step, action):
    """Run `action` in a child that dies, as if by SIGKILL, right before its `step`-th operation on a file.

    :returns: whether it got that far.
    """
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event, args):
            nonlocal seen
            if event == "open" or event.startswith(("os.", "shutil.")):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            action()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


CRASHES = {
    "first": ([], {"version": "1"}, ("1", None)),
    "second": ([{"version": "1"}], {"version": "2"}, ("2", "1")),
    "pruning": ([{"version": v} for v in "123"], {"version": "4", "keep": 2}, ("4", "3")),
    "back": ([{"version": v} for v in "123"], {"version": "1"}, ("1", "3")),
    "reverted": ([{"version": v} for v in "123"], {"state": "reverted"}, ("2", "3")),
    "absent": ([{"version": v} for v in "123"], {"version": "1", "state": "absent"}, ("3", "2")),
}


@pytest.mark.parametrize("name", CRASHES)
def test_after_a_crash_at_any_step_the_layout_is_whole_and_the_same_run_completes(tmp_path, five, name):
    earlier, options, expected = CRASHES[name]

    def act(app, **options):
        if "version" in options and options.get("state") != "absent":
            options.update(source=five / options["version"], shared=["log"])
        return do(app, **options)

    step, died = 0, True
    while died:
        step += 1
        app = tmp_path / str(step)
        for one in earlier:
            act(app, **one)
        was = info(app)["current"]
        died = killed_at(step, lambda app=app: act(app, **options))

        # What runs is the old release or the new one, and whole.
        found = info(app)
        assert found["current"] in (was, expected[0])
        for release in found["releases"]:
            with open(os.path.join(release["path"], "VERSION"), encoding="utf-8") as file:
                assert file.read() == release["version"]
            assert os.path.islink(os.path.join(release["path"], "log"))
        visible = [entry for entry in os.listdir(app / "releases") if entry[0] != "."] if found["exists"] and (
            app / "releases"
        ).exists() else []
        assert sorted(visible) == sorted(release["version"] for release in found["releases"])
        if options.get("state") == "reverted" and found["current"] == expected[0] and not found["interrupted"]:
            # It had been completed; once more would be another revert.
            continue
        foretold = act(app, check=True, **options)
        result = act(app, **options)
        assert result == foretold
        assert (result["current"], result["previous"]) == expected
        assert running(app) == expected[0]
        after = info(app)
        assert after["incomplete"] == [] and not after["interrupted"]
        assert not [entry for entry in os.listdir(app) + os.listdir(app / "releases") if entry[0] == "."]
        if options.get("state") != "reverted":
            assert not act(app, **options)["changed"]
    assert step > 5


def lease(age):
    return held({"service": "shop", "rollout": "r-7", "fence": 7, "ttl": 100}, read(Clock()).later(-age))


def test_a_late_owner_touches_nothing(app, build):
    do(app, "1", source=build("1"), lease=lease(0))
    before, two = snapshot(app), build("2")
    with pytest.raises(Late, match=r"where current names 1 \(nothing was touched\): nothing is written any more"):
        do(app, "2", source=two, lease=lease(90))
    assert do(app, "2", source=two, check=True, lease=lease(90))["changed"]
    assert snapshot(app) == before


def test_an_owner_who_is_late_when_it_is_unpacked_does_not_activate_it(app, build, monkeypatch):
    do(app, "1", source=build("1"))

    def slow(*args):
        install(*args)
        monkeypatch.setattr(Clock, "now", lambda clock: time.time() + 500)

    install = manage_release.install
    monkeypatch.setattr(manage_release, "install", slow)
    with pytest.raises(Late, match=r"where current names 1 \(the release that was asked for is there and not activated\)"):
        do(app, "2", source=build("2"), lease=lease(0))
    assert running(app) == "1" and (app / "releases" / "2").is_dir()


# What runs from it is restarted


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make a program that writes down its arguments, says something and exits with a status of its own; read what it wrote."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)

    def make(name, body=""):
        (directory / name).write_text(f"#!/bin/sh\necho \"$@\" >> {directory}/called\n{body}\n")
        (directory / name).chmod(0o755)

    def called():
        found = (directory / "called").read_text().splitlines() if (directory / "called").exists() else []
        (directory / "called").unlink(missing_ok=True)
        return found

    make.called = called
    return make


def test_a_command_restarts_what_another_release_was_activated_for(app, build, program):
    program("shopctl")
    command = ["shopctl", "restart", "now & then"]
    assert do(app, "1", source=build("1"), restart_command=command)["restarted"] and program.called() == ["restart now & then"]
    assert not do(app, "1", restart_command=command)["restarted"] and program.called() == []
    always = do(app, "1", restart_command=command, restart="always")
    assert always["changed"] and not always["activated"] and program.called() == ["restart now & then"]
    assert not do(app, "2", source=build("2"), restart_command=command, restart="never")["restarted"] and program.called() == []
    assert do(app, state="reverted", restart_command=command)["restarted"] and program.called() == ["restart now & then"]
    assert do(app, "2", check=True, restart_command=command)["restarted"] and program.called() == []
    assert not do(app, "3", source=build("3"), state="present", restart_command=command, restart="always")["restarted"]


def test_a_service_that_a_command_leaves_behind_is_not_waited_for(app, build, program):
    program("shopctl", "sleep 60 & echo $! > $0.pid")
    assert do(app, "1", source=build("1"), restart_command=["shopctl"])["restarted"]
    os.kill(int((app.parents[1] / "programs" / "shopctl.pid").read_text()), signal.SIGTERM)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"restart_command": ["/no/such/shopctl"]}, "There is no program /no/such/shopctl on this host"),
        ({"restart_command": ["{app}"]}, "cannot be executed on this host"),
        ({"restart": "always"}, "neither service nor restart_command says how"),
        ({"service": "shpo"}, "systemd cannot restart the unit shpo on this host: it is not-found"),
        ({"service": "broken"}, "systemd did not say whether it has the unit broken: exited with 1: no bus"),
    ],
)
def test_what_cannot_restart_is_refused_before_anything_is_touched(app, build, program, options, said):
    known = "*shop) echo LoadState=loaded;; *) echo LoadState=not-found;;"
    program("systemctl", f'case "$*" in *broken) echo no bus >&2; exit 1;; {known} esac')
    do(app, "1", source=build("1"))
    options = {name: [word.format(app=app) for word in value] if isinstance(value, list) else value for name, value in options.items()}
    before = snapshot(app)
    for check in (True, False):
        with pytest.raises(DeployError, match=said) as error:
            do(app, "2", check=check, source=build(f"2{check}"), **options)
        assert "Nothing was touched." in error.value.message and snapshot(app) == before


def test_a_unit_is_restarted_or_reloaded(app, build, program):
    program("systemctl", "echo LoadState=loaded")
    do(app, "1", source=build("1"), service="shop")
    assert program.called() == ["show --property=LoadState -- shop", "restart shop"]
    do(app, "2", source=build("2"), service="shop", service_state="reloaded", service_scope="user")
    assert program.called() == ["--user show --property=LoadState -- shop", "--user reload shop"]


def test_a_restart_that_fails_tells_what_runs(app, build, program):
    program("shopctl", "echo port in use >&2; exit 3")
    said = "Release 1 is current in .*, and the service was not restarted: `shopctl` exited with 3: port in use"
    with pytest.raises(DeployError, match=said) as error:
        do(app, "1", source=build("1"), restart_command=["shopctl"])
    assert error.value.facts["changed"] and not error.value.facts["restarted"] and os.readlink(app / "current") == "releases/1"
