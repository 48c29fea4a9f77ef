"""The results frame: writing, reading, readings of curves."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from losslab import papers
from losslab.errors import InputError
from losslab.papers import results
from losslab.runs import Record, read_curve


def test_one_row_per_cell(toy: papers.Paper, frame: pd.DataFrame) -> None:
    cells = toy.cells("quick", check=False)
    assert len(frame) == len(cells) and tuple(frame.columns[: len(results.COLUMNS)]) == results.COLUMNS
    assert list(frame["run"]) == [cell.run.hash for cell in cells]
    assert (frame["status"] == "missing").sum() == 4 and (frame["status"] == "diverged").sum() == 2
    missing = frame[frame["status"] == "missing"].iloc[0]
    assert missing["test_acc"] is None and missing["final"] == "{}" and math.isnan(missing["seconds"])
    assert set(frame["data"]) == {"digits", "glyphs-100"} and set(frame["stand_in"]) == {"digits 8x8", "glyphs-100"}
    assert frame.loc[frame["experiment"] == "real", "noise_rate"].isna().all()


def test_records_may_come_in_any_form(toy: papers.Paper, records: dict[str, Record], frame: pd.DataFrame) -> None:
    class Store:
        def get(self, run: Any) -> Record | None:
            return records.get(run.hash)

    cells = toy.cells("quick", check=False)
    for form in (records.values(), Store()):
        pd.testing.assert_frame_equal(results.frame(cells, form), frame)
    empty = results.frame(cells, {})
    assert set(empty["status"]) == {"missing"} and results.curve_names(empty) == []
    assert results.values(empty).isna().all()


def test_parquet_is_exact_and_stable(frame: pd.DataFrame, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "runs.parquet", tmp_path / "b.parquet"
    results.write(frame, first)
    again = results.read(first)
    pd.testing.assert_frame_equal(again, frame)
    results.write(again, second)
    assert first.read_bytes() == second.read_bytes()
    empty = frame.iloc[:0]
    results.write(empty, second)
    assert len(results.read(second)) == 0


def test_bad_files(frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; train first"):
        results.read(tmp_path / "runs.parquet")
    (tmp_path / "runs.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a results file"):
        results.read(tmp_path / "runs.parquet")
    frame.drop(columns=results.curve_names(frame)).drop(columns="status").to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="column 'status' is missing"):
        results.read(tmp_path / "x.parquet")


def row(**curves: Any) -> dict[str, Any]:
    return {
        "status": "done",
        "final": '{"test_acc": 0.5, "class_margin": 92.5, "nothing": null, "confusion": [[1]]}',
        **curves,
    }


def test_readings() -> None:
    data = row(
        test_acc=[0.1, 0.9, 0.9, 0.4],
        val_acc=[0.1, 0.2, 0.3, 0.1],
        val_clean_acc=[None, 0.2, 0.1, 0.0],
        test_loss=[4.0, 3.0, 2.0, 1.0],
    )
    expected = {
        "last": 40.0,
        "best": 90.0,
        "best_val": 90.0,
        "best_val_clean": 90.0,
        "mean_last_2": 65.0,
        "epoch_1": 10.0,
        "epoch_4": 40.0,
    }
    for reading, number in expected.items():
        assert results.value(data, "test_acc", reading) == pytest.approx(number), reading
    assert results.value(data, "test_loss", "best") == 3.0  # the first of two equal best epochs
    assert results.value(data, "test_loss", "best_val") == 2.0
    assert math.isnan(results.value(data, "test_acc", "epoch_5"))
    assert results.value(data, "final.class_margin") == 92.5 and results.value(data, "final.test_acc") == 50.0
    for metric in ("final.nothing", "final.absent", "fit_noisy"):
        assert math.isnan(results.value(data, metric))
    assert math.isnan(results.value(row(test_acc=[0.5]), "test_acc", "best_val"))  # no validation part
    assert math.isnan(results.value({**data, "status": "diverged"}))


def test_readings_agree_with_the_records(records: dict[str, Record]) -> None:
    record = next(iter(records.values()))
    for reading in ("last", "best", "best_val", "best_val_clean", "mean_last_10"):
        ours = results.value(row(**record.curves), "test_acc", reading)
        theirs = read_curve(record.curves, "test_acc", reading)
        assert theirs is not None and ours == pytest.approx(100 * theirs), reading


def test_per_class_suffixes() -> None:
    data = row(test_acc=[0.2, 0.5], test_acc_per_class=[[0.1, 0.3], [0.2, 0.8]])
    for suffix, number in (
        ("min", 20.0),
        ("max", 80.0),
        ("mean", 50.0),
        ("spread", 60.0),
        ("std", 30.0),
        ("0", 20.0),
        ("1", 80.0),
    ):
        assert results.value(data, f"test_acc_per_class.{suffix}") == pytest.approx(number)
    assert math.isnan(results.value(data, "test_acc_per_class.7"))
    for metric, words in (
        ("test_acc_per_class", "one value per class; add .min"),
        ("test_acc_per_class.mni", "unknown suffix 'mni'; did you mean 'min'"),
    ):
        with pytest.raises(InputError, match=words):
            results.value(data, metric)
    with pytest.raises(InputError, match="holds several values"):
        results.value(data, "final.confusion")


def test_bad_readings(frame: pd.DataFrame) -> None:
    for metric, reading, words in (
        ("test_acc", "bets", "unknown reading 'bets'; allowed: last, best"),
        ("test_acc", "mean_last_0", "unknown reading"),
        ("tets_acc", "last", "unknown metric 'tets_acc'; did you mean 'test_acc'"),
    ):
        with pytest.raises(InputError, match=words):
            results.values(frame, metric, reading)
    with pytest.raises(InputError, match="unknown key 'data_set'"):
        results.choose(frame, {"data_set": "ten"})


def test_choose(frame: pd.DataFrame) -> None:
    assert (
        len(
            results.choose(
                frame,
                {
                    "experiment": "closed",
                    "method": ["CE", "GCE"],
                    "noise_rate": 0.4,
                    "dataset": "ten",
                    "noise_type": "sym",
                },
            )
        )
        == 6
    )
    assert set(results.choose(frame, {"noise_rate": None})["experiment"]) == {"real"}
    assert set(results.choose(frame, {"noise_rate": [None, 0.2]})["experiment"]) == {"real", "closed"}


def test_values_are_plain_numbers(frame: pd.DataFrame) -> None:
    numbers = results.values(frame, "test_acc", "best")
    assert numbers.dtype == float and numbers.index.equals(frame.index)
    assert np.nanmax(numbers) <= 100 and numbers[frame["status"] != "done"].isna().all()


def test_tables_of_a_probe_are_kept_for_the_paper_that_asked(
    toy: papers.Paper, records: dict[str, Record], tmp_path: Path
) -> None:
    """A run that papers share may carry a probe's (epoch, K, K) tables; only the cells that asked for them export them."""
    cells = toy.cells("quick", check=False)[:2]
    tables = [[[0.9, 0.1], [0.2, 0.8]]] * 3
    rich = {
        cell.run.hash: replace(records[cell.run.hash], curves={**records[cell.run.hash].curves, "softmax_test": tables})
        for cell in cells
    }
    assert "softmax_test" not in results.frame(cells, rich)
    asked = [replace(cells[0], probes=("confusion",)), cells[1]]
    table = results.frame(asked, rich)
    results.write(table, tmp_path / "runs.parquet")
    back = results.read(tmp_path / "runs.parquet")
    kept = [[list(row) for row in epoch] for epoch in back["softmax_test"][0]]
    assert kept == tables
    assert back["softmax_test"][1] is None
