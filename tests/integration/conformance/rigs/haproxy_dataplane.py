# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy behind what answers as its Data Plane API does, because no package has the API itself."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    Maker,
    Server,
    Settings,
)
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.haproxy import HAProxyRig
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

STAND_IN = Path(__file__).with_name("haproxy_dataplane_stand_in.py")
LOGIN = {"username": "deploy", "password": "s3cr3t"}


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    balancers = found("haproxy")
    if not balancers:
        return {}
    can = PROVIDERS["haproxy_dataplane"].capabilities
    return {"haproxy_dataplane": Maker(partial(DataPlaneRig, balancers[max(balancers)]), can, standby=True)}


class DataPlaneRig(HAProxyRig):
    """A HAProxy, with one stand-in that has its admin socket and one that has its operator socket.

    :param words: more arguments for the stand-ins.
    """

    refusal = "answered 500 to PUT .*Permission denied"

    def __init__(
        self, binary: str, directory: Path, settings: Settings, words: tuple[str, ...] = (), **more: Any
    ) -> None:
        super().__init__(binary, directory, settings, **more)
        self.words = words
        sockets = (self.socket, self.operator_socket)
        self.apis = [(port, path, Server(directory / f"api-{port}.log")) for port, path in zip(free_ports(2), sockets)]

    def start(self) -> None:
        super().start()
        for port, path, server in self.apis:
            configuration = str(self.directory / "haproxy.cfg")
            command = [
                sys.executable,
                str(STAND_IN),
                str(port),
                str(path),
                ":".join(LOGIN.values()),
                configuration,
                *self.words,
            ]
            server.start(command, partial(self._api_answers, port))

    @staticmethod
    def _api_answers(port: int) -> bool:
        try:
            return HttpApi("", 5, url=f"http://127.0.0.1:{port}", **LOGIN).ask("GET", "/v3/info").status in (200, 404)
        except Unreachable:
            return False

    def stop(self) -> None:
        super().stop()
        for _port, _path, server in self.apis:
            server.stop()

    def freeze(self) -> None:
        super().freeze()
        for _port, _path, server in self.apis:
            server.freeze()

    def thaw(self) -> None:
        super().thaw()
        for _port, _path, server in self.apis:
            server.thaw()

    def _entry(self, port: int, **more: Any) -> dict[str, Any]:
        return {"provider": "haproxy_dataplane", "url": f"http://127.0.0.1:{port}", **LOGIN, **more}

    def entry(self, **more: Any) -> dict[str, Any]:
        return self._entry(self.apis[0][0], **more)

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return self._entry(self.apis[1][0], **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        (closed,) = free_ports(1)
        return self._entry(closed, **{"url": f"http://127.0.0.1:{closed}/nothing", **more})

    def _configuration(self) -> str:
        # Weights are not for this provider; what they are without is 1.
        return super()._configuration().replace("default-server weight 100", "default-server weight 1")
