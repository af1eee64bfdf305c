# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user says of an etcd."""

from __future__ import annotations

from typing import Any, Dict

PREFIX = "/zero_downtime"
TIMEOUT = 5.0

OPTIONS: Dict[str, Any] = {
    "urls": {"type": "list", "elements": "str", "required": True},
    "prefix": {"type": "str", "default": PREFIX},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path"},
    "timeout": {"type": "float", "default": TIMEOUT},
}
