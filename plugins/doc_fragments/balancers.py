# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that every module which talks to balancers shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Read by ansible-doc."""

    DOCUMENTATION = r"""
options:
  balancers:
    description:
      - The balancers in front of the service. All of them are one operation, contacted side by side.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What the balancer is called in results, messages and journals.
          - Defaults to O(balancers[].host), else O(balancers[].address), else O(balancers[].socket).
        type: str
      host:
        description:
          - The inventory host on which the balancer's socket is. The module is run there.
          - Without it the balancer is talked to from where the task runs.
        type: str
      provider:
        description:
          - The kind of balancer.
        type: str
        required: true
        choices: [haproxy]
      socket:
        description:
          - Path of HAProxy's runtime API socket, declared as C(stats socket PATH level admin).
          - Either this or O(balancers[].address).
        type: path
      address:
        description:
          - C(host:port) of HAProxy's runtime API, declared as C(stats socket ipv4@HOST:PORT level admin).
          - It has no authentication of its own. Bind it to an address that only the controller reaches.
        type: str
      timeout:
        description:
          - Seconds for one exchange with the balancer.
        type: float
        default: 5.0
  pool:
    description:
      - The pool, which HAProxy calls a backend.
    type: str
    required: true
"""
