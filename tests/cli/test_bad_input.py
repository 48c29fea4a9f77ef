"""Bad input: one clear line that names what is wrong and what is allowed, exit code 2, and nothing done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian", "gce"), "No such command 'trian'"),
        (("train",), "Missing argument 'PAPER'"),
        (("train", "gce", "--sclae", "quick"), "--sclae"),
        (("train", "gec"), "unknown paper 'gec'; known: "),
        (("train", "gce", "--scale", "huge"), "unknown scale 'huge'; known: smoke, quick, paper"),
        (("train", "gce", "--seeds", "0"), "--seeds is 0, but must be 1 or more"),
        (("train", "gce", "--seeds", "three"), "--seeds"),
        (("train", "gce", "--workers", "-1"), "--workers is -1"),
        (("train", "gce", "--device", "tpu"), "unknown device 'tpu'; known: auto, cpu, cuda"),
        (("train", "gce", "--budget", "soon"), "--budget 'soon' is no time; write it like 25m"),
        (("train", "gce", "--only", "table-99"), "table-99"),
        (("train", "gce", "--where", "method"), "write it as KEY=VALUE, with a key of experiment, dataset"),
        (("train", "gce", "--where", "metod=MAE"), "unknown key 'metod'. Did you mean 'method'"),
        (("train", "gce", "--where", "method=MEA"), "no method 'MEA' here; there are: CCE, MAE, "),
        (("train", "gce", "--where", "noise_rate=0.45"), "no noise_rate '0.45' here; there are: "),
        (("train", "gce", "--where", "seed=0", "--where", "seed=nine"), "no seed 'nine' here; there are: 0"),
        (("train", "gce", "--where", "noise_type=open-set", "--where", "dataset=cifar100"), "all of them together"),
        (("train", "gce", "--output", "runs.csv"), "the results frame is a .parquet file"),
        (("train", "gce", "--data-root", "/no/such/folder"), "no folder /no/such/folder"),
        (("losses", "gcee"), "unknown loss 'gcee'"),
        (("losses", "nce+gcee"), "gcee"),
        (("data", "cifar11"), "cifar11"),
        (("execute", "nowhere.ipynb"), "no notebook"),
        (("runs", "show", "zzzz"), "no run 'zzzz'"),
        (("runs", "list", "--paper", "gec"), "unknown paper 'gec'"),
        (("runs", "list", "--scale", "smoke"), "--scale needs --paper"),
        (("runs", "import", "nowhere.zip"), "no file"),
        (("verify", "gec"), "unknown paper 'gec'"),
        (("verify", "gce"), "holds no results"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_arguments(refused: Refused, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(*arguments)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("scale: medium", "params.yaml: scale: input should be 'smoke', 'quick' or 'paper', not 'medium'"),
        ("sclae: quick", "params.yaml: unknown key 'sclae'"),
        ("seeds: 0", "params.yaml: seeds: input should be greater than or equal to 1, not 0"),
        ("device: gpu", "params.yaml: device: unknown device 'gpu'"),
        ("scale: [quick", "params.yaml is not YAML"),
        ("just a text", "params.yaml holds no key: value pairs"),
    ],
)
def test_params(refused: Refused, repository: Path, content: str, said: str) -> None:
    (repository / "params.yaml").write_text(content)
    assert said in refused("train", "gce", "--dry-run")


def change(repository: Path, edit: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    file = repository / "replications" / "gce" / "paper.yaml"
    content = yaml.safe_load(file.read_text())
    edit(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def all_blocks(content: dict, part: str, value: dict) -> None:  # type: ignore[type-arg]
    for block in content["blocks"].values():
        plain = {"data": {"name": "digits"}, "model": {"name": "mlp"}, "recipe": "digits-mlp", "flip_map": "cifar10"}
        block["smoke"] = {**plain, part: value}


def first_experiment(content: dict) -> dict:  # type: ignore[type-arg]
    return next(iter(content["experiments"].values()))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda c: c["methods"]["CCE"].update(loss="cee"), ("'cee'", "ce")),
        (lambda c: c["methods"]["CCE"].update(params={"q": 0.7}), ("'q'",)),
        (lambda c: c["methods"]["Lq (q=0.7)"]["params"].update(q=1.7), ("1.7", "(0, 1]")),
        (lambda c: c.update(methds={}), ("methds",)),
        (lambda c: first_experiment(c)["noise"][1].update(rates=[1.4]), ("1.4",)),
        (lambda c: first_experiment(c)["noise"][1].update(kind="assymetric"), ("'assymetric'",)),
        (lambda c: all_blocks(c, "data", {"name": "digitz"}), ("'digitz'",)),
        (lambda c: all_blocks(c, "model", {"name": "mpl"}), ("'mpl'",)),
    ],
    ids=["loss", "parameter", "range", "key", "rate", "noise", "data", "network"],
)
def test_paper(refused: Refused, repository: Path, edit: Callable[[dict], object], said: tuple[str, ...]) -> None:  # type: ignore[type-arg]
    change(repository, edit)
    line = refused("train", "gce", "--scale", "smoke", "--dry-run")
    for text in said:
        assert text in line
    assert not list((repository.parent / "store").glob("records/*/*.json"))


def test_missing_data_say_what_to_get_and_where_to_put_it(refused: Refused, repository: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    line = refused(
        "train", "gce", "--scale", "paper", "--only", "table-1/cifar10", "--device", "cpu", "--data-root", empty
    )
    assert "cifar10" in line and str(empty) in line


def test_a_device_that_is_not_there(refused: Refused, repository: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    assert "CUDA" in refused("train", "gce", "--scale", "smoke", "--device", "cuda")
