"""Fitting the decision to refuse: nothing is kept unasked that makes it worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvasir.app import open_collection

Kvasir = Callable[..., Any]

NAMES = ["skald", "ship", "fjord", "king", "rune", "oath"]


@pytest.fixture
def sagas(kvasir: Kvasir, tmp_path: Path) -> Kvasir:
    """A collection with sentences enough to make questions of."""
    folder = tmp_path / "sagas"
    folder.mkdir()
    for n in range(30):
        words = [f"{name}{n}" for name in NAMES]
        text = "The {} of the {} sailed to the {} where a {} read the {} and swore an {}.\n"
        (folder / f"{n}.txt").write_text(text.format(*words))
    kvasir("ingest", str(folder))
    return kvasir


def test_made_questions_only_show_what_would_change(sagas: Kvasir) -> None:
    said = sagas("calibrate").out
    assert "as Kvasir comes: refuses" in said
    assert "nothing was changed" in said
    assert sagas("collections", "list", "--json").json[0]["calibration"] is None
    assert sagas("calibrate", "--json").json["kept"] is False


def test_python_keeps_no_decision_unasked_that_made_questions_gave(
    sagas: Kvasir, tmp_path: Path
) -> None:
    with open_collection(data_dir=str(tmp_path / "kvasir-data")) as kb:
        shown = kb.calibrate()
        assert not shown.kept
        assert kb.record().calibration is None
        wanted = kb.calibrate(apply=True)
        assert wanted.kept is wanted.gained
        assert (kb.record().calibration is not None) is wanted.gained


def test_a_decision_that_was_kept_can_be_taken_back(sagas: Kvasir, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("".join(f"Where did skald{n} of ship{n} sail?\n" for n in range(25)))
    bad.write_text("".join(f"What does fjord{n} cost in Paris by king{n}?\n" for n in range(25)))
    report = sagas(
        "calibrate", "--json", "--apply", "--questions", str(good), "--off-topic", str(bad)
    ).json
    stays = bool(report["calibration"]["report"]["shipped_decision_stays"])
    assert report["kept"] is not stays
    kept = sagas("collections", "list", "--json").json[0]["calibration"]
    assert kept == (report["calibration"] if report["kept"] else None)
    assert "as Kvasir comes" in sagas("calibrate", "--reset").out
    assert sagas("collections", "list", "--json").json[0]["calibration"] is None
    assert "stands alone" in sagas("calibrate", "--reset", "--apply", code=2).err
