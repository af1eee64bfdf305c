# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build ``shop-VERSION.tar.gz``, a release of the shop, good or broken.

The archive is flat (``shop.py``, ``VERSION``, perhaps ``FAULT``) and the same bytes for the same arguments.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path

APPLICATION = Path(__file__).resolve().parent / "shop.py"
FAULT = re.compile(r"no_start|error_500|wrong_version|hangs|(dies_after|fails) \d+(\.\d+)?")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
BUILT_AT = 1704067200  # 2024-01-01: an archive does not tell when it was built


def build_release(version: str, out_dir: Path, fault: str = "", name: str = "") -> Path:
    """Write the archive and return its path.

    :param version: what ``VERSION`` says.
    :param out_dir: created when missing.
    :param fault: nothing, or one of the application's faults, ``dies_after 10`` with its seconds.
    :param name: file name, ``shop-VERSION.tar.gz`` by default.
    :raises ValueError: for a version or a fault that the application would not understand.
    """
    if not VERSION.fullmatch(version):
        raise ValueError(f"version {version!r}: letters, digits, '.', '_', '+' and '-' only")
    if fault and not FAULT.fullmatch(fault):
        raise ValueError(f"fault {fault!r}: expected no_start, error_500, wrong_version, hangs, 'dies_after SECONDS' or 'fails PERCENT'")
    files = {"VERSION": f"{version}\n".encode(), "shop.py": APPLICATION.read_bytes()}
    if fault:
        files["FAULT"] = f"{fault}\n".encode()
    out_dir.mkdir(parents=True, exist_ok=True)
    archive = out_dir / (name or f"shop-{version}.tar.gz")
    with open(archive, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=BUILT_AT) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path, content in sorted(files.items()):
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode, entry.mtime = len(content), 0o644, BUILT_AT
                tar.addfile(entry, io.BytesIO(content))
    return archive


def main() -> int:
    """The command line; prints the archive's path and checksum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--fault", default="", help="no_start, error_500, wrong_version, hangs, 'dies_after SECONDS' or 'fails PERCENT'")
    args = parser.parse_args()
    try:
        archive = build_release(args.version, args.out_dir, args.fault)
    except ValueError as error:
        parser.error(str(error))
    print(f"{archive} sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
