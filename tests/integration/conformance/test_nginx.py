# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only NGINX has: a file that people write too, and a reload of which it must be seen whether it took effect."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import time

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import nginx
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Bound, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    POOL,
    read,
    set_pool,
    until,
)
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports


def file_of(rig):
    """All that there is to a file, its content included."""
    found = rig.file.stat()
    return rig.file.read_bytes(), found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns


def ask(rig, times=20):
    """Who answers new clients."""
    return {Bound(rig.port).get() for each in range(times)}


@pytest.fixture
def taken():
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# A reload that fails


def test_a_reload_that_fails_though_the_test_passes_is_told_and_undone(engine, taken):
    engine.configure(f"server {{ listen 127.0.0.1:{taken}; }}")
    before, workers = file_of(engine), engine.workers()
    with pytest.raises(
        NotApplied, match=rf"goes on with its old configuration.*bind\(\) to 127\.0\.0\.1:{taken} failed.*is as it was"
    ):
        set_pool(engine.entry(), ["m1"], state="disabled")
    assert file_of(engine) == before and engine.workers() == workers
    assert engine.members()["m1"].state == "enabled" and "m1" in ask(engine, 100)


def test_what_nginx_refuses_is_told_in_its_words_and_undone(engine):
    before, workers = file_of(engine), engine.workers()
    with pytest.raises(
        Refused, match=r"NGINX refuses the new configuration.*no servers are inside upstream.*is as it was"
    ):
        engine.driver()._write(POOL, lambda text, upstream: f"upstream {POOL} {{ }}")
    assert file_of(engine) == before and engine.workers() == workers


def test_a_configuration_that_was_broken_before_is_not_blamed_on_the_change(engine):
    engine.configure("nonsense on;")
    before, workers = file_of(engine), engine.workers()
    with pytest.raises(
        Refused,
        match=r'refuses its configuration without the change too.*unknown directive "nonsense".*Repair that first.*is as it was',
    ):
        set_pool(engine.entry(), ["m1"], state="disabled")
    assert file_of(engine) == before and engine.workers() == workers


def test_a_reload_is_given_up_at_the_deadline_and_does_not_take_effect_later(engine, taken):
    engine.configure(f"server {{ listen 127.0.0.1:{taken}; }}")
    before = file_of(engine)
    with pytest.raises(
        Unreachable, match=r"within 1 s what it was told: it is not through with the reload.*read it again"
    ):
        set_pool(engine.entry(timeout=1), ["m1"], state="disabled")
    assert file_of(engine) == before
    engine.configure()
    master = engine.driver().master
    until("it is through with both", lambda: master.rests(master.pid()))
    assert engine.members()["m1"].state == "enabled" and "m1" in ask(engine, 100)


def test_an_old_worker_that_does_not_stop_taking_requests_is_no_success(engine):
    (stuck, *_others) = engine.workers()
    os.kill(stuck, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="old workers that still take requests.*told to read it again"):
            set_pool(engine.entry(timeout=1), ["m1"], state="disabled")
    finally:
        os.kill(stuck, signal.SIGCONT)
    assert engine.members()["m1"].state == "enabled" and "m1" in ask(engine, 100)


def test_a_reload_that_is_under_way_already_is_not_taken_for_ours(engine, taken):
    engine.configure(f"server {{ listen 127.0.0.1:{taken}; }}")
    engine.reload()  # fails, and takes its time
    engine.configure()
    result = set_pool(engine.entry(), ["m1"], state="disabled")
    assert result["changed"] and "m1" not in ask(engine, 100)


def test_an_earlier_reload_that_took_effect_is_not_taken_for_ours(engine, taken):
    before = file_of(engine)
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        engine.configure(f"server {{ listen 127.0.0.1:{theirs.getsockname()[1]}; }}")
        engine.reload()  # tries for a while to have that port
        engine.configure(f"server {{ listen 127.0.0.1:{taken}; }}")
        ours = Aside(lambda: set_pool(engine.entry(timeout=15), ["m1"], state="disabled"))
        until("ours is written", lambda: file_of(engine) != before)
    assert isinstance(ours.ended().error, NotApplied)
    assert file_of(engine) == before and "m1" in ask(engine, 100)


