#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member_switch
short_description: Let a host fail or pass its balancer's health check
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Turns the switch by which a member of a pool takes itself out of traffic, on its own host. The balancer is not contacted.
  - M(zero_downtime.deploy.pool_member) with the provider V(health_endpoint) does this on the hosts of all members, and waits until
    their balancer has noticed. This module is for playbooks that need nothing but the switch.
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
  - zero_downtime.deploy.lease
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  state:
    description:
      - V(out) lets the health check fail, V(in) lets it pass again. Without it the switch is only read.
    type: str
    choices: [in, out]
  file:
    description:
      - Path of a file. While it is there, the health check must fail.
      - Either this, O(url), or O(take_out) with its siblings.
    type: path
  url:
    description:
      - An address of the service. PUT takes the host out, DELETE brings it back, GET answers 200 when it is out and 404 when it is in.
    type: str
  take_out:
    description:
      - A program with its arguments, that takes the host out.
    type: list
    elements: str
  bring_back:
    description:
      - The program that brings it back.
    type: list
    elements: str
  is_out:
    description:
      - The program that tells. It ends with 0 for out and with 1 for in.
    type: list
    elements: str
  timeout:
    description:
      - Seconds for each program or request.
    type: float
    default: 5.0
seealso:
  - module: zero_downtime.deploy.pool_member
"""

EXAMPLES = r"""
- name: Let the health check of this host fail
  zero_downtime.deploy.member_switch:
    file: /run/shop/drained
    state: out
"""

RETURN = r"""
state:
  description: How the switch stands, V(in) or V(out). In check mode, how it would.
  returned: success
  type: str
  sample: out
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.switch_member import (
    ARGUMENT_SPEC,
    CONSTRAINTS,
    run,
)


def main():
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **CONSTRAINTS), run)


if __name__ == "__main__":
    main()
