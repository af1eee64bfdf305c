# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is not what it is taken for."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator


@contextmanager
def impostor(reply: Callable[[bytes], bytes], drip: float = 0.0) -> Iterator[str]:
    """Listen on loopback, and answer the first words of each connection with `reply` of them.

    :param drip: seconds between one byte of the reply and the next.
    :return: its address, ``host:port``.
    """

    def serve() -> None:
        while True:
            try:
                connection, _peer = server.accept()
            except OSError:
                return
            with connection:
                said = reply(connection.recv(65536))
                try:
                    for piece in [said[at : at + 1] for at in range(len(said))] if drip else [said]:
                        connection.sendall(piece)
                        time.sleep(drip)
                except OSError:
                    pass  # they have given up

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            # Before the socket is closed: who waits in `accept` on a number that is given out anew takes another server's connections.
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(body: str | None) -> bytes:
    """What a server of HTTP says: 200 with a body, 404 when there is none."""
    status = "404 Not Found" if body is None else "200 OK"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body or '')}\r\n\r\n{body or ''}".encode()
