# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The charts of a report, as SVG that a browser need not calculate.

A chart is two drawings side by side: what stands at the axis of values, of a fixed width, and the plot, as wide as there is room.
Within a plot everything lies at percents, so that text keeps its size at any width; only areas and lines are stretched.
Nothing here has a colour: classes do, in page.css.  Every text is escaped by :class:`markupsafe.Markup`.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, NamedTuple, Sequence

from markupsafe import Markup

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_series import Stretch
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_timeline import Batch, Row, Segment
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.report_words import (
    clock,
    milliseconds,
    number,
    span,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.scales import Scale, Window

ABOVE, BELOW = 24, 24  # pixels for the names of batches, and for times
ROW = 20  # pixels of a host's row
WIDE = 1000  # units of a stretched drawing's width
# Top and height of a phase within a row: its shape tells it apart, not its colour alone.
SHAPES = {
    "drain": (8, 4), "deploy": (3, 14), "check": (3, 14), "return": (6, 8), "soak": (9, 2), "switch": (3, 14), "watch": (9, 2),
    "undo_drain": (8, 4), "undo_deploy": (3, 14), "undo_check": (3, 14), "undo_return": (6, 8),
    "undo_soak": (9, 2), "undo_switch": (3, 14), "undo_watch": (9, 2),
}  # fmt: skip
# How many percents wide a phase is at least, so that a short one is seen.
NARROWEST = 0.25
# How many percents wide a phase is in which a cross has room, on a small screen too.
ROOM = 4.0
LOG_NOTE = "The scale is logarithmic."


class Band(NamedTuple):
    """A stretch of time that is shaded and named in every chart."""

    name: str
    short: str
    began: float
    ended: float
    kind: str  # a class: batch, switch, undo


def bands(batches: Sequence[Batch], decided: float | None, undone: float | None) -> list[Band]:
    """The batches on their way forward, a switch of colours, and the way back."""
    found = [
        Band(batch.name, str(batch.number), batch.began, batch.ended, "batch")
        for batch in batches
        if batch.number and batch.began is not None and batch.ended is not None
    ]
    switched = [each for batch in batches for row in batch.rows for each in row.segments if each.phase == "switch"]
    if switched:
        found.append(
            Band("Switch", "⇄", min(each.began for each in switched), max(each.ended for each in switched), "switch")
        )
    if decided is not None and undone is not None:
        found.append(Band("Rollback", "↩", decided, undone, "undo"))
    return found


def traffic(
    name: str, said: str, stretches: Sequence[Stretch], versions: Sequence[str], window: Window, shaded: Sequence[Band]
) -> Markup:
    """Requests a second by the version that answered, one upon the other, in the order of `versions`."""
    totals = [sum(each.versions.get(version, 0) for version in versions) / each.seconds for each in stretches]
    scale = Scale(max([*totals, 0.001]))
    below = [0.0] * len(stretches)
    areas = []
    for index, version in enumerate(versions):
        tops = [low + each.versions.get(version, 0) / each.seconds for low, each in zip(below, stretches)]
        areas.append(
            Markup('<path class="v{}" d="{}"/>').format(
                version_class(index, version), _steps(stretches, below, tops, window, scale)
            )
        )
        below = tops

    def told(each: Stretch) -> str:
        parts = [
            f"{version or 'version not told'} {number(round(each.versions.get(version, 0) / each.seconds, 1))}/s"
            for version in versions
            if each.versions.get(version)
        ]
        return ", ".join(parts) or "no answer"

    return _chart(name, said, stretches, areas, window, scale, shaded, 150, lambda value: f"{number(value)}/s", told)


def errors(name: str, said: str, stretches: Sequence[Stretch], window: Window, shaded: Sequence[Band]) -> Markup:
    """Failed requests, a bar for each stretch that has some."""
    scale = Scale(max([*(each.failed for each in stretches), 1]), whole=True)
    bars = []
    for each in stretches:
        if each.failed:
            left, right = _x(window, each.began), _x(window, each.ended)
            middle, wide = (left + right) / 2, max(right - left, 4.0)
            height = scale.y(each.failed)
            bars.append(
                Markup('<rect class="failed" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    middle - wide / 2, 100 - height, wide, height
                )
            )
    return _chart(
        name, said, stretches, bars, window, scale, shaded, 90 if bars else 48, number,
        lambda each: f"{number(each.failed)} of {number(each.requests)} requests failed", "" if bars else "none",
    )  # fmt: skip


def latency(
    name: str, said: str, stretches: Sequence[Stretch], window: Window, shaded: Sequence[Band]
) -> tuple[Markup, bool]:
    """The percentiles of latency as lines; and whether the scale is logarithmic."""
    columns = [
        ("p99", [each.p99 for each in stretches]),
        ("p95", [each.p95 for each in stretches]),
        ("p50", [each.p50 for each in stretches]),
    ]
    known = [value for _name, column in columns for value in column if value is not None]
    middle = sorted(value for value in columns[2][1] if value)
    scale = Scale(max([*known, 0.001]), usual=middle[len(middle) // 2] if middle else None)
    lines = [
        Markup('<path class="line {}" d="{}"/>').format(kind, _line(stretches, column, window, scale))
        for kind, column in columns
    ]

    def told(each: Stretch) -> str:
        return (
            ", ".join(f"{kind} {milliseconds(getattr(each, kind))}" for kind in ("p50", "p95", "p99"))
            if each.p50 is not None
            else "no answer"
        )

    return _chart(name, said, stretches, lines, window, scale, shaded, 150, _round_latency, told), scale.logarithmic


def row(way: Row, window: Window, grid: bool) -> Markup:
    """A host's phases from left to right, with lines at the times of the axis where `grid` is wanted."""
    lines = [
        Markup('<line class="grid" x1="{0:.2f}%" x2="{0:.2f}%" y1="-4" y2="{1}"/>').format(at, ROW + 4)
        for at, _label in window.ticks()
        if grid
    ]
    said = ", ".join(each.title.replace(" UTC", "") for each in way.segments) or way.said
    return Markup('<svg class="row" role="img" aria-label="{}" width="100%" height="{}">{}</svg>').format(
        said,
        ROW,
        # Marks come last, so that no neighbour hides them.
        Markup().join(
            [
                *lines,
                *(_segment(each, window) for each in way.segments),
                *(_mark(each, window) for each in way.segments),
            ]
        ),
    )


def _width(each: Segment, window: Window) -> float:
    return max(window.x(each.ended) - window.x(each.began), NARROWEST)


def _segment(each: Segment, window: Window) -> Markup:
    top, height = SHAPES[each.phase]
    return Markup(
        '<rect class="ph {}{}" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"><title>{}</title></rect>'
    ).format(
        each.phase, "" if each.ok else " broken", window.x(each.began), top, _width(each, window), height, each.title
    )


def _mark(each: Segment, window: Window) -> Markup:
    """A cross for a phase that failed: in it where there is room, else after it, or before it at the right edge."""
    if each.ok:
        return Markup()
    left, wide = window.x(each.began), _width(each, window)
    mark = Markup('<text class="mark{}" text-anchor="{}" x="{:.2f}%" dx="{}" y="14">✕</text>')
    if wide >= ROOM:
        return mark.format(" inside", "middle", left + wide / 2, 0)
    return mark.format("", "end", left, -4) if left + wide > 97 else mark.format("", "start", left + wide, 4)


def swatch(phase: str, broken: bool = False) -> Markup:
    """What a phase looks like, for the legend."""
    top, height = SHAPES[phase]
    return Markup(
        '<svg class="swatch" aria-hidden="true" width="22" height="{}"><rect class="ph {}{}" x="0" y="{}" width="22" height="{}"/></svg>'
    ).format(ROW, phase, " broken" if broken else "", top, height)


def time_axis(window: Window) -> Markup:
    """The times above the rows of hosts."""
    return Markup('<svg class="times" aria-hidden="true" width="100%" height="16">{}</svg>').format(_times(window, 12))


def overview(name: str, said: str, batches: Sequence[Batch], window: Window) -> Markup:
    """All hosts as thin lines, one below the other, batch by batch: a picture of a rollout that is too large for rows."""
    gap = max(2, sum(len(batch.rows) for batch in batches) // 120)
    paths: dict[str, list[str]] = {}
    labels, broken, top = [], [], 0
    for batch in batches:
        labels.append((top + len(batch.rows) / 2, batch))
        for offset, way in enumerate(batch.rows):
            for each in way.segments:
                left = _x(window, each.began)
                wide = max(_x(window, each.ended) - left, 1.0)
                kind = each.phase if each.ok else "broken"
                if not each.ok:
                    broken.append((each.ended, top + offset))
                paths.setdefault(kind, []).append(f"M{left:.1f} {top + offset}h{wide:.1f}v1h{-wide:.1f}z")
        top += len(batch.rows) + gap
    deep = max(1, top - gap)
    height = min(440, max(180, deep // 2))
    # Failures come last, so that no neighbour hides them.
    shapes = [
        Markup('<path class="ph {}" d="{}"/>').format(kind, "".join(paths[kind]))
        for kind in sorted(paths, key=lambda kind: kind == "broken")
    ]
    beside, last = [], -20.0
    for middle, batch in labels:
        y = middle / deep * height + 4
        if y - last >= 13:
            text = Markup('<text class="{}" x="100%" dx="-8" y="{:.0f}">{}</text>')
            beside.append(text.format("long", y, batch.name) + text.format("short", y, batch.number or "–"))
            last = y
    # A line may be thinner than a pixel; a failure must not be.
    marks = [
        Markup('<circle class="failed" cx="{:.2f}%" cy="{:.1f}" r="3.5"/>').format(
            window.x(time), (line + 0.5) / deep * height
        )
        for time, line in broken
    ]
    return Markup(
        '<div class="chart overview"><svg class="values" aria-hidden="true" height="{tall}">{beside}</svg>'
        '<svg class="plot" role="img" aria-labelledby="{name}-t {name}-d" width="100%" height="{tall}"><title id="{name}-t">{title}</title>'
        '<desc id="{name}-d">{said}</desc>'
        '<svg width="100%" height="{height}" viewBox="0 0 {wide} {deep}" preserveAspectRatio="none">{shapes}</svg>'
        "{marks}{times}</svg></div>"
    ).format(
        tall=height + BELOW, beside=Markup().join(beside), name=name, title="All hosts through their phases", said=said, height=height,
        wide=WIDE, deep=deep, shapes=Markup().join(shapes), marks=Markup().join(marks), times=_times(window, height + 17),
    )  # fmt: skip


def version_class(index: int, version: str) -> str:
    """The class of a version's colour: the new one is 0, those before it 1 to 3, and x is for answers that did not tell."""
    return str(min(index, 3)) if version else "x"


def _chart(
    name: str,
    said: str,
    stretches: Sequence[Stretch],
    shapes: Iterable[Markup],
    window: Window,
    scale: Scale,
    shaded: Sequence[Band],
    height: int,
    unit: Callable[[Any], str],
    told: Callable[[Stretch], str],
    empty: str = "",
) -> Markup:
    """A chart: axis of values, bands, grid, shapes, times, and what each stretch says when it is pointed at.

    :param name: unique on the page.
    :param said: what the chart shows, for those who do not see it.
    :param empty: what stands in the middle of a plot in which nothing is.
    """
    marks = [(ABOVE + height - at / 100 * height, value) for at, value in scale.at()]
    if height < 60:
        marks = [marks[0], marks[-1]]
    tall = ABOVE + height + BELOW
    value = Markup('<text x="100%" dx="-8" y="{:.0f}">{}</text>')
    line = Markup('<line class="grid" x1="0" x2="100%" y1="{0:.0f}.5" y2="{0:.0f}.5"/>')
    nothing = Markup('<text class="nothing" text-anchor="middle" x="50%" y="{:.0f}">{}</text>')
    return Markup(
        '<div class="chart"><svg class="values" aria-hidden="true" height="{tall}">{values}</svg>'
        '<svg class="plot" role="img" aria-labelledby="{name}-t {name}-d" width="100%" height="{tall}"><title id="{name}-t">{title}</title>'
        '<desc id="{name}-d">{said}</desc>{shades}{grid}'
        '<svg y="{above}" width="100%" height="{height}" viewBox="0 0 {wide} 100" preserveAspectRatio="none">{shapes}{hits}</svg>'
        "{edges}{nothing}{times}</svg></div>"
    ).format(
        tall=tall, name=name, title=name.capitalize() + " over time", said=said, above=ABOVE, height=height, wide=WIDE,
        values=Markup().join(value.format(y + 4, unit(each)) for y, each in marks),
        shades=Markup().join(_shade(band, window, height, index % 2) for index, band in enumerate(shaded)),
        edges=Markup().join(_edge(band, window, height) for band in shaded),
        nothing=nothing.format(ABOVE + height / 2 + 4, empty) if empty else "",
        grid=Markup().join(line.format(y - 0.5) for y, _value in marks),
        shapes=Markup().join(shapes), hits=Markup().join(_hit(each, window, told(each)) for each in stretches),
        times=_times(window, tall - 7),
    )  # fmt: skip


def _round_latency(value: float) -> str:
    """At an axis values are round."""
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def _shade(band: Band, window: Window, height: int, odd: int) -> Markup:
    left, right = window.x(band.began), window.x(band.ended)
    return Markup('<rect class="band {}{}" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"/>').format(
        band.kind, " odd" if odd else "", left, ABOVE, right - left, height
    )


def _edge(band: Band, window: Window, height: int) -> Markup:
    """Where a band begins, above the shapes, and what it is called."""
    left, wide = window.x(band.began), window.x(band.ended) - window.x(band.began)
    edge = Markup('<line class="edge {0}" x1="{1:.2f}%" x2="{1:.2f}%" y1="{2}" y2="{3}"/>').format(
        band.kind, left, ABOVE - 16, ABOVE + height
    )
    text = Markup('<text class="name {}" x="{:.2f}%" dx="4" y="{}">{}</text>')
    # Where there is no room for the name there may be for its number.
    names = Markup()
    if wide >= 8 or band.kind == "switch":
        names += text.format("long", left, ABOVE - 6, band.name)
        names += text.format("short", left, ABOVE - 6, band.short)
    elif wide >= 2.5:
        names += text.format("", left, ABOVE - 6, band.short)
    return edge + names


def _hit(each: Stretch, window: Window, told: str) -> Markup:
    left, right = _x(window, each.began), _x(window, each.ended)
    when = f"{clock(each.began)} UTC" if each.seconds <= 1 else f"{clock(each.began)} UTC, {span(each.seconds)}"
    return Markup('<rect class="hit" x="{:.1f}" width="{:.1f}" height="100"><title>{}: {}</title></rect>').format(
        left, max(0.0, right - left), when, told
    )


def _times(window: Window, y: float) -> Markup:
    found = []
    for index, (at, label) in enumerate(window.ticks()):
        anchor = "start" if at < 2 else "end" if at > 98 else "middle"
        found.append(
            Markup('<text class="time{}" text-anchor="{}" x="{:.2f}%" y="{:.0f}">{}</text>').format(
                " other" if index % 2 else "", anchor, at, y, label
            )
        )
    return Markup().join(found)


def _x(window: Window, time: float) -> float:
    return window.x(time) * WIDE / 100


def _steps(
    stretches: Sequence[Stretch], below: Sequence[float], tops: Sequence[float], window: Window, scale: Scale
) -> str:
    """An area between two stairs; the lower one is walked back."""
    if not stretches:
        return ""
    there = [f"V{100 - scale.y(top):.1f}H{_x(window, each.ended):.1f}" for each, top in zip(stretches, tops)]
    back = [
        f"V{100 - scale.y(low):.1f}H{_x(window, each.began):.1f}"
        for each, low in zip(reversed(stretches), reversed(below))
    ]
    return f"M{_x(window, stretches[0].began):.1f} {100 - scale.y(below[0]):.1f}" + "".join(there + back) + "z"


def _line(stretches: Sequence[Stretch], column: Sequence[float | None], window: Window, scale: Scale) -> str:
    """A line through the middles of stretches, interrupted where there is no value."""
    parts, drawing = [], False
    for each, value in zip(stretches, column):
        if value is None:
            drawing = False
            continue
        x = (_x(window, each.began) + _x(window, each.ended)) / 2
        # A line of no length to begin with: a value alone is seen as a dot.
        parts.append(f"{'L' if drawing else f'M{x:.1f} {100 - scale.y(value):.1f}L'}{x:.1f} {100 - scale.y(value):.1f}")
        drawing = True
    return "".join(parts)
