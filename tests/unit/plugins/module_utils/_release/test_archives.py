# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real archives, good and bad."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time
import zipfile

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.archives import Archive, pack_directory


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "app").write_text("#!/bin/sh\n")
    (root / "bin" / "app").chmod(0o775)
    (root / "bin" / "run").symlink_to("app")
    (root / "empty").mkdir()
    (root / "data").write_bytes(b"x" * 100_000)
    (root / "data").chmod(0o4666)
    os.utime(root / "data", (1_000_000_000, 1_000_000_000))
    return root


def unpacked(archive, into, strip=0):
    into.mkdir()
    with Archive(str(archive), strip) as opened:
        opened.unpack(str(into))
    return {
        str(path.relative_to(into)): (
            os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        )
        for path in into.rglob("*")
    }


WHOLE = {
    "bin": None,
    "bin/app": b"#!/bin/sh\n",
    "bin/run": "app",
    "empty": None,
    "data": b"x" * 100_000,
}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_of_tar(tmp_path, tree, mode):
    archive = tmp_path / "whatever-it-is-called"
    with tarfile.open(archive, mode) as tar:
        tar.add(tree, "./top")
    umask = os.umask(0o077)
    try:
        assert unpacked(archive, tmp_path / "out", strip=1) == WHOLE
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "out" / "bin" / "app").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out" / "bin").stat().st_mode) == 0o755
    # Neither set-user-id nor writable for others.
    assert stat.S_IMODE((tmp_path / "out" / "data").stat().st_mode) == 0o644
    assert (tmp_path / "out" / "data").stat().st_mtime == 1_000_000_000


def test_zip(tmp_path, tree):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(tree / "data", "top/data")
        zipped.write(tree / "bin" / "app", "top/bin/app")
        zipped.writestr("top/empty/", "")
        link = zipfile.ZipInfo("top/bin/run")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "app")
    assert unpacked(archive, tmp_path / "out", strip=1) == WHOLE
    assert os.access(tmp_path / "out" / "bin" / "app", os.X_OK)


def test_hard_links_are_kept(tmp_path):
    (tmp_path / "a").write_text("same")
    os.link(tmp_path / "a", tmp_path / "b")
    with tarfile.open(tmp_path / "t", "w") as tar:
        tar.add(tmp_path / "a", "top/a")
        tar.add(tmp_path / "b", "top/b")
    unpacked(tmp_path / "t", tmp_path / "out", strip=1)
    assert (tmp_path / "out" / "b").read_text() == "same"
    assert os.path.samefile(tmp_path / "out" / "a", tmp_path / "out" / "b")


def tar_with(path, *members):
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))


def member(name, kind=tarfile.REGTYPE, target="", size=0):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, target, size
    return found


@pytest.mark.parametrize(
    "bad",
    [
        member("/absolute"),
        member("../out"),
        member("dev", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.SYMTYPE, "../out"),
        member("link", tarfile.LNKTYPE, "/etc/passwd"),
    ],
    ids=lambda bad: f"{bad.name}-{bad.linkname}",
)
def test_a_malicious_tar_is_refused_before_anything_is_written(tmp_path, bad):
    tar_with(tmp_path / "t", member("good", size=3), bad)
    with pytest.raises(Refused, match="not safe to unpack.*Nothing was unpacked"):
        Archive(str(tmp_path / "t"), 0)


@pytest.mark.parametrize("name", ["../out", "/etc/cron.d/x", "a/../../out"])
def test_a_malicious_zip_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "z", "w") as zipped:
        zipped.writestr(name, "x")
    with pytest.raises(Refused, match="not safe to unpack"):
        Archive(str(tmp_path / "z"), 0)


def test_a_zip_with_a_link_outside_is_refused(tmp_path):
    link = zipfile.ZipInfo("l")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z", "w") as zipped:
        zipped.writestr(link, "../../etc")
    with pytest.raises(Refused, match="which is outside"):
        Archive(str(tmp_path / "z"), 0)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>404</html>" * 100, b"\x1f\x8b\x08broken"])
def test_what_is_no_archive_is_said_to_be_none(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(Refused, match="Nothing"):
        Archive(str(tmp_path / "t"), 0)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_that_was_cut_off_anywhere_is_refused(tmp_path, mode):
    with tarfile.open(tmp_path / "whole", mode) as tar:
        for name in "abc":
            tar.addfile(member(name, size=600), io.BytesIO(os.urandom(600)))
    whole = (tmp_path / "whole").read_bytes()
    # A tar archive is padded with zeros, and the first block of them ends it.
    end = 3 * (512 + 1024) + 1 if mode == "w" else len(whole)
    for length in sorted({*range(0, end, 97), *range(0, end, 512), end - 1}):
        (tmp_path / "cut").write_bytes(whole[:length])
        (tmp_path / str(length)).mkdir()
        with pytest.raises(Refused):
            with Archive(str(tmp_path / "cut"), 0) as archive:
                archive.unpack(str(tmp_path / str(length)))


def test_a_zip_with_a_wrong_byte_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "z", "w") as zipped:
        zipped.writestr("f", "hello, world")
    damaged = (tmp_path / "z").read_bytes().replace(b"hello", b"jello", 1)
    (tmp_path / "z").write_bytes(damaged)
    (tmp_path / "out").mkdir()
    with Archive(str(tmp_path / "z"), 0) as archive, pytest.raises(Refused, match="damaged"):
        archive.unpack(str(tmp_path / "out"))


def test_a_packed_directory_depends_on_names_modes_and_contents_alone(tmp_path, tree):
    packed = io.BytesIO()
    first = pack_directory(str(tree), packed)
    assert first == pack_directory(str(tree), None)
    os.utime(tree / "data", (time.time(), 1))
    (tree / "data").chmod(0o600)
    assert pack_directory(str(tree), None) == first
    (tree / "bin" / "app").chmod(0o644)
    assert pack_directory(str(tree), None) != first

    (tmp_path / "t").write_bytes(packed.getvalue())
    before = time.time() - 60
    assert unpacked(tmp_path / "t", tmp_path / "out") == WHOLE
    with Archive(str(tmp_path / "t"), 0) as archive:
        assert archive.was_directory
    # No time was recorded: that of unpacking stays.
    assert (tmp_path / "out" / "data").stat().st_mtime > before


def test_two_names_of_one_file_are_packed_as_two_files(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "a").write_text("same")
    os.link(tmp_path / "one" / "a", tmp_path / "one" / "b")
    for name in "ab":
        (tmp_path / "two" / name).write_text("same")
    packed = io.BytesIO()
    assert pack_directory(str(tmp_path / "one"), packed) == pack_directory(str(tmp_path / "two"), None)
    (tmp_path / "t").write_bytes(packed.getvalue())
    assert unpacked(tmp_path / "t", tmp_path / "out") == {"a": b"same", "b": b"same"}
