#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin wiring of the use case `read_releases` to Ansible."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Say which releases of a service are on a host and which one runs
version_added: 0.1.0
description:
  - Reads what M(zero_downtime.deploy.release) keeps.
author: The zero_downtime.deploy authors (@zero-downtime)
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It changes nothing.
options:
  path:
    description: The directory that holds the layout. Absolute. One that is not there holds nothing.
    type: path
    required: true
seealso:
  - module: zero_downtime.deploy.release
"""

EXAMPLES = r"""
- name: Ask which release is the current one
  zero_downtime.deploy.release_info:
    path: /srv/shop
  register: shop
"""

RETURN = r"""
path:
  description: The directory that holds the layout.
  returned: success
  type: str
  sample: /srv/shop
exists:
  description: Whether the directory is there.
  returned: success
  type: bool
current:
  description: The version of the current release. Null when there is none.
  returned: success
  type: str
  sample: 1.4.2
previous:
  description: The version that would be gone back to. Null when there is none.
  returned: success
  type: str
  sample: 1.4.1
releases:
  description: The complete releases, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    version:
      description: Its name.
      type: str
      sample: 1.4.2
    path:
      description: Its directory.
      type: str
      sample: /srv/shop/releases/1.4.2
    checksum:
      description: >-
        SHA-256 of the archive that it was unpacked from. Null, like what follows, when M(zero_downtime.deploy.release)
        did not put it there.
      type: str
    source_kind:
      description: Where it came from, V(url), V(archive) or V(directory).
      type: str
      sample: archive
    source_name:
      description: The name of the archive or directory, without its place.
      type: str
      sample: shop-1.4.2.tar.gz
    unpacked_at:
      description: When it was unpacked, by the host's clock, in UTC.
      type: str
      sample: "2025-01-31T12:00:00.000000+00:00"
incomplete:
  description: >-
    Paths that a crashed run left, and directories beside the releases that nobody knows to be complete.
  returned: success
  type: list
  elements: str
  sample: [/srv/shop/releases/.1.4.3.partial]
interrupted:
  description: Whether a switch was begun and not ended. The next run of M(zero_downtime.deploy.release) puts it right.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.read_releases import ARGUMENT_SPEC, run


def main():
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