@pytest.mark.parametrize("option", ["test", "reload"])
def test_programs_that_hang_are_ended_and_everything_is_undone(engine, option):
    before = file_of(engine)
    with pytest.raises(Unreachable, match=r"`sleep 60` did not end within"):
        set_pool(engine.entry(timeout=0.5, **{option: ["sleep", "60"]}), ["m1"], state="disabled")
    assert file_of(engine) == before and engine.members()["m1"].state == "enabled"


def test_a_reload_that_does_nothing_is_no_success(engine):
    with pytest.raises(NotApplied, match="goes on with its old configuration.*Its error log says why"):
        set_pool(engine.entry(reload=["true"]), ["m1"], state="disabled")
    assert engine.members()["m1"].state == "enabled"


def test_there_is_no_such_program(engine):
    with pytest.raises(InvalidInput, match="There is no program nginks"):
        read(engine.entry(test=["nginks", "-t"]))


# One that takes effect


def test_once_it_is_written_no_new_request_arrives(engine, apps):
    driver = engine.balancer()
    for _turn in range(5):
        driver.apply(POOL, [Change("m1", "disabled")])
        served = apps["m1"].served
        assert ask(engine) == {"m2", "m3", "m4"} and apps["m1"].served == served
        driver.apply(POOL, [Change("m1", "enabled")])


def test_the_same_again_is_no_reload(engine):
    engine.balancer().apply(POOL, [Change("m1", "disabled", 5)])
    before, workers = file_of(engine), engine.workers()
    engine.balancer().apply(POOL, [Change("m1", "disabled", 5)])
    assert file_of(engine) == before and engine.workers() == workers


