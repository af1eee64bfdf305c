# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's usual output, for a callback that takes its place: all of it, or what must not get lost."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.plugins.loader import callback_loader

USUAL = "ansible.builtin.default"
# What is printed even where the view takes the place of everything else: under the heading of its task, and what has or needs none.
TELLING = frozenset("v2_runner_on_failed v2_runner_on_unreachable v2_runner_item_on_failed v2_runner_retry".split())
NEVER_LOST = TELLING | {"v2_on_file_diff", "v2_playbook_on_stats"}


class Sieve:
    """A Display that drops what is displayed while it is shut; warnings and errors pass at all times.

    The heading of a task is kept until something of the task passes.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._heading: str | None = None
        self.shut = False

    def display(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """As `Display.display`."""
        if not self.shut:
            self.head()
            self._display.display(msg, *args, **kwargs)

    def banner(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """As `Display.banner`."""
        self._heading = msg
        if not self.shut:
            self._heading = None
            self._display.banner(msg, *args, **kwargs)

    def head(self) -> None:
        """Print the heading that was kept, if there is one."""
        heading, self._heading = self._heading, None
        if heading:
            self._display.banner(heading)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._display, name)


class Usual:
    """The usual output."""

    def __init__(self) -> None:
        self._plugin = callback_loader.get(USUAL)
        self._plugin.set_options()
        self._sieve = Sieve(self._plugin._display)
        self._plugin._display = self._sieve

    def hear(self, hook: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], brief: bool, current: Any) -> None:
        """Pass a hook's call on.

        :param brief: whether nothing but what must not get lost is to be printed.
        :param current: the task's result as ansible-core 2.19 and later keep it in a callback.
        """
        heard = getattr(self._plugin, hook, None)
        if heard is None:
            return
        telling = hook in TELLING or _is_meant_to_be_read(args)
        self._sieve.shut = brief and not telling and hook not in NEVER_LOST
        if brief and telling:
            self._sieve.head()
        self._plugin._current_task_result = current
        try:
            heard(*args, **kwargs)
        finally:
            self._plugin._current_task_result = None
            self._sieve.shut = False


def _is_meant_to_be_read(args: tuple[Any, ...]) -> bool:
    """Whether this is the result of a `debug` task, or of another one that always shows what it found."""
    result = getattr(args[0], "_result", None) if args else None
    return isinstance(result, Mapping) and bool(result.get("_ansible_verbose_always"))
