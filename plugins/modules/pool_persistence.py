#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_persistence
short_description: Let a restart of its balancers bring a pool back as it is now
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Before a balancer that keeps states and weights in memory is reloaded or restarted, writes down what it is to begin with.
  - For HAProxy that is its server state file, see O(balancers[].state_file). Balancers whose configuration files hold the states
    need nothing. Those that can keep nothing as they are configured are refused, by name.
  - What is needed is written after each change of M(zero_downtime.deploy.pool_member) too. This module is for changes that somebody
    made by hand.
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
  - zero_downtime.deploy.lease
  - zero_downtime.deploy.balancers
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
seealso:
  - module: zero_downtime.deploy.pool_member
"""

EXAMPLES = r"""
- name: Keep the states of all servers beyond the reload
  zero_downtime.deploy.pool_persistence:
    balancers:
      - {host: lb1, provider: haproxy, socket: /run/haproxy/admin.sock, state_file: /var/lib/haproxy/server-state}
    pool: shop
  delegate_to: localhost

- name: Reload HAProxy
  ansible.builtin.systemd_service:
    name: haproxy
    state: reloaded
  delegate_to: lb1
"""

RETURN = r"""
balancers:
  description: Each balancer.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the balancer.
      type: str
    changed:
      description: Whether anything was, or in check mode would be, written down.
      type: bool
  sample:
    - {name: lb1, changed: true}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.persist_pool import ARGUMENT_SPEC, run


def main():
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
