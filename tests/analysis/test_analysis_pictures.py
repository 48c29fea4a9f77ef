"""The pictures on the losses' pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from losslab import losses
from losslab.analysis import pictures
from losslab.analysis.curves import curve


@pytest.mark.parametrize("name", losses.names())
def test_lines_are_finite_and_differ(name: str) -> None:
    shown = pictures.lines(name)
    assert 1 <= len(shown) <= pictures.LINES
    for line in shown.values():
        assert np.isfinite(line.value).all() and np.isfinite(line.toward_label).all()


def test_lines_are_the_settings_of_the_card() -> None:
    assert list(pictures.lines("gce")) == ["q = 0.7", "q = 0.01", "q = 0.001"]
    line = pictures.lines("gce")["q = 0.01"]
    np.testing.assert_array_equal(line.value, curve("gce", line.x, q=0.01).value)
    assert list(pictures.lines("ldam")) == ["s = 30, m = 0.5, most frequent class", "s = 30, m = 0.5, rarest class"]
    rare, often = (
        pictures.lines("ldam")[f"s = 30, m = 0.5, {words}"] for words in ("rarest class", "most frequent class")
    )
    assert (rare.value > often.value).all()  # the larger margin


def test_memory_of_elr_decides_its_pull() -> None:
    agrees, differs = pictures.lines("elr").values()
    unsure = (agrees.x > 0.4) & (agrees.x < 0.6)
    assert (-agrees.toward_label > -differs.toward_label)[unsure].all()


@pytest.mark.parametrize("name", ["gce", "arcface", "dmi"])
def test_the_same_loss_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    pictures.draw(name, one)
    pictures.draw(name, two)
    assert one.read_bytes() == two.read_bytes() and one.read_bytes().startswith(b"\x89PNG")
