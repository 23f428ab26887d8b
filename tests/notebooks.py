"""Runs a notebook's cells one after the other in one namespace, as a kernel does, and says what each printed.

`python -m tests.notebooks docs/would-more-inspections-pay.ipynb` writes what they printed into the notebook.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from pathlib import Path
from typing import Any


def run(notebook: Path) -> list[tuple[dict[str, Any], str]]:
    """Each code cell with what it printed. What a cell raises is raised."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    done = []
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] != "code":
            continue
        printed = io.StringIO()
        code = compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)  # noqa: S102 - our own notebook
        done.append((cell, printed.getvalue()))
    return done


def main(file: str) -> None:
    """Run a notebook and keep what it printed."""
    notebook = Path(file)
    held = json.loads(notebook.read_text(encoding="utf-8"))
    printed = iter(run(notebook))
    for number, cell in enumerate([one for one in held["cells"] if one["cell_type"] == "code"], 1):
        _, text = next(printed)
        cell["execution_count"] = number
        cell["outputs"] = (
            [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}] if text else []
        )
    notebook.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("notebook")
    main(arguments.parse_args().notebook)
