#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin wiring of the use case `manage_release` to Ansible."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Keep releases of a service side by side on a host, switch between them and restart what runs from them
version_added: 0.1.0
description:
  - Keeps the releases of a service in C(path/releases/VERSION), what they have in common in C(path/shared), and
    says which one runs with the symbolic link C(path/current).
  - A release is unpacked under a hidden name, synced to disk and renamed, so that a release directory that exists is
    complete. The link is replaced by a rename, so that there is a current release at every instant.
  - The release that ran before is named by the symbolic link C(path/previous). The current and the previous release
    are never pruned, and going back never removes the release that it leaves.
  - What a crashed run left is removed by the next one, and a switch that it had begun is finished, or taken back when
    C(current) had not been reached.
  - A release that is there is not changed any more. The same version with other content is an error.
  - What runs from C(current) is restarted where O(service) or O(restart_command) names it. The unit or the program is looked for before
    anything is touched, in check mode too.
author: The zero_downtime.deploy authors (@zero-downtime)
extends_documentation_fragment:
  - zero_downtime.deploy.lease
attributes:
  check_mode:
    support: full
    description:
      - Nothing is written, fetched or restarted. An archive on the host or the controller is read and judged; one
        behind a URL is taken for good.
  diff_mode:
    support: full
    description: Shows the current release, the previous one, all releases and the leftovers, before and after.
options:
  path:
    description:
      - The directory that holds the layout. Absolute. It and its parents are made when missing.
    type: path
    required: true
  version:
    description:
      - The name of the release. Letters, digits, C(.), C(_), C(+), C(~) and C(-), not beginning with a punctuation
        mark other than C(_).
      - Needed for every state but V(reverted), and refused with that.
    type: str
  state:
    description:
      - V(active) unpacks the release when it is not there, makes C(current) name it, and prunes.
      - V(present) unpacks the release when it is not there, and does no more.
      - V(reverted) makes C(current) name the previous release. The one that it leaves becomes the previous one, so
        that reverting twice leads back to the start. This state changes something each time; to name the release to
        go back to, use V(active).
      - V(absent) removes the release. The current one is refused; removing the previous one leaves none.
    type: str
    choices: [active, present, reverted, absent]
    default: active
  source:
    description:
      - Where the release comes from, an archive (tar, plain or packed with gzip, bzip2 or xz; zip) or a directory,
        whose content becomes the release.
      - A path on the controller, searched for as M(ansible.builtin.copy) does; a path on the host with
        O(remote_src=true); or an C(http) or C(https) URL, which the host itself fetches.
      - Not needed, and not transferred, when the release is on the host already.
      - An archive with an absolute path, C(..), a link that leads outside, or a device is refused as a whole.
      - Files can be written by their owner alone once unpacked, and are never set-user-id.
      - A packed directory carries no times and owners.
    type: str
  remote_src:
    description: Whether O(source) is a path on the host rather than on the controller. Ignored for a URL.
    type: bool
    default: false
  checksum:
    description:
      - What the archive must have, as C(ALGORITHM:HEX) with one of sha1, sha224, sha256, sha384 and sha512.
      - Compared before anything is unpacked; for a release that is there, compared with what it was unpacked from.
      - Refused for a directory.
    type: str
  strip_components:
    description:
      - How many leading directories of the paths in the archive to drop, as C(tar --strip-components) does.
      - Use V(1) for an archive with one directory at its top that holds everything.
    type: int
    default: 0
  shared:
    description:
      - Paths relative to the release that are the same for all releases, files or directories. In the release they
        are links to C(path/shared).
      - What is in C(path/shared) wins over what the release has there. Where nothing is shared yet, it is taken from
        the release, and when the release has nothing there either, an empty directory is made. Put a file that no
        release brings into C(path/shared) first.
      - Applies to releases as they are unpacked, not to those that are there.
    type: list
    elements: str
    default: []
  keep:
    description:
      - How many releases to keep on the host, the current and the previous one included. These two are kept even when
        that makes more.
      - The oldest go first. Only O(state=active) prunes.
    type: int
    default: 5
  owner:
    description:
      - User whom the new release, and what is made in C(path/shared), is given to.
      - Without it they belong to the user who runs the task.
    type: str
  group:
    description: Group that the new release, and what is made in C(path/shared), is given to.
    type: str
  validate_certs:
    description: Whether the certificate of an C(https) server must be valid.
    type: bool
    default: true
  url_username:
    description: User for HTTP basic authentication at O(source). Needs O(url_password).
    type: str
  url_password:
    description: Password for HTTP basic authentication at O(source).
    type: str
  headers:
    description:
      - HTTP headers sent to O(source), for example an authorization.
      - A server that the request is redirected to gets neither these nor the password.
    type: dict
  timeout:
    description: How long the server may be silent, in seconds.
    type: int
    default: 30
  service:
    description: The systemd unit that runs from C(current). Not together with O(restart_command).
    type: str
  service_state:
    description: Whether the unit is restarted or reloaded. Reload only what takes up a new release then.
    type: str
    choices: [restarted, reloaded]
    default: restarted
  service_scope:
    description: Whether it is a unit of the system, or of the user who runs the task.
    type: str
    choices: [system, user]
    default: system
  restart_command:
    description:
      - A command that restarts the service, the program and its arguments. No shell reads it.
      - It has ended when the module ends; there is no time limit but that of the task.
    type: list
    elements: str
    default: []
  restart:
    description:
      - V(changed) restarts when C(current) was switched.
      - V(always) restarts in every run with O(state=active) or O(state=reverted). It is for whoever cannot tell whether a run before this
        one, cut off between switching and restarting, left the old process running.
      - V(never) restarts nothing.
    type: str
    choices: [changed, always, never]
    default: changed
