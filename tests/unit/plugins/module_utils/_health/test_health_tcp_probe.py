# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.tcp_probe import TcpProbe


def test_a_port_that_takes_connections():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert TcpProbe("127.0.0.1", listener.getsockname()[1])(Clock(), 30).failure is None


def test_the_second_address_of_a_name_is_tried(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        there = socket.getaddrinfo("127.0.0.1", port, 0, socket.SOCK_STREAM)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            nowhere = socket.getaddrinfo("127.0.0.1", taken.getsockname()[1], 0, socket.SOCK_STREAM)
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: nowhere + there)
            assert TcpProbe("two-addresses", port)(Clock(), 30).failure is None


def test_refused(closed_port):
    assert TcpProbe("127.0.0.1", closed_port)(Clock(), 30).failure == "connection refused"


def test_nobody_takes_the_connection():
    # A full queue: the kernel drops what comes then, as a host that swallows packets does.
    waiting = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        try:
            for _client in range(4):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
                waiting.append(client)
            seen = TcpProbe("127.0.0.1", listener.getsockname()[1])(Clock(), 0.2)
        finally:
            for client in waiting:
                client.close()
    assert seen.failure == "no connection within 0.2 s"


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6():
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 loopback address")
    with listener:
        assert TcpProbe("::1", listener.getsockname()[1])(Clock(), 30).failure is None
