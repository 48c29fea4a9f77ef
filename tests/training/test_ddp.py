"""One training on two processes gives the curves of one process with the same batches."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import BLOBS, FEW_DIGITS, run

from losslab import training
from losslab.errors import InputError
from losslab.runs import NamedPart, Run, Store
from losslab.training.ddp import bounds

HERE = Path(__file__).parent


def runs() -> list[Run]:
    """Networks with and without batch normalisation, losses of samples, of batches and with a memory, a penalty, a parent; odd last batches."""
    digits = FEW_DIGITS.model_copy(update={"augment": "crop_flip"})
    parent = run("ce", data=BLOBS, recipe={"batch_size": 33})
    return [
        run("gce", data=digits, model=NamedPart(name="cnn_small"), recipe={"epochs": 2}),
        run("elr", data=BLOBS, model=NamedPart(name="mlp_bn"), recipe={"batch_size": 33}),
        run("dmi", data=BLOBS, parent=parent, parent_gives="weights", recipe={"batch_size": 33, "lr": 0.002}),
        run("lm_softmax", data=BLOBS, regulariser=NamedPart(name="zero_centroid"), head=NamedPart(name="cosine")),
        run("ce", data=BLOBS, recipe={"precision": "float32", "epochs": 2}),
    ]


def together(store: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """This file as a program on two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([*command, str(store), *options], capture_output=True, text=True, env=quiet, timeout=300)


@pytest.mark.slow
def test_two_processes_give_the_curves_of_one(tmp_path: Path) -> None:
    wanted, alone, shared = runs(), Store(tmp_path / "alone"), Store(tmp_path / "shared")
    torch.set_default_dtype(torch.float32)
    assert training.train(wanted, alone, device="cpu", workers=1).complete
    stopped = together(shared.folder, "--budget", "0.5")
    assert stopped.returncode == 0, stopped.stderr
    found = together(shared.folder)
    assert found.returncode == 0, found.stderr
    said = [json.loads(text) for text in re.findall(r"\{[^}]*\}", found.stdout)]
    assert len(said) == 2 and said[0] == said[1], "both processes know what was done"
    assert said[0]["left"] == [] and said[0]["trained"]
    for one in wanted:
        mine, other = alone.get(one), shared.get(one)
        assert mine is not None and other is not None
        tolerance = 1e-5 if one.recipe.precision == "float64" else 2e-3
        assert mine.curves.keys() == other.curves.keys()
        for where, theirs in ((mine.curves, other.curves), (mine.final, other.final)):
            for name, values in where.items():
                torch.testing.assert_close(
                    torch.tensor(theirs[name]), torch.tensor(values), rtol=tolerance, atol=tolerance, equal_nan=True,
                    msg=lambda text, one=one, name=name: f"{one.label()}: {name}: {text}",
                )  # fmt: skip
        assert other.provenance["processes"] == 2 and other.provenance["backend"] == "gloo"
        assert mine.digests == other.digests
    assert not list((shared.folder / "leases").glob("[0-9a-f]*"))
    assert not list((shared.folder / "checkpoints").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("samples", "processes", "edges"), [(6, 2, [0, 3, 6]), (7, 3, [0, 2, 4, 7]), (2, 2, [0, 1, 2])]
)
def test_parts_of_a_batch(samples: int, processes: int, edges: list[int]) -> None:
    assert bounds(samples, processes) == edges


def test_a_batch_that_is_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="a batch of 1 samples cannot be shared by 2 processes"):
        bounds(1, 2)


def test_workers_and_torchrun_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match="leave out workers"):
        training.train([], Store(tmp_path), device="cpu", workers=2)


def main() -> None:
    store, *options = sys.argv[1:]
    budget = float(options[1]) if options else None
    summary = training.train(runs(), Store(store), device="cpu", budget=budget)
    print(json.dumps({"trained": sorted(summary.trained), "left": summary.left}))


if __name__ == "__main__":
    main()