notes:
  - With a local connection and without privilege escalation this runs in Ansible's own process.
  - The host needs no C(tar) or C(unzip). Python's standard library does the work.
seealso:
  - module: zero_downtime.deploy.release_info
"""

EXAMPLES = r"""
- name: Put release 1.4.2 in place, fetched by the host, and activate it
  zero_downtime.deploy.release:
    path: /srv/shop
    version: 1.4.2
    source: https://releases.example.com/shop-1.4.2.tar.gz
    checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    strip_components: 1
    shared:
      - log
      - config/local.yml
    owner: shop
    service: shop
  become: true

- name: Put a directory of the controller in place ahead of time
  zero_downtime.deploy.release:
    path: /srv/shop
    version: 1.4.3
    source: build/shop/
    state: present

- name: Go back to the release that ran before, and have the service take it up
  zero_downtime.deploy.release:
    path: /srv/shop
    state: reverted
    restart_command: [/usr/local/bin/shopctl, restart]

- name: Go to a release that is on the host
  zero_downtime.deploy.release:
    path: /srv/shop
    version: 1.4.1
"""

RETURN = r"""
path:
  description: The directory that holds the layout.
  returned: success
  type: str
  sample: /srv/shop
current:
  description: The version of the current release. Null when there is none.
  returned: success
  type: str
  sample: 1.4.2
previous:
  description: The version that state V(reverted) would activate. Null when there is none.
  returned: success
  type: str
  sample: 1.4.1
releases:
  description: The versions on the host, the oldest first.
  returned: success
  type: list
  elements: str
  sample: [1.4.0, 1.4.1, 1.4.2]
activated:
  description:
    - Whether C(current) was switched, by this run or by an interrupted one that this run finished. What starts from
      C(current) must be restarted then.
  returned: success
  type: bool
unpacked:
  description: Whether the release was unpacked.
  returned: success
  type: bool
pruned:
  description: The versions that were removed.
  returned: success
  type: list
  elements: str
  sample: [1.3.9]
restarted:
  description: Whether the service was restarted or reloaded; in check mode, whether it would be.
  returned: success, and when the restart failed
  type: bool
source_needed:
  description: Set when all that is missing is a source for a release that is not on the host.
  returned: when it failed for that reason
  type: bool
expected_checksum:
  description: The checksum that was asked for.
  returned: when it failed for a wrong checksum
  type: str
found_checksum:
  description: The checksum that was found.
  returned: when it failed for a wrong checksum
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.manage_release import (
    ARGUMENT_SPEC,
    CONSTRAINTS,
    run,
)


def main():
    """Wire the options to the use case."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **CONSTRAINTS)

    def warned(params, check_mode, clock):
        result = run(params, check_mode, clock)
        for warning in result.pop("warnings", []):
            module.warn(warning)
        return result

    serve(module, warned)


if __name__ == "__main__":
    main()
