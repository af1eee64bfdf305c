# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `run` a load, `report` on the samples of one."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from .clients import KINDS, Client, Pacer, Run
from .report import attribute, split, summarize

DEFAULT_CLIENTS = "keepalive=8,connect=6,post=6,slow=6,sticky=6"
STOP_FILE_POLL = 0.1


def _targets(urls: list[str]) -> list[tuple[str, int]]:
    targets = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise argparse.ArgumentTypeError(f"{url!r} is not http://HOST[:PORT]")
        targets.append((parts.hostname, parts.port or 80))
    return targets


def _clients(text: str) -> dict[str, int]:
    chosen = {}
    for word in text.split(","):
        kind, _equals, number = word.partition("=")
        if kind not in KINDS or not number.isdigit():
            raise argparse.ArgumentTypeError(f"{word!r} is not KIND=NUMBER; kinds: {', '.join(KINDS)}")
        chosen[kind] = int(number)
    return chosen


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="load", description="A load of several kinds of clients, counted one by one.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="send requests until the count, the time, the stop file or a signal")
    run.add_argument("--url", action="append", required=True, help="http://HOST:PORT; again for more balancers")
    run.add_argument("--requests", type=int, default=20000, help="at most so many (20000)")
    run.add_argument("--seconds", type=_positive, default=120.0, help="at most so long (120)")
    run.add_argument("--rate", type=_positive, default=700.0, help="requests a second, slow ones aside (700)")
    run.add_argument("--at-least", type=int, default=0, help="the stop file waits for so many requests (0)")
    run.add_argument("--clients", type=_clients, default=_clients(DEFAULT_CLIENTS), help=f"({DEFAULT_CLIENTS})")
    run.add_argument("--slow-seconds", type=float, default=2.0, help="length of a slow answer (2)")
    run.add_argument("--timeout", type=_positive, default=10.0, help="of one request, in seconds (10)")
    run.add_argument("--stop-file", type=Path, help="stop when this file appears")
    run.add_argument("--samples", type=Path, help="write a line of JSON for each request")
    run.add_argument("--summary", type=Path, help="write the summary here, and not to stdout")
    report = commands.add_parser("report", help="latency before and during a window; failures that deaths forced")
    report.add_argument("--samples", type=Path, required=True)
    report.add_argument("--window", type=float, nargs=2, metavar=("START", "END"), help="seconds since the epoch")
    report.add_argument("--deaths", type=Path, help='JSON: [{"at": seconds since the epoch, "member": name}, …]')
    args = parser.parse_args(words)
    if args.command == "run":
        try:
            args.targets = _targets(args.url)
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
        if args.at_least > args.requests:
            parser.error(f"--at-least {args.at_least} is above --requests {args.requests}")
    return args


async def run_load(args: argparse.Namespace) -> dict:
    """Run the load that the command line asks for; returns the summary."""
    samples: list[dict] = []
    out = open(args.samples, "w", encoding="utf-8", buffering=1 << 16) if args.samples else None
    stopped_by = ["requests"]

    def record(sample: dict) -> None:
        samples.append(sample)
        if out:
            out.write(json.dumps(sample) + "\n")

    run = Run(Pacer(args.rate), args.requests, args.timeout, args.slow_seconds, record)

    def stop(reason: str) -> None:
        if not run.stopping.is_set():
            stopped_by[0] = reason
            run.stopping.set()

    async def watch() -> None:
        while args.stop_file:
            if args.stop_file.exists() and len(samples) >= args.at_least:
                return stop("stop file")
            await asyncio.sleep(STOP_FILE_POLL)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, "signal")
    timer = loop.call_later(args.seconds, stop, "seconds")
    watcher = asyncio.create_task(watch())
    clients = []
    for kind, number in args.clients.items():
        for index in range(number):
            host, port = args.targets[len(clients) % len(args.targets)]
            clients.append(Client(kind, index, host, port, run))
    try:
        # Requests under way are finished: a client looks for the end only between two of them.
        await asyncio.gather(*(client.work() for client in clients))
    finally:
        watcher.cancel()
        timer.cancel()
        if out:
            out.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    summary = summarize(samples)
    cpu = used.ru_utime + used.ru_stime
    summary |= {"stopped_by": stopped_by[0], "connections_of_keepers": run.reconnects, "sticky_moves": run.sticky_moves,
                "cpu_seconds": round(cpu, 2), "cpu_share": round(cpu / summary["seconds"], 3) if samples else 0.0}
    return summary


def report_on(args: argparse.Namespace) -> dict:
    """The report that the command line asks for."""
    with open(args.samples, encoding="utf-8") as lines:
        samples = [json.loads(line) for line in lines]
    deaths = json.loads(args.deaths.read_text(encoding="utf-8")) if args.deaths else []
    report = summarize(samples) | attribute(samples, deaths)
    if args.window:
        report["window"] = {"start": args.window[0], "end": args.window[1], **split(samples, *args.window)}
    return report


def main(words: list[str] | None = None) -> int:
    """Exit code 0: every request was answered well, those that a death cut aside (`report`); 1: not so, or none ran."""
    args = arguments(words)
    result = asyncio.run(run_load(args)) if args.command == "run" else report_on(args)
    text = json.dumps(result, indent=2) + "\n"
    if args.command == "run" and args.summary:
        args.summary.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0 if result["requests"] and not result["failed"] else 1
