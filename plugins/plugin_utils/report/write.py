# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a rollout: a page to look at, and the record itself as JSON.

This use case lives on the controller alone, for only there is Jinja2.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any, Mapping

import yaml

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.record import expect_record
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report.page import render

ARGUMENT_SPEC: dict[str, Any] = {
    "record": {"type": "dict", "required": True},
    "directory": {"type": "path", "required": True},
    "name": {"type": "str"},
}
FILE_MODE = 0o644  # less what the umask takes
LONGEST_NAME = 120  # characters; a file system allows 255 bytes
COLLECTION = Path(__file__).parents[3]


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Write what is not there yet, byte for byte.

    :return: ``html``, ``json``, ``latest`` (paths), ``bytes`` of the page, and ``diff``.
    :raises InvalidInput: the record is of another schema, or the name no name of a file.
    :raises Unreachable: the directory cannot be made or written to.
    """
    record = plain(params["record"])
    expect_record(record)
    service = safe_name(record["service"])
    name = _file_name(params.get("name")) or f"{service}-{safe_name(record['id'])}"
    directory = os.path.abspath(params["directory"])
    page = render(record, name, collection_version()).encode("utf-8", "replace")
    files = {
        f"{name}.json": as_json(record).encode("utf-8", "replace"),
        f"{name}.html": page,
        f"{service}-latest.html": page,
    }
    before = {each: _read(os.path.join(directory, each)) for each in files}
    changed = [each for each, content in files.items() if before[each] != content]
    if changed and check_mode:
        _expect_writable(directory)
    elif changed:
        _make(directory)
        for each in changed:
            _write(os.path.join(directory, each), files[each])
    return {
        "changed": bool(changed),
        "html": os.path.join(directory, f"{name}.html"),
        "json": os.path.join(directory, f"{name}.json"),
        "latest": os.path.join(directory, f"{service}-latest.html"),
        "bytes": len(page),
        "diff": {"before": _summary(before), "after": _summary(files)},
    }


def plain(value: Any) -> Any:
    """Strip Ansible's own types from a record; what is no JSON becomes text, and what is no number null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, int) else str(value)


def as_json(record: dict[str, Any]) -> str:
    """The record as JSON, one member a line, so that it can be searched and compared and yet is not long."""
    lines = (
        f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False, separators=(', ', ': '))}"
        for key, value in record.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def safe_name(text: str) -> str:
    """What a file may be called after `text`: nothing in it leads to another directory or hides the file."""
    return re.sub(r"[^\w.+~-]+|^\.+|\.{2,}", "_", text, flags=re.ASCII)[: LONGEST_NAME // 2].rstrip(".") or "_"


def collection_version() -> str:
    """Of this collection, from what it was built or installed with."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return str(json.loads((COLLECTION / "MANIFEST.json").read_text(encoding="utf-8"))["collection_info"]["version"])
    with contextlib.suppress(OSError, yaml.YAMLError, KeyError):
        return str(yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    return "of unknown version"


def _file_name(name: str | None) -> str:
    """The name that was asked for; one that is not quite a file's is refused, so that nobody looks for it in vain."""
    if name and (len(name) > LONGEST_NAME or name.startswith(".") or re.search(r"[/\\\x00-\x1f]", name)):
        raise InvalidInput(
            f"The name {name!r} is no name of a file in the directory. It may have up to {LONGEST_NAME} characters, has no / or \\ "
            "in it and does not begin with a dot. Nothing was written."
        )
    return name or ""


def _read(path: str) -> bytes | None:
    """What is in a file; None when there is none, or it cannot be read and so is written anew."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _summary(contents: Mapping[str, bytes | None]) -> str:
    """A line for each file; whole pages would say nothing in a diff."""
    return "".join(
        f"{name}: {'absent' if content is None else f'{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:12]}'}\n"
        for name, content in contents.items()
    )


def _make(directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise _unreachable("make the directory", directory, error)


def _expect_writable(directory: str) -> None:
    """For check mode: fail as the run would, as far as can be told beforehand."""
    there = directory
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise _unreachable("make the directory", directory, NotADirectoryError(20, f"{there} is no directory"))
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unreachable("write to", there, PermissionError(13, "Permission denied"))


def _write(path: str, content: bytes) -> None:
    """Put `content` into `path` at once: a reader sees the old file or the new one. A file that is there keeps its mode."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        # Made with FILE_MODE, of which the system takes the umask.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode):
                    os.fchmod(stream.fileno(), stat.S_IMODE(found.st_mode))
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise _unreachable("write", path, error)


def _unreachable(doing: str, path: str, error: OSError) -> Unreachable:
    return Unreachable(
        f"The report could not be written: cannot {doing} {path}: {error.strerror or error}. The rollout itself is not touched by that. "
        "Name another directory (option directory), or let the user who runs Ansible write there."
    )
