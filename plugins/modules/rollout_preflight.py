#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_preflight
short_description: Refuse a rollout that Ansible was not given whole
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Checks the command line and the inventory, and contacts no host. It reports all problems at once.
  - Refused are C(--tags) and C(--skip-tags) that would run a part of the playbook, a C(--limit) that leaves no host, hosts whose names
    Ansible reads as patterns of other hosts, variables that begin like this collection's and are none of it, text where a variable must be
    a dictionary, variables that must be the same for all hosts of a rollout and are not, hosts of a balancer, the journal or the probe that
    the inventory lacks, and waits longer than Ansible's setting C(task_timeout).
  - The playbooks of this collection begin with it.
options:
  hosts:
    description: The hosts of the service, whether a C(--limit) leaves them or not.
    type: list
    elements: str
    required: true
  accepted_variables:
    description: Variables that begin like this collection's, and are your own.
    type: list
    elements: str
    default: []
  strategy:
    description:
      - The strategy of the rollout, V(rolling), V(canary) or V(blue_green), or V(rollback). It says which waits there are.
      - Empty where no host is drained.
    type: str
    default: ""
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
attributes:
  action:
    description: It has an action plugin that runs on the controller, and nothing is run on the task's host.
    support: full
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
notes:
  - Give the task the tag C(always). It is to be reached when the others are not.
  - A playbook whose import has a tag, and is left out by C(--tags) or C(--skip-tags) for it, is not refused.
seealso:
  - module: zero_downtime.deploy.rollout
"""

EXAMPLES = r"""
- name: Refuse what would be a part of a rollout
  zero_downtime.deploy.rollout_preflight:
    hosts: "{{ query('ansible.builtin.inventory_hostnames', rollout_hosts) }}"
    accepted_variables: [release_notes_url]
  run_once: true
  tags: always
"""

RETURN = r"""
problems:
  description: What is wrong, in sentences.
  returned: when the playbook is not left out
  type: list
  elements: str
  sample:
    - traffic_min_availble is no variable of this collection. Is traffic_min_available meant?
selected:
  description: Whether the playbook runs. It does not when a tag of its import says so.
  returned: success
  type: bool
  sample: true
"""
