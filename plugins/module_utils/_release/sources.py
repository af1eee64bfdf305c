# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a release comes from: an archive or a directory on this host, or an address."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from .._domain.errors import InvalidInput, Refused
from .archives import pack_directory
from .download import download
from .names import Checksum

URL, ARCHIVE, DIRECTORY = "url", "archive", "directory"
_CHUNK = 1024 * 1024


class Obtained(NamedTuple):
    """An archive that is on this host and is the right one."""

    path: str
    # Hexadecimal digests by algorithm; SHA-256 is always there.
    digests: dict[str, str]


class Source:
    """What the option `source` names.

    :param source: a path on this host, or an http(s) URL.
    :param checksum: what an archive must have.
    :param web: the further arguments of :func:`download`.
    """

    def __init__(self, source: str, checksum: Optional[Checksum], web: Mapping[str, Any]) -> None:
        self._source = source if is_url(source) else os.path.normpath(source)
        self._checksum = checksum
        self._web = web

    @property
    def path(self) -> str:
        """The source itself, as it was named."""
        return self._source

    @property
    def kind(self) -> str:
        """``url``, ``archive`` or ``directory``."""
        if is_url(self._source):
            return URL
        return DIRECTORY if os.path.isdir(self._source) else ARCHIVE

    @property
    def name(self) -> str:
        """What it is called, without its place."""
        return os.path.basename(urlsplit(self._source).path if self.kind == URL else self._source)

    @property
    def is_there(self) -> bool:
        """Whether there is anything; an address is taken for it."""
        return self.kind == URL or os.path.exists(self._source)

    def check(self) -> None:
        """Raise :class:`Refused` or :class:`InvalidInput` when it cannot be a source; reads nothing of it."""
        if not self.is_there:
            raise Refused(
                "There is no source {0} on this host. Nothing was touched. Check the path; one on the controller is "
                "meant unless remote_src is set.".format(self._source),
            )
        if self.kind == DIRECTORY and self._checksum is not None:
            raise InvalidInput(
                "The source {0} is a directory, and a checksum is that of an archive. Nothing was touched. Leave "
                "the checksum out.".format(self._source)
            )
        if self.kind == ARCHIVE and not os.path.isfile(self._source):
            raise Refused(
                "The source {0} is neither a file nor a directory. Nothing was touched.".format(self._source)
            )

    def obtain(self, scratch: str) -> Obtained:
        """Have it as an archive, with the right checksum; `scratch` is a file that may be written for that."""
        path = self._source
        if self.kind == URL:
            download(self._source, scratch, **self._web)
            path = scratch
        elif self.kind == DIRECTORY:
            with open(scratch, "wb") as file:
                return Obtained(scratch, {"sha256": pack_directory(self._source, file)})
        return Obtained(path, self._verified(path))

    def digests(self) -> dict[str, str]:
        """The digests of a source on this host, without a copy; none of an address.  Verifies the checksum."""
        if self.kind == URL:
            return {}
        if self.kind == DIRECTORY:
            return {"sha256": pack_directory(self._source, None)}
        return self._verified(self._source)

    def _verified(self, path: str) -> dict[str, str]:
        found = file_digests(path, {"sha256"} | ({self._checksum.algorithm} if self._checksum else set()))
        if self._checksum is not None and found[self._checksum.algorithm] != self._checksum.digest:
            raise Refused(
                "The checksum of {0} is wrong: expected {1}, found {2}:{3}. Nothing was unpacked. Either the file is "
                "damaged or it is another one; fetch it again or correct the checksum.".format(
                    self.name, self._checksum, self._checksum.algorithm, found[self._checksum.algorithm]
                ),
                expected_checksum=str(self._checksum),
                found_checksum="{0}:{1}".format(self._checksum.algorithm, found[self._checksum.algorithm]),
            )
        return found


def is_url(source: str) -> bool:
    """Whether `source` is an address rather than a path."""
    return bool(re.match(r"https?://", source, re.IGNORECASE))


def file_digests(path: str, algorithms: set[str]) -> dict[str, str]:
    """The hexadecimal digests of the file at `path`, by algorithm; the file is read once."""
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with open(path, "rb") as file:
        while True:
            data = file.read(_CHUNK)
            if not data:
                return {algorithm: digest.hexdigest() for algorithm, digest in hashes.items()}
            for digest in hashes.values():
                digest.update(data)
