"""What a training would take: from measurements, and silent where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small import BLOBS, run

from losslab import training
from losslab.runs import DataPart, NamedPart, Run, Store
from losslab.training.cost import network_size, work
from losslab.training.forecast import benchmarked, forecast, shape_of

CNN4 = network_size("cnn4", (), (1, 28, 28), 10)


def mnist(**recipe: object) -> Run:
    return run("ce", data=DataPart(name="mnist"), model=NamedPart(name="cnn4"), recipe={"precision": "bf16", **recipe})


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Benchmark results: the 4-layer network at 1,000 images per second in bf16 and 500 in float32."""
    flops = 6 * CNN4.macs
    rows = [
        {"how": "official way (PIL per image, float32)", "images/s": 100.0, "GFLOP/s": 100 * flops / 1e9},
        {"how": "engine, float32, M = 1", "images/s": 500.0, "GFLOP/s": 500 * flops / 1e9},
        {"how": "engine, bf16, M = 1", "images/s": 1000.0, "GFLOP/s": 1000 * flops / 1e9},
    ]
    tables = {"cnn4, batch 128": rows, "matmul peak beside cnn4": [{"precision": "bf16", "GFLOP/s": 1.0}]}
    (tmp_path / "images-cpu.json").write_text(json.dumps({"tables": tables}))
    return tmp_path


def test_published_sizes_need_no_files() -> None:
    assert shape_of(mnist(), None) == ((1, 28, 28), 60_000, 10_000, 10)
    assert shape_of(run("ce", data=BLOBS), None)[1:3] == (150, 90)


def test_time_from_benchmarks(measured: Path, tmp_path: Path) -> None:
    assert [round(speed.macs) for speed in benchmarked(measured, "cpu")] == [round(CNN4.macs)] * 2
    made = forecast([mnist(epochs=10)], Store(tmp_path / "store"), device="cpu", benchmarks=measured)
    # 60,000 training images at 1,000 per second, and 10,000 forward passes, each a third of a training step
    assert made.seconds == pytest.approx(10 * (60 + 10 / 3), rel=1e-3)
    assert (made.runs, made.timed, made.like, made.unknown) == (1, 1, 0, {})
    slower = forecast([mnist(epochs=10, precision="float32")], Store(tmp_path), device="cpu", benchmarks=measured)
    assert slower.seconds == pytest.approx(2 * made.seconds, rel=1e-3)
    assert work(CNN4.macs, 2, 3, 4) == pytest.approx(2 * 13 * (CNN4.macs + 1e5))


def test_like_runs_come_first_and_grow_with_the_epochs(measured: Path, tmp_path: Path) -> None:
    store, short = Store(tmp_path / "store"), run("ce", data=BLOBS, recipe={"epochs": 2})
    assert training.train([short], store, device="cpu", workers=1).complete
    record = store.get(short)
    assert record is not None
    made = forecast([run("gce", data=BLOBS, recipe={"epochs": 20})], store, device="cpu", benchmarks=measured)
    assert made.like == 1
    assert made.seconds == pytest.approx(10 * record.cost["seconds"])


def test_nothing_measured_nothing_said(tmp_path: Path) -> None:
    made = forecast([mnist()], Store(tmp_path), device="cuda", benchmarks=tmp_path)
    assert made.timed == 0 and made.seconds == 0
    assert made.unknown == {"cnn4": "no run of cnn4 and no benchmark was measured on cuda yet"}
    lost = run("ce", data=DataPart(name="imagefolder:nowhere"), model=NamedPart(name="cnn4"))
    assert "imagefolder:nowhere" in forecast([lost], Store(tmp_path), device="cpu").unknown


def test_memory_and_disk_grow_with_what_they_are_made_of(tmp_path: Path) -> None:
    def of(**recipe: object) -> tuple[float, float]:
        made = forecast([mnist(**recipe)], Store(tmp_path), device="cpu")
        return made.memory, made.disk

    plain, long, wide = of(), of(epochs=30), of(batch_size=1000)
    assert long[0] == plain[0] and wide[1] == plain[1]
    assert long[1] - plain[1] == 27 * 21 * 8
    assert wide[0] - plain[0] == 900 * CNN4.activations * 2 * 2
    kept = forecast([mnist()], Store(tmp_path), device="cpu", keep_weights=frozenset({mnist().hash}))
    assert kept.disk - plain[1] == 4 * CNN4.parameters
