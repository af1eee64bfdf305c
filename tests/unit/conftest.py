# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make ``ansible_collections.zero_downtime.deploy`` importable, from wherever the tests are started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest
from hypothesis import settings

CHECKOUT = Path(__file__).parents[2]
PLACE = ("ansible_collections", "zero_downtime", "deploy")


def collection_path() -> Path:
    """The directory that holds ``ansible_collections``; a checkout that lies elsewhere gets a link to itself."""
    if CHECKOUT.parts[-3:] == PLACE:
        return CHECKOUT.parents[2]
    path = CHECKOUT / "build" / "dev"
    link = path.joinpath(*PLACE)
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to("../../../..")  # relative: a checkout may be moved or copied
        except FileExistsError:  # another run was faster
            pass
    return path


COLLECTIONS = collection_path()
sys.path.insert(0, str(COLLECTIONS))
# For the tests that run ansible itself.
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(COLLECTIONS)

# `make test-all`.  Without it a run has the same examples each time, so that its result does not depend on chance.
EVERYTHING = os.environ.get("ZD_TESTS") == "all"

# How long an example takes says more about the machine than about the code.  A failure prints what repeats it.
settings.register_profile("zero_downtime", deadline=None, derandomize=not EVERYTHING, print_blob=True)
settings.load_profile("zero_downtime")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The repository's root."""
    return CHECKOUT


@pytest.fixture(scope="session")
def etcd_binary() -> str:
    """The program; without it the test is skipped."""
    from ansible_collections.zero_downtime.deploy.tests.support.etcd.server import find

    binary, why = find()
    if binary is None:
        pytest.skip(why)
    return binary


@pytest.fixture(scope="session")
def etcd(etcd_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real etcd for all tests; each takes a prefix of its own, and leaves the server as it is."""
    from ansible_collections.zero_downtime.deploy.tests.support.etcd.server import EtcdServer

    server = EtcdServer(etcd_binary, tmp_path_factory.mktemp("etcd"))
    yield server
    server.stop()
