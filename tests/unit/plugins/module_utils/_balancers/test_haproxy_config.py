# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts out of HAProxy's configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy_config import Source, parse, seconds

SHUTS = "on-marked-down shutdown-sessions"


def config(*texts):
    return parse(texts, "/etc/haproxy/haproxy.cfg")


def shuts(text, *names):
    found = Source([text], "").shuts_sessions("app", names or ("m1",))
    assert found is config(text).shuts_sessions("app", names or ("m1",))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("backend app\n  server m1 192.0.2.1:80 check", False),
        (f"backend app\n  server m1 192.0.2.1:80 check {SHUTS}", True),
        (f"listen app\n  bind :80\n  default-server {SHUTS}\n  server m1 192.0.2.1:80", True),
        (f"backend app\n  server m1 192.0.2.1:80\n  default-server {SHUTS}", False),  # those that follow it alone
        (f"backend app\n  default-server {SHUTS}\n  server m1 192.0.2.1:80 no-on-marked-down", False),
        (f"defaults\n  default-server {SHUTS}\nbackend app\n  server m1 192.0.2.1:80", True),
        (f"defaults\n  default-server {SHUTS}\ndefaults\n  mode http\nbackend app\n  server m1 192.0.2.1:80", False),
        (f"defaults a\n  default-server {SHUTS}\ndefaults b\nbackend app from a\n  server m1 192.0.2.1:80", True),
        (f"defaults a\n  default-server {SHUTS}\ndefaults b from a\nbackend app\n  server m1 192.0.2.1:80", True),
        (f"defaults a\n  default-server {SHUTS}\ndefaults b\nbackend app\n  server m1 192.0.2.1:80", False),
        (f"backend app\n  # default-server {SHUTS}\n  server m1 192.0.2.1:80 # {SHUTS}", False),
        ("backend app\n  server m1 192.0.2.1:80 'on-marked-down' \"shutdown-sessions\"", True),
        ("backend app\n  server m1 192.0.2.1:80 cookie on-marked-down check", False),  # a value, not a word
        (f"backend other\n  server m1 192.0.2.1:80 {SHUTS}\nbackend app\n  server m1 192.0.2.1:80", False),
        (f"backend app\n  server-template m 3 app.example:80 {SHUTS}", True),
        ("backend app\n  server-template m 1-3 app.example:80 check", False),
        # Who tracks it is marked down with it.
        (f"backend app\n  server m1 192.0.2.1:80\nbackend api\n  server x 192.0.2.1:80 track app/m1 {SHUTS}", True),
        (
            "backend app\n  server m1 192.0.2.1:80\nbackend api\n  server x 192.0.2.1:80 track app/m1\n"
            f"backend more\n  server y 192.0.2.1:80 track api/x {SHUTS}",
            True,
        ),
        (
            "backend app\n  server m1 192.0.2.1:80 track base/b\nbackend base\n  server b 192.0.2.1:80\n"
            f"backend api\n  server x 192.0.2.1:80 track base/b {SHUTS}",
            False,
        ),
        ("backend app\n  server m2 192.0.2.1:80", None),  # a member that was added at run time
        ("backend other\n  server m1 192.0.2.1:80", None),
        ('backend app\n  server m1 192.0.2.1:80 check "${MORE}"', None),
        ('backend app\n  default-server "${MORE[*]}"\n  server m1 192.0.2.1:80 check', None),
        ('defaults\n  default-server "$MORE"\nbackend app\n  server m1 192.0.2.1:80 check', None),
        (f".if defined(X)\ndefaults\n  default-server {SHUTS}\n.endif\nbackend app\n  server m1 192.0.2.1:80", True),
        (".if defined(X)\n.endif\nbackend app\n  server m1 192.0.2.1:80", None),
        ("backend app\n  server m1 192.0.2.1:80 'check", None),
    ],
)
def test_whether_a_member_that_is_marked_down_has_its_sessions_shut(text, expected):
    assert shuts(text) is expected


def test_a_text_without_the_word_is_not_parsed(monkeypatch):
    source = Source(["backend app\n  server m1 192.0.2.1:80\n  acl php path_reg \\.php$\nbackend more\n  server m2 192.0.2.1:80"], "")
    monkeypatch.setattr(Source, "config", "not to be parsed")
    assert source.shuts_sessions("app", ["m1"]) is False
    with pytest.raises(AttributeError):  # of another backend: this one was added at run time
        source.shuts_sessions("app", ["m2"])


