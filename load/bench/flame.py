"""A flame graph of a function's processor time: sampled by a timer signal, drawn as one self-contained SVG file."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from html import escape
from pathlib import Path
from types import FrameType
from typing import TypeVar

T = TypeVar("T")
Stack = tuple[str, ...]

_WIDTH, _ROW = 1200.0, 17
_LEAST = 0.6
"""The narrowest box that is drawn, in pixels."""


def sampled(work: Callable[[], T], every_s: float = 0.001) -> tuple[T, Counter[Stack]]:
    """Run `work` in the main thread; its result, and how often each stack (outermost first) was met."""
    stacks: Counter[Stack] = Counter()

    def look(_signal: int, frame: FrameType | None) -> None:
        stack: list[str] = []
        while frame is not None:
            code = frame.f_code
            stack.append(f"{code.co_qualname} ({'/'.join(code.co_filename.split('/')[-2:])})")
            frame = frame.f_back
        stacks[tuple(reversed(stack))] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, every_s, every_s)
    try:
        return work(), stacks
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def draw(stacks: Counter[Stack], title: str, file: Path) -> None:
    """Write the flame graph: width is the share of samples; hover over a box for its name and share."""
    total = sum(stacks.values())
    common = _common(list(stacks))
    boxes: list[str] = []
    deepest = 0

    def row(level: int, left: float, members: list[tuple[Stack, int]]) -> None:
        nonlocal deepest
        groups: dict[str, list[tuple[Stack, int]]] = {}
        for stack, count in members:
            if len(stack) > level:
                groups.setdefault(stack[level], []).append((stack, count))
        for name, held in sorted(groups.items()):
            count = sum(count for _, count in held)
            width = count / total * _WIDTH
            if width < _LEAST:
                continue
            depth = level - common
            deepest = max(deepest, depth)
            boxes.append(_box(left, depth, width, name, count / total))
            row(level + 1, left, held)
            left += width

    row(common, 0.0, list(stacks.items()))
    height = (deepest + 1) * _ROW + 40
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:.0f}" height="{height}" '
        f'font-family="monospace" font-size="11"><title>{escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="4" y="16" font-size="14">{escape(title)}</text>'
        + "".join(boxes)
        + "</svg>\n"
    )


def _common(stacks: list[Stack]) -> int:
    """How many outer frames all stacks share; they say nothing."""
    shared = 0
    while all(len(stack) > shared + 1 and stack[shared] == stacks[0][shared] for stack in stacks):
        shared += 1
    return shared


def _box(left: float, depth: int, width: float, name: str, share: float) -> str:
    room = int(width / 6.7)
    label = name.partition(" ")[0]
    text = label if len(label) <= room else label[: room - 1] + "…" if room > 3 else ""
    hue = 20 + sum(map(ord, name)) % 40
    y = 26 + depth * _ROW
    return (
        f'<g><title>{escape(name)}: {share:.1%}</title><rect x="{left:.1f}" y="{y}" width="{width:.1f}" '
        f'height="{_ROW - 1}" fill="hsl({hue},85%,68%)"/>'
        f'<text x="{left + 2:.1f}" y="{y + 12}">{escape(text)}</text></g>'
    )
