"""Figures: they draw what the frame holds, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from losslab import papers
from losslab.errors import InputError
from losslab.papers import results
from losslab.report import figures, items, looks, style


def closed(frame: pd.DataFrame, **where: object) -> pd.DataFrame:
    return results.choose(frame, {"experiment": "closed", **where})


MAKERS: dict[str, Callable[[papers.Paper, pd.DataFrame], Figure]] = {
    "curves": lambda toy, frame: figures.curves(closed(frame, dataset="ten", noise_type="sym"), titles=toy.titles()),
    "curves by share": lambda toy, frame: figures.curves(
        results.choose(frame, {"experiment": "grid"}), panels="noise_rate", x="share", published=items.numbers(toy, "figure-1")
    ),
    "pairs": lambda toy, frame: figures.curve_pairs(closed(frame, dataset="ten", noise_type="sym"), titles=toy.titles()),
    "rates": lambda toy, frame: figures.rates(
        items.select(toy, "table-1", frame), "test_acc", "best", published=items.numbers(toy, "table-1"), titles=toy.titles()
    ),
    "study": lambda toy, frame: figures.study(results.choose(frame, {"experiment": "study"}), "q"),
    "heat map": lambda toy, frame: figures.heatmap(
        results.choose(frame, {"experiment": "grid"}), "alpha", "beta", published=items.numbers(toy, "figure-1").iloc[:2], titles=toy.titles()
    ),
    "bars": lambda toy, frame: figures.bars(closed(frame, dataset="ten"), published=items.numbers(toy, "table-1"), titles=toy.titles()),
    "per class": lambda toy, frame: figures.per_class(closed(frame, dataset="ten", noise_type="sym", noise_rate=0.8), class_names=list("abcdefghij")),
    "many classes": lambda toy, frame: figures.per_class(closed(frame, dataset="hundred", noise_type="sym", noise_rate=0.8)),
    "forest": lambda toy, frame: figures.forest(items.table(toy, "table-1", frame), title="Table 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_draws_and_saves(name: str, toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path) -> None:
    figure = MAKERS[name](toy, frame)
    (written,) = style.save(figure, tmp_path / "a.png")
    assert len(written.read_bytes()) > 5000 and b"Software" not in written.read_bytes()


@pytest.mark.parametrize("name", ["study", "heat map"])
def test_files_are_stable(name: str, toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path) -> None:
    first, again = (style.save(MAKERS[name](toy, frame), tmp_path / file, also=style.FORMATS) for file in ("a", "b"))
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix


def test_curves_show_means_and_units(toy: papers.Paper, frame: pd.DataFrame) -> None:
    part = closed(frame, dataset="ten", noise_type="sym")
    figure = figures.curves(part, titles=toy.titles())
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["noise rate 0.4", "noise rate 0.8"]
    assert figure.axes[0].get_ylabel() == "Test accuracy (%)" and figure.axes[1].get_xlabel() == "Epoch"
    assert figure.get_suptitle() == "Ten (stand-in: digits 8x8), sym noise"
    line = figure.axes[0].lines[0]
    expected = 100 * np.mean(list(part.loc[(part["method"] == "CE") & (part["noise_rate"] == 0.4), "test_acc"]), axis=0)
    assert np.allclose(line.get_ydata(), expected) and line.get_color() == style.of("ce").colour
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "CE",
        "MAE",
        "Forward T",
        "Forward T_hat",
        "GCE",
        "Trunc",
    ]


def test_rates_show_published_points(toy: papers.Paper, frame: pd.DataFrame) -> None:
    figure = MAKERS["rates"](toy, frame)
    assert "published" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert figure.axes[0].get_title(loc="left").replace("\n", " ") == "Ten (stand-in: digits 8x8), clean labels"


def test_study_is_one_line(toy: papers.Paper, frame: pd.DataFrame) -> None:
    figure = MAKERS["study"](toy, frame)
    assert len(figure.axes) == 2 and figure.axes[0].get_xlabel() == "q" and not figure.legends
    assert figure.axes[0].lines[0].get_xdata().tolist() == [0.0, 0.5, 1.0]  # type: ignore[union-attr]


def test_heat_map_keeps_the_published_grid_beside(toy: papers.Paper, frame: pd.DataFrame) -> None:
    figure = MAKERS["heat map"](toy, frame)
    assert [axis.get_title(loc="left") for axis in figure.axes[:2]] == ["Replicated", "Published"]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0.1", "1"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["10", "1", "0.1"]


def test_bad_requests(toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path) -> None:
    part = closed(frame, dataset="ten")
    empty = results.frame(toy.cells("smoke", check=False), {})
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: figures.curves(empty), "no finished run to draw; train first"),
        (lambda: figures.curves(part, "tst_acc"), "unknown curve 'tst_acc'; did you mean 'test_acc'"),
        (lambda: figures.curves(part, panels="rate"), "unknown key 'rate'"),
        (lambda: figures.curves(part, x="step"), "unknown x 'step'; allowed: epoch, share"),
        (lambda: figures.study(part, "tau"), "no number called 'tau' in any setting or method"),
        (
            lambda: figures.heatmap(part, "noise_rate", "method"),
            "several runs per seed: narrow the frame, or add panels",
        ),
        (lambda: figures.forest(items.table(toy, "table-3", frame)), "no cell has a published and a replicated number"),
        (lambda: style.of("gec"), "unknown method key 'gec'; did you mean 'gce'"),
        (lambda: style.save(Figure(), tmp_path / "a.jpg"), "unknown figure format 'jpg'"),
        (lambda: style.save(Figure(), tmp_path / "a", also=("eps",)), "unknown figure format 'eps'"),
    ]
    for call, words in cases:
        with pytest.raises(InputError, match=words):
            call()


def test_looks_are_distinct() -> None:
    names = looks.keys()
    drawn = [(look.colour, look.marker, look.dash) for look in map(looks.of, names)]
    assert len(set(drawn)) == len(drawn) and len(names) == len(set(names))
    assert [looks.of(name).order for name in names] == list(range(len(names)))


def test_every_loss_of_the_library_has_a_look() -> None:
    losses = pytest.importorskip("losslab.losses")
    for name in losses.names():
        assert looks.of(name).key == name
    assert looks.of("agce+gce").label == "AGCE+GCE" and looks.of("agce+gce").colour == looks.of("gce").colour


def test_a_study_gets_a_ramp() -> None:
    found = looks.spread({"q=0": "ce", "q=0.4": "gce", "q=0.8": "gce"})
    assert found["q=0"].colour == looks.of("ce").colour
    assert len({look.colour for look in found.values()}) == 3 and found["q=0.4"].marker != found["q=0.8"].marker


def test_drawing_leaves_no_trace(toy: papers.Paper, frame: pd.DataFrame) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    before, opened = dict(mpl.rcParams), pyplot.get_fignums()
    MAKERS["bars"](toy, frame)
    assert dict(mpl.rcParams) == before and pyplot.get_fignums() == opened