def test_several_files_are_one_configuration():
    read = config("defaults\n  option allbackups\n", f"backend app\n  server m1 192.0.2.1:80 {SHUTS}\n")
    assert read.shuts_sessions("app", ["m1"]) and read.all_backups("app")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("backend app\n", False),
        ("backend app\n  option allbackups", True),
        ("defaults\n  option allbackups\nbackend app\n  no option allbackups", False),
        ("backend other\n", None),
        (".if feature(X)\nbackend app\n  option allbackups\n.endif", None),
    ],
)
def test_whether_all_backups_serve_at_once(text, expected):
    assert config(text).all_backups("app") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("backend app\n", False),
        ("backend app\n  balance source", True),
        ("backend app\n  balance hdr(host)\n  hash-type consistent", False),
        ("defaults\n  balance uri depth 3\nbackend app\n", True),
        ("defaults\n  hash-type consistent\nbackend app\n  balance source", False),
        ("backend app\n  balance static-rr", True),
        ("backend app\n  balance leastconn\n  hash-type map-based", False),
        ('backend app\n  balance "$ALGORITHM"', None),
        ("backend other\n", None),
    ],
)
def test_whether_weights_are_fixed(text, expected):
    assert config(text).weights_are_fixed("app") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 57 and 59 seconds were measured for this one.
        (
            "defaults\n  timeout check 5s\nbackend app\n  server m1 192.0.2.1:80 check inter 30s rise 2",
            (65, "inter 30s, rise 2"),
        ),
        (
            "defaults\n  timeout connect 4s\nbackend app\n  server m1 192.0.2.1:80 check inter 30s rise 2",
            (64, "inter 30s, rise 2"),
        ),
        ("backend app\n  server m1 192.0.2.1:80 check", (6, "inter 2s, rise 2")),
        (
            "defaults\n  timeout check 1s\n  default-server inter 10s fastinter 500 downinter 20s rise 3\n"
            "backend app\n  server m1 192.0.2.1:80 check",
            (22, "inter 10s, fastinter 0.5s, downinter 20s, rise 3"),
        ),
        (
            "global\n  spread-checks 50\ndefaults\n  timeout check 1s\nbackend app\n  server m1 192.0.2.1:80 check inter 2s",
            (7, "inter 2s, rise 2"),
        ),
        (
            "defaults\n  timeout check 1s\nbackend app\n  server m1 192.0.2.1:80 check inter 1s\n  server m2 192.0.2.2:80 check inter 9s",
            (19, "inter 9s, rise 2"),
        ),
        (
            "defaults\n  timeout check 1s\nbackend web\n  server w 192.0.2.1:80 check inter 9s\n"
            "backend app\n  server m1 192.0.2.1:80 track web/w",
            (19, "inter 9s, rise 2"),
        ),
        ("backend app\n  server m1 192.0.2.1:80", None),
        ("backend app\n  server m1 192.0.2.1:80 track web/gone", None),
        ("backend app\n  server m1 192.0.2.1:80 track m2\n  server m2 192.0.2.1:80 track m1", None),
        ('backend app\n  server m1 192.0.2.1:80 check inter "$INTER"', None),
        ("backend other\n  server m1 192.0.2.1:80 check", None),
    ],
)
def test_how_long_a_check_takes_to_bring_a_member_up(text, expected):
    told = expected and (expected[0], f"{expected[1]} in /etc/haproxy/haproxy.cfg")
    assert config(text).check_time("app") == told


def test_addresses_as_they_are_written():
    read = config("backend app\n  server m1 unix@/run/m1.sock\n  server-template s 2 app.example:80")
    assert [read.address("app", name) for name in ("m1", "s2", "gone")] == ["unix@/run/m1.sock", "app.example:80", ""]
    assert read.address("other", "m1") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2s", 2), ("500", 0.5), ("500ms", 0.5), ("1m", 60), ("1d", 86400), ("2 s", None), ("", None), ("²s", None)],
)
def test_times(text, expected):
    assert seconds(text) == expected


WORDS = st.sampled_from(
    [
        "backend",
        "app",
        "defaults",
        "server",
        "m1",
        "from",
        "inter",
        "2s",
        "no",
        "option",
        "server-template",
        "1-2",
        "'",
        '"',
        "#",
        "\n",
        "\\",
    ]
)


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_whatever_stands_there_is_read_to_its_end(text):
    read = config(text)
    assert shuts(text) in (True, False, None)
    read.check_time("app")
