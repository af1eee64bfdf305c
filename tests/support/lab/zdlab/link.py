# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on the line between a host and the bridge: packets are lost, are late, or do not pass at all.

Done with tc: small programs of the packet filter that see each packet in both directions, and a bucket that lets so many bits a
second through to the host.  (Kernels without netem have both.)
"""

from __future__ import annotations

import ipaddress

from .machine import LabError, run

DROP, PASS = "ret drop", "ret pass"
_CODES = {"ldh": 0x28, "ldw": 0x20, "ldb": 0x30, "jeq": 0x15, "jgt": 0x25, "ret": 0x06}
_VERDICTS = {"drop": 2, "pass": 2**32 - 1}  # TC_ACT_SHOT; TC_ACT_UNSPEC, so that the next program decides
_RANDOM = 2**32 - 0x1000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM: a random word where the packet would be read
_IPV4, _TCP = 0x0800, 6
# Offsets from the Ethernet header; nobody here uses IP options.
_KIND, _PROTOCOL, _FROM, _TO, _FROM_PORT, _TO_PORT = 12, 23, 26, 30, 34, 36


def losing(percent: float) -> str:
    """A program, for tc's ``bytecode``, that drops so many of all packets."""
    return _assembled([("ldw", _RANDOM), ("jgt", int(percent / 100 * 2**32), PASS, DROP)])


def cutting(peer: str, port: int | None = None) -> str:
    """A program that drops what goes to `peer` or comes from it, all or what concerns that TCP port of either."""
    address = int(ipaddress.IPv4Address(peer))
    found = DROP if port is None else "port"
    steps: list[tuple] = [
        ("ldh", _KIND), ("jeq", _IPV4, "", PASS),
        ("ldw", _FROM), ("jeq", address, found, ""),
        ("ldw", _TO), ("jeq", address, found, PASS),
    ]  # fmt: skip
    if port is not None:
        steps += [
            ("port", "ldb", _PROTOCOL), ("jeq", _TCP, "", PASS),
            ("ldh", _FROM_PORT), ("jeq", port, DROP, ""),
            ("ldh", _TO_PORT), ("jeq", port, DROP, PASS),
        ]  # fmt: skip
    return _assembled(steps)


def disturb(device: str, programs: list[str], kbit: int | None = None) -> None:
    """Put the line into that state, whatever it was in before.

    :param device: the host's interface on the bridge.
    :param kbit: a second, towards the host; None for as many as it takes.
    :raises LabError: tc refuses.
    """
    for qdisc in (["clsact"], ["root"]):
        run("tc", "qdisc", "del", "dev", device, *qdisc, check=False)  # an error where there is none
    if programs:
        run("tc", "qdisc", "add", "dev", device, "clsact")
    for direction in ("ingress", "egress"):
        for number, program in enumerate(programs, 1):
            run("tc", "filter", "add", "dev", device, direction, "pref", number, "bpf", "da", "bytecode", program)
    if kbit is not None:
        run("tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", f"{kbit}kbit", "burst", "3000", "limit", "1000000")


def _assembled(steps: list[tuple]) -> str:
    """The program in tc's notation: a count, then `code jump-if jump-else value` for each step.

    A step that begins with no known code has its own name in front, to be jumped to; "" is the next one.
    """
    places = {DROP: len(steps), PASS: len(steps) + 1}
    plain = []
    for index, step in enumerate(steps):
        if step[0] not in _CODES:
            places[step[0]] = index
            step = step[1:]
        plain.append(step)
    lines = [str(len(plain) + 2)]
    for index, (code, value, *jumps) in enumerate(plain):
        jump_if, jump_else = [places[to] - index - 1 if to else 0 for to in jumps] or [0, 0]
        if min(jump_if, jump_else) < 0:
            raise LabError(f"a program cannot jump back: {steps}")
        lines.append(f"{_CODES[code]} {jump_if} {jump_else} {value}")
    lines += [f"{_CODES['ret']} 0 0 {_VERDICTS[name]}" for name in ("drop", "pass")]
    return ",".join(lines)