def test_a_worker_from_before_an_earlier_reload_counts_until_it_has_ended(engine, apps):
    client = bound_to(engine.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    for member in ("m1", "m2"):
        engine.balancer().apply(POOL, [Change(member, "disabled")])
    seen = engine.members()
    assert [seen[name].in_flight for name in ("m1", "m2", "m3")] == [1, 1, None]
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"
    engine.wait_until("none is left", lambda pool: pool["m1"].in_flight == pool["m2"].in_flight == 0)


@pytest.mark.needs("sticky_drain")
def test_what_bound_clients_ask_of_a_drained_member_is_in_flight(engine, apps):
    client = bound_to(engine.port, "m1")
    set_pool(engine.entry(), ["m1"], state="drained")
    assert engine.members()["m1"].in_flight == 0
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    assert engine.members()["m1"].in_flight == 1
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"


def test_without_sticky_nobody_is_drained(make_nginx, apps):
    lines = "".join(f"server 127.0.0.1:{app.port}; " for app in apps.values())
    rig = make_nginx(more={"upstreams": f"upstream {POOL} {{ {lines} }}"})
    before = file_of(rig)
    with pytest.raises(InvalidInput, match="has no `sticky`.*Use `disabled`. Nothing was touched"):
        rig.balancer().apply(POOL, [Change("m1", "drained")])
    assert file_of(rig) == before


# A file that people write too

PERSONS = """# Ours. upstream app { server nowhere; }
upstream app {
    zone app 64k;
    server 127.0.0.1:%d weight=100;  # the first
    server "127.0.0.1:%d"   weight=100 max_fails=3
           fail_timeout=1s;  server 127.0.0.1:%d weight=100;
    #server 127.0.0.1:1 down;
\tserver 127.0.0.1:%d weight=100;
}
"""


def test_what_people_wrote_stays_as_it_is(make_nginx, apps):
    text = PERSONS % tuple(app.port for app in apps.values())
    rig = make_nginx(more={"upstreams": text})
    os.chmod(rig.file, 0o640)
    if os.getuid() == 0:
        os.chown(rig.file, 65534, 65534)
    _content, *as_it_is, _time = file_of(rig)
    set_pool(rig.entry(), ["m1", "m2"], state="disabled")
    set_pool(rig.entry(), ["m2"], weight=5)
    after, *still, _time = file_of(rig)
    assert still == as_it_is
    assert after.decode() == text.replace("weight=100;  # the first", "weight=100 down;  # the first").replace(
        "weight=100 max_fails=3\n           fail_timeout=1s;", "weight=5 max_fails=3\n           fail_timeout=1s down;"
    )
    set_pool(rig.entry(), ["m1", "m2"], state="enabled", weight=100)
    assert rig.file.read_text(encoding="utf-8") == text


def test_what_a_killed_writer_left_unloaded_is_loaded_before_anything_else(engine, apps):
    """The same command again goes on where a controller died between the write and the reload."""
    driver = engine.driver()
    master = driver.master
    before = master.workers(master.pid())
    born = max(nginx.started(worker) for worker in before)
    until("two ticks of the clock have passed", lambda: time.time() > born + 2 * nginx.TICKS)
    engine.file.write_text(engine.file.read_text(encoding="utf-8").replace("=100;", "=100 down;", 1), encoding="utf-8")
    seen = read(engine.entry(timeout=0.2))["balancers"][0]["members"][0]
    assert (seen["state"], seen["in_flight"]) == ("disabled", None)  # nobody takes it for idle
    set_pool(engine.entry(timeout=0.2), ["m1"], check=True, state="disabled")
    assert master.workers(master.pid()).keys() == before.keys()
    set_pool(engine.entry(), ["m1"], state="disabled")
    assert not before.keys() & master.workers(master.pid()).keys()
    assert "m1" not in {Bound(engine.port).get() for each in range(12)}


def test_a_backup_that_was_moved_there_is_loaded_before_anything_else(engine):
    """Its time is from before NGINX was started, and NGINX has not read it."""
    master = engine.driver().master
    backup = engine.directory / "app.conf.bak"
    backup.write_text(engine.file.read_text(encoding="utf-8").replace("=100;", "=100 down;", 1), encoding="utf-8")
    os.utime(backup, (1e9, 1e9))
    born = max(nginx.started(worker) for worker in master.workers(master.pid()))
    until("two ticks of the clock have passed", lambda: time.time() > born + 2 * nginx.TICKS)
    backup.rename(engine.file)
    assert "m1" in ask(engine, 100)
    set_pool(engine.entry(), ["m1"], state="disabled")
    assert "m1" not in ask(engine, 100)
    workers = engine.workers()
    set_pool(engine.entry(), ["m1"], state="disabled")
    assert engine.workers() == workers


def test_a_write_that_was_undone_keeps_no_later_task_from_its_work(engine):
    engine.configure("nonsense on;")
    with pytest.raises(Refused, match="without the change too"):
        set_pool(engine.entry(), ["m1"], state="disabled")
    assert set_pool(engine.entry(), ["m1"], state="enabled")["changed"] is False


def test_what_nginx_refuses_is_not_loaded_and_told(engine):
    born = max(nginx.started(worker) for worker in engine.driver().master.workers(engine.driver().master.pid()))
    until("two ticks of the clock have passed", lambda: time.time() > born + 2 * nginx.TICKS)
    with open(engine.file, "a", encoding="utf-8") as file:
        file.write("no_such_directive on;\n")
    with pytest.raises(Refused, match="NGINX refuses what is in its configuration: .*no_such_directive"):
        set_pool(engine.entry(timeout=1), ["m1"], state="disabled")


def test_a_clock_that_was_set_back_is_no_edit(engine):
    later = time.time() + 3600
    os.utime(engine.file, (later, later))
    assert engine.members()["m1"].state == "enabled"


def test_an_edit_between_our_look_and_our_write_stays(engine, monkeypatch):
    changed = nginx.changed

    def behind(text, *rest):
        engine.file.write_text(f"# mine\n{text}", encoding="utf-8")
        return changed(text, *rest)

    monkeypatch.setattr(nginx, "changed", behind)
    with pytest.raises(NotApplied, match="was changed by somebody else while we worked on it"):
        engine.balancer().apply(POOL, [Change("m1", "disabled")])
    text = engine.file.read_text(encoding="utf-8")
    assert text.startswith("# mine\n") and "down" not in text


def test_a_link_is_followed_and_stays(engine):
    link = engine.directory / "enabled.conf"
    link.symlink_to(engine.file)
    set_pool(engine.entry(file=str(link)), ["m1"], state="disabled")
    assert link.is_symlink() and engine.members()["m1"].state == "disabled"
    assert engine.driver().endpoint == str(engine.file)


def test_the_pool_may_stand_in_nginx_s_own_file(make_nginx, apps):
    port, app = free_ports(1)[0], apps["m1"].port
    rig = make_nginx(
        more={
            "extra": f"upstream shop {{ server 127.0.0.1:{app}; server 127.0.0.1:1 backup; }}"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://shop; }} }}"
        }
    )
    entry = {**rig.entry(file=str(rig.directory / "nginx.conf")), "names": None}
    set_pool(entry, [f"127.0.0.1:{app}"], pool="shop", state="disabled", min_available=0)
    assert "backup; }" in (rig.directory / "nginx.conf").read_text(encoding="utf-8")
    states = [(m["state"], m["weight"]) for m in read(entry, pool="shop")["balancers"][0]["members"]]
    assert states == [("disabled", 1), ("enabled", 1)]


def test_pools_of_two_files_are_written_side_by_side(make_nginx, apps):
    other = "upstream other { server 127.0.0.1:1; server 127.0.0.1:2; }"
    rig = make_nginx()
    (rig.directory / "other.conf").write_text(other, encoding="utf-8")
    rig.configure(f"include {rig.directory}/other.conf;")
    rig.reload()
    second = {**rig.entry(file=str(rig.directory / "other.conf")), "names": None}
    for state in ("disabled", "enabled") * 3:
        beside = Aside(lambda state=state: set_pool(second, ["127.0.0.1:1"], pool="other", state=state))
        set_pool(rig.entry(), ["m1"], state=state)
        assert beside.ended().error is None
        assert rig.members()["m1"].state == state
        assert read(second, pool="other")["balancers"][0]["members"][0]["state"] == state


def test_two_hundred_members_are_one_reload(make_nginx, apps):
    lines = "".join(f"    server 127.0.0.1:{app.port} weight=100;\n" for app in apps.values())
    more = [f"127.0.1.{number}:{apps['m1'].port}" for number in range(1, 197)]
    lines += "".join(f"    server {address} weight=100 down;\n" for address in more)
    rig = make_nginx(more={"upstreams": f"upstream {POOL} {{\n{lines}}}\n"})
    seen = rig.balancer().apply(POOL, [Change(address, "disabled", 7) for address in more])
    assert len(seen) == 200 and {m.weight for m in seen} == {100, 7}
    assert rig.log.read_text(encoding="utf-8").count("reconfiguring") == 2  # as received, and as done


# A file that NGINX does not read, or does not see replaced


def no_success(rig, entry, said):
    """The plan, a check and the write itself refuse it, and nothing was touched."""
    before, workers = file_of(rig), rig.workers()
    for work in (
        lambda: read(entry),
        lambda: set_pool(entry, ["m1"], check=True, state="disabled"),
        lambda: set_pool(entry, ["m1"], state="disabled"),
        lambda: open_balancer({"timeout": 5.0, **entry}).apply(POOL, [Change("m1", "disabled")]),
        lambda: open_balancer({"timeout": 5.0, **entry}).other_pools(POOL),
    ):
        with pytest.raises(InvalidInput, match=f"{said}.*Nothing was touched"):
            work()
    assert file_of(rig) == before and rig.workers() == workers and "m1" in ask(rig, 100)


def test_a_file_that_nothing_includes_is_not_written(engine):
    copy = engine.directory / "available.conf"
    shutil.copy(engine.file, copy)
    before = copy.read_bytes()
    no_success(engine, engine.entry(file=str(copy)), f"NGINX does not read {copy}. It reads: .*{engine.file}")
    assert copy.read_bytes() == before


def test_a_hard_link_is_not_written(engine):
    link = engine.directory / "linked.conf"
    os.link(engine.file, link)
    no_success(
        engine, engine.entry(file=str(link)), f"reads the same file by another name, the hard link {engine.file}"
    )


def test_a_link_is_followed_as_nginx_follows_it(engine):
    """As Debian has it: sites-enabled links to sites-available."""
    real = engine.directory / "available.conf"
    engine.file.rename(real)
    engine.file.symlink_to(real.name)
    engine.reload()
    for file in (real, engine.file):
        set_pool(engine.entry(file=str(file)), ["m1"], state="disabled")
        assert engine.file.is_symlink() and "m1" not in ask(engine, 100)
        set_pool(engine.entry(file=str(file)), ["m1"], state="enabled")


MOUNTED = (
    "unshare",
    "-m",
    "sh",
    "-c",
    'mount --bind "$0" "$1" && shift && exec "$@"',
    "{here}/host/app.conf",
    "{here}/app.conf",
)


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts files for others")
def test_a_single_file_that_is_mounted_for_nginx_is_not_written(make_nginx, apps, tmp_path):
    host = tmp_path / "balancer0" / "host"
    host.mkdir(parents=True)
    text = "upstream app { %s }" % "".join(f"server 127.0.0.1:{app.port} weight=100; " for app in apps.values())
    (host / "app.conf").write_text(text, encoding="utf-8")
    rig = make_nginx(more={"upstreams": text, "within": MOUNTED})
    source = rig.directory / "host" / "app.conf"
    no_success(
        rig,
        rig.entry(),
        f"{rig.file} is a single file that is mounted there, and stays the old one. Mount its directory",
    )
    before = source.read_bytes()
    no_success(rig, rig.entry(file=str(source)), f"{rig.file} is a single file that is mounted there")
    assert source.read_bytes() == before


def test_a_file_that_is_left_out_meanwhile_is_put_back(engine):
    driver = engine.driver()
    driver.members(POOL)
    before, workers = file_of(engine), engine.workers()
    other = engine.directory / "other.conf"
    shutil.copy(engine.file, other)
    main = engine.directory / "nginx.conf"
    main.write_text(main.read_text(encoding="utf-8").replace(str(engine.file), str(other)), encoding="utf-8")
    with pytest.raises(NotApplied, match=f"NGINX does not read {engine.file}.*is as it was"):
        driver.apply(POOL, [Change(engine.address("m1"), "disabled")])
    assert file_of(engine) == before and engine.workers() == workers


def test_a_path_in_a_comment_is_no_evidence(engine):
    """The output of an earlier `nginx -T`, kept as a comment."""
    copy = engine.directory / "available.conf"
    shutil.copy(engine.file, copy)
    before = copy.read_bytes()
    with open(engine.directory / "nginx.conf", "a", encoding="utf-8") as file:
        file.write(f"\n# configuration file {copy}:\n# upstream app {{ }}\n")
    with pytest.raises(NotApplied, match=f"reads {copy}, and prints another content of it.*is as it was"):
        set_pool(engine.entry(file=str(copy)), ["m1"], state="disabled")
    assert copy.read_bytes() == before


def test_a_program_that_may_test_and_not_print_is_told_apart(engine):
    only_tests = engine.directory / "sudo"
    only_tests.write_text(
        '#!/bin/sh\ncase "$*" in *-T*) echo "sudo: a password is required" >&2; exit 1;; esac; exec "$@"\n'
    )
    only_tests.chmod(0o755)
    before, workers = file_of(engine), engine.workers()
    entry = engine.entry(test=[str(only_tests), *engine.command, "-t"])
    with pytest.raises(
        Refused, match="cannot be asked which files it reads: .* -T` said sudo: a password.*Nothing was touched"
    ):
        set_pool(entry, ["m1"], state="disabled")
    assert file_of(engine) == before and engine.workers() == workers


def test_a_test_of_the_user_s_own_is_not_asked_and_the_plan_says_so(engine):
    entry = engine.entry(test=["true"])
    driver = open_balancer({"timeout": 5.0, **entry})
    driver.members(POOL)
    assert driver.capabilities.finds_pools is False and "NGINX is not asked" in driver.in_flight_source
    with pytest.raises(Refused, match="cannot tell in which other pools"):
        driver.other_pools(POOL)
    set_pool(entry, ["m1"], state="disabled")
    assert "m1" not in ask(engine, 100)


# Other ways to a member


def test_every_other_way_to_a_member_is_found(make_nginx, apps):
    one, two = apps["m1"].port, apps["m2"].port
    rig = make_nginx(
        more={
            "extra": f"upstream spare {{ server localhost:{one}; server 127.0.0.1:1 backup; }}"
            f"upstream unused {{ server 127.0.0.1:{two}; }}"
            f"server {{ listen 127.0.0.1:{free_ports(1)[0]}; location / {{ proxy_pass http://spare; }} "
            f"location /direct {{ proxy_pass http://127.0.0.1:{two}/; }} }}",
        }
    )
    main = str(rig.directory / "nginx.conf")
    found = {(other.name, other.members, other.reason) for other in rig.balancer().other_pools(POOL)}
    assert found == {
        ("spare", ("m1",), f"same address, in {main}"),
        (f"proxy_pass http://127.0.0.1:{two}/", ("m2",), f"same address, without an upstream, in {main}"),
    }


def test_a_broken_configuration_tells_no_other_pools(engine):
    engine.configure("nonsense on;")
    with pytest.raises(Refused, match=r'refuses its configuration as it is.*unknown directive "nonsense"'):
        engine.balancer().other_pools(POOL)


# Masters


def pid_of(rig):
    return int(rig.pid_file.read_text(encoding="ascii"))


# A master whose parent is the one that started it takes itself for the new one, and does not replace itself.
APART = ("sh", "-c", '( "$@" & while ! test -s "$0"; do sleep 0.05; done ); exec sleep infinity', "{here}/nginx.pid")


@pytest.fixture
def apart(make_nginx):
    """NGINX whose program can be replaced."""
    return make_nginx(more={"within": APART})


def upgraded(rig):
    """Start a second master, as a package's upgrade does; the numbers of both."""
    old = pid_of(rig)
    noted = rig.directory / "nginx.pid.oldbin"

    def has_begun():
        if not noted.exists():  # it ignores the signal until its starter has ended, and while it begins
            os.kill(old, signal.SIGUSR2)
        return noted.exists()

    until("it has begun", has_begun)
    until("the new master has noted itself", lambda: rig.pid_file.exists() and rig.pid_file.read_text(encoding="ascii"))
    until("it has workers", lambda: len(rig.workers()) == 2)
    return old, pid_of(rig)


def test_workers_of_an_earlier_master_count_until_they_have_ended(apart, apps):
    client = bound_to(apart.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    old, new = upgraded(apart)
    assert old != new
    before, workers = file_of(apart), apart.workers()
    with pytest.raises(
        Refused, match=rf"upgrade of its program is not finished.*kill -QUIT {old}`.*Nothing was touched"
    ):
        set_pool(apart.entry(), ["m1"], state="disabled")
    assert file_of(apart) == before and apart.workers() == workers
    os.kill(old, signal.SIGQUIT)
    until("only the busy one is left", lambda: len(apart.driver().master.all_workers(new)[1]) == 1)
    apart.balancer().apply(POOL, [Change("m1", "disabled")])
    assert apart.members()["m1"].in_flight == 1
    assert f"an earlier master (process {old})" in apart.balancer().busy_sentence(POOL, {"m1": 1})
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"
    apart.wait_until("none is left", lambda pool: pool["m1"].in_flight == 0)


def test_workers_whose_master_was_killed_count_too(apart, apps):
    old, new = upgraded(apart)
    os.kill(old, signal.SIGKILL)
    orphans = until(
        "they have no master",
        lambda: apart.driver().master.all_workers(new)[1],
        lambda found: {worker.master for worker in found.values()} == {0},
    )
    assert len(orphans) == 2
    with pytest.raises(
        Refused, match=r"Their master was killed. End them \(`kill -QUIT [0-9]+ [0-9]+`\).*Nothing was touched"
    ):
        set_pool(apart.entry(), ["m1"], state="disabled")
    for worker in orphans:
        os.kill(worker.pid, signal.SIGQUIT)
    until("they have ended", lambda: not apart.driver().master.all_workers(new)[1])
    set_pool(apart.entry(), ["m1"], state="disabled")
    assert "m1" not in ask(apart, 100)


def test_another_nginx_is_not_taken_for_this_one(make_nginx):
    one, other = make_nginx(), make_nginx()
    os.kill(pid_of(other), signal.SIGKILL)
    own, old = one.driver().master.all_workers(pid_of(one))
    assert len(own) == 2 and old == {}


# Messages


def test_a_busy_member_may_be_another_pool_s_request(engine, apps):
    engine.configure(outside="worker_shutdown_timeout 1h;")
    client = bound_to(engine.port, "m2")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m2"].holding == 1)
    driver = engine.balancer()
    assert driver.busy_sentence(POOL, {"m1": 1}) == ""
    driver.apply(POOL, [Change("m1", "disabled")])
    said = driver.busy_sentence(POOL, {"m1": 1})
    assert "1 old worker process still has requests, perhaps of other pools" in said
    assert "`worker_shutdown_timeout` (1h)" in said
    apps["m2"].gate.set()
    assert slow.ended().result == "m2"


def test_a_pool_that_is_in_another_file_is_found(engine):
    with pytest.raises(InvalidInput) as told:
        read(engine.entry(file=str(engine.directory / "nginx.conf")))
    assert re.search(rf"It includes other files.*include {engine.file} \(line [0-9]+\)", str(told.value))
    assert f"NGINX has an upstream 'app' in {engine.file}: set `file` to that" in str(told.value)


def test_bytes_that_are_no_utf_8_stay(make_nginx, apps):
    rig = make_nginx()
    before = "# Größe\n".encode("latin-1") + "# 功能".encode("gbk") + b"\n" + rig.file.read_bytes()
    rig.file.write_bytes(before)
    rig.reload()
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert "m1" not in ask(rig, 100)
    assert rig.file.read_bytes() == before.replace(b"weight=100;", b"weight=100 down;", 1)
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.file.read_bytes() == before


def test_a_check_that_takes_too_long_names_the_option(engine):
    before = file_of(engine)
    with pytest.raises(
        Unreachable, match=r"did not end within 0\.[0-9] s\. .*Allow more time with `timeout`, which is 0\.5 s"
    ):
        set_pool(engine.entry(timeout=0.5, test=["sleep", "60"]), ["m1"], state="disabled")
    assert file_of(engine) == before


# Tiers


def test_a_backup_server_stays_one(make_nginx):
    rig = make_nginx(standby=("m3",))
    before = rig.file.read_bytes()
    rig.balancer().apply(POOL, [Change("m3", "disabled", 7)])
    seen = rig.members()["m3"]
    assert (seen.state, seen.weight, seen.tier) == ("disabled", 7, 1)
    assert b"weight=7 backup down;" in rig.file.read_bytes()
    rig.balancer().apply(POOL, [Change("m3", "enabled", 100)])
    assert rig.file.read_bytes() == before and "m3" not in ask(rig, 100)


# Members that come and go


def test_a_member_is_added_and_removed(make_nginx, apps):
    names = {name: app.port for name, app in apps.items()}
    rig = make_nginx(members={name: port for name, port in names.items() if name != "m4"})
    entry = rig.entry(names={name: f"127.0.0.1:{port}" for name, port in names.items()})
    before = rig.file.read_bytes()
    assert "m4" not in ask(rig)
    options = {"addresses": {"m4": f"127.0.0.1:{names['m4']}"}, "weight": 100}
    assert set_pool(entry, ["m4"], state="enabled", **options)["changed"] is True
    assert set_pool(entry, ["m4"], state="enabled", **options)["changed"] is False
    assert "m4" in ask(rig, 100)
    assert set_pool(entry, ["m4"], state="absent")["changed"] is True
    assert rig.file.read_bytes() == before and "m4" not in ask(rig)


def test_who_gets_work_is_not_removed_and_the_last_one_cannot_be(engine):
    with pytest.raises(Refused, match="still sends work to 127.0.0.1:.*Disable them first"):
        engine.balancer().remove(POOL, ["m1"])
    everyone = ["m1", "m2", "m3", "m4"]
    set_pool(engine.entry(), everyone, state="disabled", min_available=0)
    with pytest.raises(Refused, match="no servers are inside upstream"):
        engine.balancer().remove(POOL, everyone)
    assert list(engine.members()) == everyone


def test_who_is_there_is_not_added_again(engine, apps):
    address = f"127.0.0.1:{apps['m1'].port}"
    with pytest.raises(InvalidInput, match=f"has a member {address} already"):
        engine.balancer().add(POOL, "m1", address)
