# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second door to `release`, and the way of a source on the controller to the host.

The host is asked first, with what identifies the content and without the content: a release that is there is not
transferred again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any, Iterator

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.archives import Archive, pack_directory
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.names import parse_checksum
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.sources import DIRECTORY, Source, is_url
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import manage_release
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction


class ActionModule(UseCaseAction):
    """Runs in the controller's process, or ships the module and, when the host needs it, the source."""

    MODULE = "zero_downtime.deploy.release"
    ARGUMENT_SPEC = manage_release.ARGUMENT_SPEC
    CONSTRAINTS = manage_release.CONSTRAINTS
    USE_CASE = manage_release.run
    RENEWS = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the use case here or on the host; return the task's result."""
        result = ActionBase.run(self, tmp, task_vars)
        del tmp
        result.update(self.under_lease(task_vars or {}))
        return result

    def runs_here(self, args: dict[str, Any]) -> bool:
        """As for every use case; but the task's `environment`, which the restart gets, is a process's own."""
        return super().runs_here(args) and not any(self._task.environment or [])

    def act(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`run`."""
        result: dict[str, Any] = {}
        args = dict(self._task.args)
        try:
            if self.runs_here(args):
                if _is_on_controller(args):
                    args.update(source=self._found(args["source"]) or args["source"], remote_src=True)
                result.update(self.in_process(args))
            elif _is_on_controller(args):
                result.update(self._with_source(args, task_vars))
            else:
                result.update(self._on_host(args, task_vars))
        except DeployError as error:
            result.update({"changed": False, **error.facts, "failed": True, "msg": error.message})
        except OSError as error:
            result.update(
                changed=False,
                failed=True,
                msg=f"{error.filename or args['source']}: {error.strerror or error}, on the controller. "
                "Nothing was unpacked on the host.",
            )
        return result

    def _with_source(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask the host, and bring it what it lacks."""
        asked = str(args.pop("source"))
        args.pop("remote_src", None)
        path = self._found(asked)
        source = None
        if path is not None:
            source = Source(path, parse_checksum(args["checksum"]) if args.get("checksum") else None, {})
            source.check()
            sha256 = source.digests()["sha256"]
            args["checksum"] = args.get("checksum") or f"sha256:{sha256}"
        answer = self._on_host(args, task_vars)
        if not answer.get("failed") or not answer.get("source_needed"):
            return answer
        if source is None:
            answer["msg"] = (
                f"Release {args.get('version')} is not on the host, and there is no source {asked} on the controller "
                "to take it from. Nothing was touched. Check the path; a relative one is searched for in the files "
                "directory of the role or playbook and beside it. For a path on the host, set remote_src."
            )
            return answer
        if source.kind != DIRECTORY:
            # Found out here: nothing is transferred in vain, and check mode knows it too.
            Archive(source.path, int(args.get("strip_components") or 0)).close()
        if self._task.check_mode:
            return self._on_host({**args, "source": source.path, "remote_src": False}, task_vars)
        return self._transferred(source, args, task_vars)

    def _transferred(self, source: Source, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run the module with a copy of `source` in the task's temporary directory on the host."""
        # One may be there from asking.  Ansible removes it when the task ends, however it ends; it would not remove two.
        directory = self._connection._shell.tmpdir or self._make_tmp_path()
        # Under its own name, which is what the release's record tells.
        there = self._connection._shell.join_path(directory, source.name)
        with _as_file(source) as path:
            self._transfer_file(path, there)
        self._fixup_perms2((directory, there))
        return self._on_host({**args, "source": there, "remote_src": True}, task_vars)

    def _on_host(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self.shipped(args, task_vars)

    def _found(self, source: str) -> str | None:
        """The path of `source` on the controller, searched for as Ansible does; None when there is none."""
        try:
            return str(self._find_needle("files", os.path.expanduser(str(source)).rstrip("/") or "/"))
        except AnsibleError:
            return None


def _is_on_controller(args: dict[str, Any]) -> bool:
    source = args.get("source")
    return (
        bool(source)
        and not is_url(str(source))
        and not boolean(args.get("remote_src") or False, strict=False)
        and args.get("state", "active") in ("active", "present")
    )


@contextlib.contextmanager
def _as_file(source: Source) -> Iterator[str]:
    """The path of a file with the source in it: itself, or a directory packed."""
    if source.kind != DIRECTORY:
        yield source.path
        return
    with tempfile.NamedTemporaryFile(dir=C.DEFAULT_LOCAL_TMP) as file:
        pack_directory(source.path, file)
        file.flush()
        yield file.name
