"""The analysis in docs/ runs from its question to its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from load.bench.history import make_history
from tests.notebooks import run

NOTEBOOK = Path(__file__).parents[2] / "docs" / "would-more-inspections-pay.ipynb"


def test_the_notebook_comes_to_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_history(tmp_path / "archive", items=1500, days=6)
    monkeypatch.setenv("BORDERFLOW_ARCHIVE_DIR", str(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    done = run(NOTEBOOK)
    assert len(done) >= 5
    assert "capacity=0.03" in done[-2][1]
    assert done[-1][1].startswith("Answer:")
    assert (tmp_path / "more-inspections" / "report.html").is_file()
