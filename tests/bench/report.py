"""The table and the plot of a run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import prices

Rounds = list[dict[str, Any]]
"""The figures of one contender on one side, round by round."""
Results = dict[str, dict[str, Rounds]]
"""By side, then by contender."""

ROWS: tuple[tuple[str, str, str], ...] = (
    ("cpu_s", "CPU s per 1,000 events, whole process", "{:.2f}"),
    ("cpu_working_s", "CPU s per 1,000 events, after the first", "{:.2f}"),
    ("events_per_s", "events/s", "{:,.0f}"),
    ("memory_mb", "peak memory, MB", "{:.0f}"),
    ("start_ms", "start to first event, ms", "{:,.0f}"),
    ("lag_p50_ms", "lag p50, ms", "{:.0f}"),
    ("lag_p99_ms", "lag p99, ms", "{:.0f}"),
    ("requests_all", "requests per 1,000 events", "{:,.0f}"),
    ("dollars", "requests of a million events, $", "{:.2f}"),
    ("localcloud_cpu_s", "CPU s of localcloud per 1,000 events", "{:.2f}"),
)

DELIVERIES = ("service-bus receive ok",)
"""Messages that the service pushed: no requests."""


def add_derived(figures: dict[str, Any], side: str, event_bytes: int, stores: bool) -> dict[str, Any]:
    if "requests" in figures:
        figures["requests_all"] = sum(count for what, count in figures["requests"].items() if what not in DELIVERIES)
        figures["dollars"] = prices.per_million_events(figures["requests"], side, event_bytes, stores)
    return figures


def table(results: Results) -> str:
    """Medians, with the least and the greatest of the rounds in brackets."""
    lines = []
    for side, contenders in results.items():
        names = list(contenders)
        lines += [f"### {side}", "", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for name, title, form in ROWS:
            cells = [_cell(values(contenders[one], name), form) for one in names]
            lines.append(f"| {title} | {' | '.join(cells)} |")
        lines += ["", *_requests(contenders), ""]
    return "\n".join(lines)


def values(rounds: Rounds, name: str) -> list[float]:
    return [figures[name] for figures in rounds if name in figures]


def _cell(found: Sequence[float], form: str) -> str:
    if not found:
        return "–"
    middle, *ends = (form.format(value) for value in (statistics.median(found), min(found), max(found)))
    return middle if len(found) == 1 else f"{middle} ({ends[0]}–{ends[1]})"


def _requests(contenders: Mapping[str, Rounds]) -> list[str]:
    """Requests per 1,000 events by operation, medians of the rounds."""
    medians = {name: _median_requests(rounds) for name, rounds in contenders.items()}
    operations = sorted({operation for counts in medians.values() for operation in counts})
    names = list(contenders)
    lines = [f"| requests per 1,000 events | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for operation in operations:
        cells = [f"{medians[name].get(operation, 0):,.0f}" for name in names]
        if any(cell != "0" for cell in cells):
            lines.append(f"| {operation} | {' | '.join(cells)} |")
    return lines


def _median_requests(rounds: Rounds) -> dict[str, float]:
    counted = [figures["requests"] for figures in rounds if "requests" in figures]
    operations = {operation for requests in counted for operation in requests}
    return {one: statistics.median(requests.get(one, 0.0) for requests in counted) for one in operations}


WIDTH, BAR, GAP, LEFT, TITLE = 760, 16, 5, 150, 30
COLOURS = ("#999999", "#bbbbbb", "#7a9e3f", "#3b6ea5", "#c0504d")


def plot(results: Results) -> str:
    """Bars of the medians with a line from the least to the greatest, one field for each figure: SVG."""
    fields: list[str] = []
    y = 10
    for side, contenders in results.items():
        colours = dict(zip(contenders, COLOURS, strict=False))
        for name, title, form in ROWS:
            found = {one: values(rounds, name) for one, rounds in contenders.items()}
            found = {one: numbers for one, numbers in found.items() if numbers}
            if not found:
                continue
            fields.append(f'<text x="8" y="{y + 16}" class="title">{escape(f"{side}: {title}")}</text>')
            y += TITLE
            most = max(max(numbers) for numbers in found.values()) or 1.0
            for one, numbers in found.items():
                fields += _bar(y, one, numbers, form, colours[one], lambda value: (WIDTH - LEFT - 130) * value / most)
                y += BAR + GAP
            y += GAP
    style = "text{font:12px sans-serif;fill:#222}.title{font-weight:bold}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" viewBox="0 0 {WIDTH} {y + 10}">',
            f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>',
            *fields,
            "</svg>\n",
        ]
    )


def _bar(y: int, name: str, numbers: Sequence[float], form: str, colour: str, scale: Callable[[float], float]) -> list[str]:
    middle, least, most = statistics.median(numbers), min(numbers), max(numbers)
    across = y + BAR / 2
    return [
        f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{scale(middle):.1f}" height="{BAR}" fill="{colour}"/>',
        f'<path d="M{LEFT + scale(least):.1f} {across}H{LEFT + scale(most):.1f}" stroke="#222"/>',
        f'<text x="{LEFT + scale(most) + 6:.1f}" y="{y + 12}">{form.format(middle)}</text>',
    ]
