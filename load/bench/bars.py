"""Bars as one self-contained SVG file."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

_LEFT, _FULL, _ROW = 130, 460, 30


def draw_bars(values: Mapping[str, float], title: str, file: Path) -> None:
    """Write horizontal bars, the longest first."""
    ordered = sorted(values.items(), key=lambda pair: -pair[1])
    most = max(values.values())
    parts = [f'<text x="8" y="22" font-size="15">{escape(title)}</text>']
    for number, (name, value) in enumerate(ordered):
        y = 40 + number * _ROW
        width = _FULL * value / most
        fill = "#1f6feb" if name == "borderflow" else "#9aa4b2"
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="20" fill="{fill}"/>'
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 15}">{value:,.0f}</text>'
        )
    height = 50 + len(ordered) * _ROW
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif" '
        'font-size="13">'
        '<rect width="100%" height="100%" fill="#fff"/>' + "".join(parts) + "</svg>\n"
    )
