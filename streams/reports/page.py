"""The page of a report: headings, tables and plots, all in one file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from streams.files import whole_file

_STYLE = """
:root{--ink:#17232e;--soft:#5b6b78;--line:#d9e0e6;--own:#0b6e8a;--paper:#fff;--wash:#f4f7f9}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:var(--wash);margin:0}
main{max-width:76rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.2rem 0 .5rem}
p,li{max-width:52rem}.soft{color:var(--soft)}
section{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:1rem 1.25rem;margin:1rem 0}
section h2{margin-top:0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1rem 0}
.figure{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:.7rem .9rem}
.figure b{display:block;font-size:1.45rem;font-variant-numeric:tabular-nums}
.figure span{color:var(--soft);font-size:.85rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600;color:var(--soft);white-space:normal;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
tr.own td{background:#e8f3f6}
table.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
table.facts td:first-child{width:16rem;color:var(--soft)}
svg{max-width:100%;height:auto}figure{margin:1rem 0}figcaption{color:var(--soft);font-size:.85rem}
pre{background:var(--wash);border:1px solid var(--line);border-radius:6px;padding:.6rem .8rem;white-space:pre-wrap;
overflow-wrap:anywhere;font-size:.85rem}
@media print{body{background:#fff}section{break-inside:avoid}}
"""


def page(title: str, subtitle: str, parts: Iterable[str]) -> str:
    """A whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="soft">{escape(subtitle)}</p>' + "\n".join(parts) + "</main></body></html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A part of the page with its heading."""
    return f"<section><h2>{escape(heading)}</h2>{''.join(parts)}</section>"


def text(words: str, soft: bool = False) -> str:
    """A paragraph."""
    return f"<p{' class=soft' if soft else ''}>{escape(words)}</p>"


def points(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>"


def code(words: str) -> str:
    """A command, as it was typed."""
    return f"<pre>{escape(words)}</pre>"


def figures(pairs: Iterable[tuple[str, str]]) -> str:
    """Figures to read first: (value, what it is)."""
    shown = "".join(
        f'<div class="figure"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in pairs
    )
    return f'<div class="figures">{shown}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], own: int | None = None) -> str:
    """A table; the row at place `own` stands out."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f"<tr{' class=own' if place == own else ''}>"
        + "".join(f"<td>{escape(cell(one))}</td>" for one in row)
        + "</tr>"
        for place, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """What is so, line by line: (what, how)."""
    body = "".join(f"<tr><td>{escape(what)}</td><td>{escape(how)}</td></tr>" for what, how in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def plot(svg: str, caption: str) -> str:
    """A plot with what it shows in words."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def cell(value: Any) -> str:
    """A value as a reader wants it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3g}" if isinstance(value, float) else str(value)


def write_whole(file: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file so that it is there as a whole or not at all; `private`: for its owner alone. Raises `OSError`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file, private=private) as temporary, open(temporary, "wb") as open_:
        open_.write(data)
        open_.flush()
        os.fsync(open_.fileno())
