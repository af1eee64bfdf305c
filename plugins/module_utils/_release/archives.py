# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and unpacking tar and zip archives, and packing a directory into a tar archive.

One way of unpacking for every Python: ``tarfile`` got its own filters late, ``zipfile`` has none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from typing import IO, Any, Iterator

from .._domain.errors import Refused
from .entries import DIRECTORY, FILE, HARDLINK, OTHER, SYMLINK, Entry, safe_entries

_CHUNK = 1024 * 1024
_BLOCK = 512
# In the archive's own header: this archive is a directory that was packed here.
_LONGEST_TARGET = 4096  # of a path; in a zip archive, a link's content says where to, and it is read into memory
_PACKED = "ZERO_DOWNTIME.packed"

# What the libraries make of headers that nobody would write: names that are no text, numbers beyond all files.
_BROKEN: tuple[Any, ...] = (tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, EOFError)
_BROKEN += (ValueError, OverflowError, IndexError, RuntimeError)
try:
    from lzma import LZMAError

    _BROKEN += (LZMAError,)
except ImportError:  # a Python built without it cannot read such an archive either, and tarfile says so
    pass


class Archive:
    """An archive opened for reading; its entries have been found safe.

    :param path: of the archive, on this machine.
    :param strip: leading path components to drop.
    :param name: what to call it in messages; its path by default.
    :raises Refused: when it is no archive, is damaged or is not safe to unpack.
    """

    def __init__(self, path: str, strip: int, name: str = "") -> None:
        self._path = path
        self._name = name or path
        self._tar: tarfile.TarFile | None = None
        self._zip: zipfile.ZipFile | None = None
        # Whether it is a directory that `pack_directory` packed.
        self.was_directory = False
        try:
            with _refusal_of(self._name):
                self._open()
                self.entries = safe_entries(list(self._listed()), strip)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            self._tar = tarfile.open(self._path, "r:*")
            self.was_directory = self._tar.pax_headers.get(_PACKED) == "directory"
        except tarfile.ReadError as error:
            if not zipfile.is_zipfile(self._path):
                raise Refused(
                    "expected an archive (tar, plain or packed with gzip, bzip2 or xz; or zip), found something else "
                    "({0}). Nothing was unpacked.".format(error)
                )
            self._zip = zipfile.ZipFile(self._path)

    def _listed(self) -> Iterator[Entry]:
        if self._tar is not None:
            for member in self._tar.getmembers():
                yield _tar_entry(member)
            self._check_end()
        elif self._zip is not None:
            for info in self._zip.infolist():
                yield self._zip_entry(info)

    def _check_end(self) -> None:
        """A tar archive ends with a block of zeros; `tarfile` takes one that was cut off for complete."""
        self._tar.fileobj.seek(self._tar.offset)
        if self._tar.fileobj.read(_BLOCK) != b"\0" * _BLOCK:
            raise tarfile.ReadError("the end of the archive is missing")
        # What a compressed one says about itself stands at its very end, and is only compared by reading up to there.
        while self._tar.fileobj.read(_CHUNK):
            pass

    def _zip_entry(self, info: zipfile.ZipInfo) -> Entry:
        if info.flag_bits & 1:
            raise Refused("it is encrypted. Nothing was unpacked.")
        mode = info.external_attr >> 16
        try:
            mtime = max(0.0, time.mktime(info.date_time + (0, 0, -1)))
        except (OverflowError, ValueError):
            mtime = 0.0
        if info.filename.endswith("/"):
            return Entry(info.filename, DIRECTORY, mode or 0o755)
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFLNK:
            if info.file_size > _LONGEST_TARGET:
                raise Refused(
                    "{0} is a link to a path of {1} bytes, which cannot be. Nothing was unpacked.".format(
                        info.filename, info.file_size
                    )
                )
            return Entry(info.filename, SYMLINK, target=os.fsdecode(self._zip.read(info)))
        if kind not in (0, stat.S_IFREG):
            return Entry(info.filename, OTHER)
        return Entry(info.filename, FILE, mode or 0o644, mtime=mtime, size=info.file_size, handle=info)

    def unpack(self, into: str) -> None:
        """Write everything below the existing, empty directory `into`.

        Files may be written by their owner alone: group and others lose that permission, and nobody gets
        set-user-id.  :class:`Refused` when the archive turns out to be damaged.
        """
        with _refusal_of(self._name):
            for entry in self.entries:
                self._write(entry, os.path.join(into, entry.path))
        # By hand, because the mode that mkdir is given is subject to the umask.
        for entry in self.entries:
            if entry.kind == DIRECTORY:
                os.chmod(os.path.join(into, entry.path), entry.mode & 0o755 | 0o700)

    def _write(self, entry: Entry, path: str) -> None:
        if entry.kind == DIRECTORY:
            os.mkdir(path, 0o700)
        elif entry.kind == SYMLINK:
            os.symlink(entry.target, path)
        elif entry.kind == HARDLINK:
            os.link(path[: -len(entry.path)] + entry.target, path)
        else:
            self._write_file(entry, path)

    def _write_file(self, entry: Entry, path: str) -> None:
        with contextlib.closing(self._content(entry)) as source:
            with open(path, "xb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
                if file.tell() != entry.size:
                    raise EOFError("{0} ends after {1} of {2} bytes".format(entry.path, file.tell(), entry.size))
        os.chmod(path, entry.mode & 0o755 | 0o600)
        if entry.mtime > 0:
            with contextlib.suppress(OverflowError):
                os.utime(path, (entry.mtime, entry.mtime))

    def _content(self, entry: Entry) -> IO[bytes]:
        if self._zip is not None:
            return self._zip.open(entry.handle)
        content = self._tar.extractfile(entry.handle)
        return content

    def close(self) -> None:
        """Let go of the archive's file."""
        for opened in (self._tar, self._zip):
            if opened is not None:
                opened.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _tar_entry(member: tarfile.TarInfo) -> Entry:
    if member.isreg():
        return Entry(member.name, FILE, member.mode, mtime=member.mtime, size=member.size, handle=member)
    if member.isdir():
        return Entry(member.name, DIRECTORY, member.mode)
    if member.issym():
        return Entry(member.name, SYMLINK, target=member.linkname)
    if member.islnk():
        return Entry(member.name, HARDLINK, target=member.linkname)
    return Entry(member.name, OTHER)


@contextlib.contextmanager
def _refusal_of(name: str) -> Iterator[None]:
    """Say which archive it is that is refused, and make every library's way of finding damage the same."""
    try:
        yield
    except Refused as error:
        raise Refused("{0}: {1}".format(name, error.message), **error.facts)
    except (OSError, *_BROKEN) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a place that no file has
            raise
        raise Refused(
            "{0}: the archive is damaged or cannot be read here ({1}). Nothing half-unpacked was left; fetch or build "
            "it again, and give its checksum.".format(name, str(error) or type(error).__name__)
        )


class _Hashing:
    """A file to write to that hashes what it is given, and passes it on when there is somewhere to."""

    def __init__(self, onward: IO[bytes] | None) -> None:
        self._onward = onward
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        if self._onward is not None:
            self._onward.write(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def pack_directory(directory: str, onward: IO[bytes] | None) -> str:
    """Pack the content of `directory` as a tar archive that depends on nothing but names, modes and contents.

    Times and owners are left out, so that two checkouts of one commit are one archive.

    :param onward: where the archive is written to; None: it is only hashed.
    :returns: the archive's SHA-256, in hexadecimal.
    """
    sink = _Hashing(onward)
    # A stream ("w|"): nothing is sought, so that hashing alone needs no file.
    with tarfile.open(
        fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, pax_headers={_PACKED: "directory"}, dereference=False
    ) as tar:
        for name, path in _walk(directory):
            member = tar.gettarinfo(path, arcname=name)
            if member is None:
                raise Refused("{0} is a socket, which cannot be part of a release. Nothing was touched.".format(path))
            _normalise(member, path)
            if member.isreg():
                with open(path, "rb") as file:
                    tar.addfile(member, file)
            else:
                tar.addfile(member)
    return sink.hexdigest()


def _normalise(member: tarfile.TarInfo, path: str) -> None:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    if member.islnk():
        # Two names of one file: which of them is the link would depend on the order they were met in.
        member.type, member.linkname, member.size = tarfile.REGTYPE, "", os.lstat(path).st_size
    if member.issym():
        member.mode = 0o777
    else:
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644


def _walk(directory: str) -> Iterator[tuple[str, str]]:
    """Each thing below `directory`, as (name in the archive, path), in one order everywhere."""

    def failed(error: OSError) -> None:
        raise error

    for root, directories, files in os.walk(directory, onerror=failed):
        directories.sort(key=os.fsencode)
        inside = os.path.relpath(root, directory)
        # os.walk lists links to directories among the directories and does not follow them.
        for name in sorted(directories + files, key=os.fsencode):
            yield os.path.normpath(os.path.join(inside, name)), os.path.join(root, name)
