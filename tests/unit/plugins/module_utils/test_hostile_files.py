# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that somebody has spoilt, by hand or by intent: whoever reads them ends in a value or in words, and leaves them whole."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import tarfile
import zipfile

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.figure_file import FigureFile
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe import record
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.archives import Archive
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import (
    keep_journal,
    manage_release,
    probe_traffic,
    read_releases,
    tell_rollout,
)
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._domain.test_rollout_metrics import RECORD
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils.hostile import briefly, in_words, spoilt

OWNER = {
    "name": "kim",
    "controller": "c1",
    "pid": 10,
    "process_started": 5,
    "boot_id": "b",
    "pid_namespace": "p",
    "machine": "m",
}
STATE = {"state": "enabled", "weight": 100}


def asked(use_case, check_mode=False, **options):
    spec = ArgumentSpecValidator(use_case.ARGUMENT_SPEC, **getattr(use_case, "CONSTRAINTS", {}))
    params = spec.validate(options)
    assert not params.error_messages, params.error_messages
    return use_case.run(params.validated_parameters, check_mode, Clock())


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A rollout that has paused, and one that has ended; the files, and what stands in them."""
    path = tmp_path_factory.mktemp("state")

    def journal(action, **options):
        return asked(keep_journal, action=action, path=str(path), service="shop", owner=OWNER, **options)

    def rollout(version):
        begun = journal("begin", version=version, strategy="rolling")
        mine = {"id": begun["id"], "fence": begun["fence"]}
        before = {"balancers": {"lb1": {"m1": STATE}}, "versions": {"h1": "1"}, "members": {"h1": "m1"}}
        journal("record", before=before, plan=[["h1"], ["h2"]], event="planned", **mine)
        journal("record", event="batch_begun", hosts=["h1"], details={"number": 1}, **mine)
        return mine

    felt = {"requests": 9, "failed": 1, "disturbance": 0.5}
    journal("finish", outcome="succeeded_with_failures", summary={"left_out": ["h1"], "felt": felt}, **rollout("1"))
    paused = rollout("2")
    journal("pause", point="batch", number=1, why="to look", waits_for="approval", **paused)
    return path, {file: file.read_bytes() for file in sorted(path.rglob("*.json"))}


def test_a_spoilt_journal_or_lease(kept):
    path, files = kept
    assert len(files) == 3

    @briefly
    @given(st.data())
    def try_it(data):
        for file in path.rglob("*.json"):
            if file not in files:
                file.unlink()
        for file, content in files.items():
            file.write_bytes(content)
        file = data.draw(st.sampled_from(sorted(files)))
        file.write_bytes(data.draw(spoilt(files[file])))
        ids = [name.stem for name in files if name.parent.name == "rollouts"]
        for action, options in (
            ("read", {}),
            ("begin", {"version": "2", "strategy": "rolling"}),
            ("approve", {}),
            ("record", {"id": ids[-1], "fence": 2, "event": "planned"}),
            ("begin", {"version": "3", "strategy": "rolling", "take_over": True}),
        ):
            for check_mode in (True, False):
                told = {"action": action, "path": str(path), "service": "shop", "owner": OWNER, **options}
                in_words(functools.partial(asked, keep_journal, check_mode, **told))
        assert not list(path.rglob("*.tmp"))

    try_it()


FIGURES = {
    "errors": b'{"group": "canary", "requests": 10, "errors": 1}\n{"group": "baseline", "requests": 12, "errors": 0}\n',
    "samples": b'{"canary": [1.5, null, 3], "baseline": [2, 2.5]}',
}


@pytest.mark.parametrize("kind", FIGURES)
def test_a_spoilt_file_of_figures(kind, tmp_path):
    @briefly
    @given(st.data())
    def try_it(data):
        (tmp_path / "figures").write_bytes(data.draw(spoilt(FIGURES[kind])))
        told = in_words(
            lambda: FigureFile(str(tmp_path / "figures"), kind).read({"canary": ["m1"], "baseline": ["m2"]}, 0)
        )
        for reading in told.values() if isinstance(told, dict) else ():
            assert all(isinstance(value, float) for value in reading.values)

    try_it()


HEAD = {
    "kind": "zero_downtime.probe",
    "format": 1,
    "began": 1795255200.5,
    "urls": ["http://lb/"],
    "rate": 5,
    "timeout": 2,
}
SECOND = {
    "at": 1795255201,
    "outcomes": {"ok": 4, "refused": 1},
    "versions": {"1": 4},
    "latencies": {"counts": {"47": 4}, "longest": 9.5},
    "first": 1795255201.2,
    "last": 1795255201.2,
    "late": 0,
    "failures": [{"time": 1795255201.2, "outcome": "refused", "why": "x", "url": "http://lb/", "version": ""}],
}
PROBED = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in (
        HEAD,
        {"until": 1795255202.0, "seconds": [SECOND]},
        {"until": 1795255203.0, "seconds": [], "ended": "told to"},
    )
)


def test_a_spoilt_record_of_a_prober(tmp_path):
    folder = tmp_path / "shop" / "probe"
    folder.mkdir(parents=True)
    (folder / "lock").touch()

    @briefly
    @given(st.data())
    def try_it(data):
        (folder / "1795255200.500.jsonl").write_bytes(data.draw(spoilt(PROBED)))
        in_words(lambda: record.read(str(folder / "1795255200.500.jsonl")))
        in_words(lambda: asked(probe_traffic, state="read", path=str(tmp_path), name="shop"))

    try_it()


def test_a_spoilt_file_for_the_textfile_collector(tmp_path):
    file = tmp_path / "shop.prom"
    asked(tell_rollout, event="begin", record=RECORD, textfile=str(file))
    real = file.read_bytes()

    @briefly
    @given(st.data())
    def try_it(data):
        before = data.draw(spoilt(real))
        file.write_bytes(before)
        in_words(lambda: asked(tell_rollout, event="finish", record=RECORD, textfile=str(file), on_failure="fail"))
        after = file.read_bytes()
        assert after == before or after.endswith(b"\n")
        assert [path.name for path in tmp_path.iterdir()] == ["shop.prom"]

    try_it()


def tarred():
    told = io.BytesIO()
    with tarfile.open(fileobj=told, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, target, content in (
            ("d", tarfile.DIRTYPE, "", b""),
            ("d/f", tarfile.REGTYPE, "", b"x" * 600),
            ("d/h", tarfile.LNKTYPE, "d/f", b""),
            ("l", tarfile.SYMTYPE, "d/f", b""),
            ("é" * 60, tarfile.REGTYPE, "", b"y"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size, member.mtime = kind, target, len(content), 1.5
            tar.addfile(member, io.BytesIO(content))
    return told.getvalue()


def zipped():
    told = io.BytesIO()
    with zipfile.ZipFile(told, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("d/f", "x" * 600)
        made.writestr("é", "y")
        link = zipfile.ZipInfo("l")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "d/f")
    return told.getvalue()


@pytest.mark.parametrize("real", [tarred(), zipped()], ids=["tar", "zip"])
def test_a_spoilt_archive(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")

    @briefly
    @given(st.data())
    def try_it(data):
        spoiled = bytearray(real)
        for _each in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(spoiled) - 1) | st.integers(0, min(1023, len(spoiled) - 1)))
            junk = data.draw(
                st.sampled_from(
                    [b"\0", b"\xff", b"9", b"/", b"..", b"-", b"\x80\0\0\0", b"L", b"x", b"S", b"1" * 11, b"=", b" "]
                )
            )
            spoiled[at : at + len(junk)] = junk
        if real[:2] != b"PK" and data.draw(st.booleans()):
            rechecked(spoiled)
        archive, into = folder / "archive", folder / "into"
        archive.write_bytes(bytes(spoiled[: data.draw(st.sampled_from([None, None, None, len(spoiled) // 2]))]))
        into.mkdir()

        def unpack():
            with Archive(str(archive), 0) as opened:
                if sum(entry.size for entry in opened.entries) < 1_000_000:
                    opened.unpack(str(into))

        in_words(unpack)
        assert sorted(path.name for path in folder.iterdir()) == ["archive", "into"]
        outside = [path for path in into.rglob("*") if not path.resolve().is_relative_to(into)]
        assert not outside
        shutil.rmtree(into)

    try_it()


def rechecked(archive):
    """Headers of a tar archive with the checksums that they ought to have."""
    for start in range(0, len(archive) - 511, 512):
        header = archive[start : start + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            archive[start + 148 : start + 156] = b"%06o\0 " % sum(header)


def test_a_spoilt_note_of_a_release(tmp_path):
    """The directory of a release is its owner's: what stands there is not trusted, a pipe that nobody writes to included."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "app").write_text("x")
    app = tmp_path / "app"
    options = {"path": str(app), "version": "1", "source": str(tmp_path / "build"), "remote_src": True}
    asked(manage_release, **options)
    note = app / "releases" / "1" / ".release.json"
    real = note.read_bytes()

    @briefly
    @given(st.data())
    def try_it(data):
        if note.is_symlink() or note.exists():
            note.unlink()
        kind = data.draw(st.sampled_from(["text", "text", "text", "pipe", "endless", "directory"]))
        if kind == "text":
            note.write_bytes(data.draw(spoilt(real)))
        elif kind == "pipe":
            os.mkfifo(note)
        elif kind == "endless":
            note.symlink_to("/dev/zero")
        else:
            note.mkdir()
        in_words(lambda: asked(read_releases, path=str(app)))
        in_words(lambda: asked(manage_release, **options))
        if kind == "directory":
            note.rmdir()

    try_it()
