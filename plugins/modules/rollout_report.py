#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_report
short_description: Write the report of a rollout, a page to look at and its data
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Writes one HTML file that needs no network and no other file, and the record that it is made of as JSON.
  - The page says what users felt, what happened to each host and when, which version answered when, what failed and why, and what
    the members were before and are after.
  - The strategies of this collection write a report by themselves where they are asked to. The module is for other playbooks.
options:
  record:
    description:
      - What is known of the rollout. C(docs/report.md) describes it, C(docs/report.schema.json) is its JSON Schema.
      - A record of another schema than 1 is refused.
    type: dict
    required: true
  directory:
    description:
      - Where the files are written, on the controller. It is made when it is missing, as the user who runs Ansible.
      - A relative path is below the directory in which Ansible was started.
    type: path
    required: true
  name:
    description:
      - What the files are called, without C(.html) and C(.json). Up to 120 characters, without C(/), and not beginning with a dot.
      - Defaults to service and id of the record, as C(shop-20261122T041203Z-1a2b), in which whatever has no place in the name of a file
        becomes C(_).
    type: str
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
attributes:
  action:
    description: It has an action plugin that runs on the controller, and nothing is run on the task's host.
    support: full
  check_mode:
    description: Can run in check mode and tell what would be, without writing anything.
    support: full
  diff_mode:
    description: Tells what has changed in diff mode.
    support: partial
    details:
      - It shows the sizes and checksums of the files, not whole pages.
notes:
  - C(<service>-latest.html) is a copy of the page that was written last, for a link that stays. It has no copy of the JSON.
  - Files are replaced at once, so that nobody sees half a page, and only when their bytes differ. A new file has mode 0644 less the umask,
    one that is there keeps its mode.
  - The task runs for every host of a play. With C(run_once) it is one.
  - C(become) makes no difference.
seealso:
  - module: zero_downtime.deploy.rollout
"""

EXAMPLES = r"""
- name: Write the report
  zero_downtime.deploy.rollout_report:
    record: "{{ rollout_record }}"
    directory: "{{ playbook_dir }}/reports"
  run_once: true
  register: report

- name: Say where it is
  ansible.builtin.debug:
    msg: "{{ report.html }}"
  run_once: true

- name: Draw a report anew from its data
  zero_downtime.deploy.rollout_report:
    record: "{{ lookup('ansible.builtin.file', 'reports/shop-20261122T041203Z-1a2b.json') | from_json }}"
    directory: /srv/www/rollouts
    name: shop-friday
  run_once: true
"""

RETURN = r"""
html:
  description: Path of the page.
  returned: success
  type: str
  sample: /srv/www/rollouts/shop-20261122T041203Z-1a2b.html
json:
  description: Path of the record.
  returned: success
  type: str
  sample: /srv/www/rollouts/shop-20261122T041203Z-1a2b.json
latest:
  description: Path of the copy of the page that is always the service's latest.
  returned: success
  type: str
  sample: /srv/www/rollouts/shop-latest.html
bytes:
  description: Size of the page.
  returned: success
  type: int
  sample: 94211
"""
