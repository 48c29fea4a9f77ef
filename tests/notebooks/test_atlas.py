"""What the atlases compute, against numbers worked out by hand; their figures hold what they say."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from nbformat import read

from losslab import data, losses, noise
from losslab.losses import registry

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))

from atlas import loss_pictures, noise_pictures, noises  # noqa: E402
from atlas import losses as atlas  # noqa: E402


@pytest.fixture
def newcomer() -> Iterator[str]:
    """A loss that somebody registered: half of the probability that is missing."""

    def half(log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (1 - log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1).exp()) / 2

    losses.register(losses.LossSpec("newcomer", half, modules=("tests",)))
    yield "newcomer"
    del registry._SPECS["newcomer"]


def test_every_loss_is_in_one_family_and_every_family_in_the_notebook() -> None:
    names = atlas.all_names()
    assert sorted(names) == sorted({*losses.names(), *atlas.SUMS})
    text = "\n".join(cell.source for cell in read(NOTEBOOKS / "loss_atlas.ipynb", as_version=4).cells)
    for title in atlas.families():
        assert f'family("{title}", classes)' in text


def test_a_loss_that_is_new_is_under_others(newcomer: str) -> None:
    assert atlas.families()["others"] == (newcomer,)
    assert atlas.prepared(newcomer).depends_on_target_only


def test_share_of_wrong_labels_by_hand() -> None:
    right, wrong = 0.6 * (1 - 0.9), 0.4 * (1 - 0.1 / 9)
    assert atlas.wrong_share("ce") == pytest.approx(wrong / (right + wrong))
    q = 0.7
    right, wrong = 0.6 * 0.9**q * (1 - 0.9), 0.4 * (0.1 / 9) ** q * (1 - 0.1 / 9)
    assert atlas.wrong_share("gce") == pytest.approx(wrong / (right + wrong))
    assert atlas.wrong_share("mae", truth=0.1) == pytest.approx(0.4)  # at chance by number
    assert math.isnan(atlas.wrong_share("dmi")) and math.isnan(atlas.wrong_share("cosface"))


def test_where_a_flexible_network_ends_under_pair_noise() -> None:
    assert atlas.kept_truth("ce") == pytest.approx(0.6, abs=1e-3)
    powers = np.array([0.6, 0.4]) ** (1 / 0.3)
    assert atlas.kept_truth("gce") == pytest.approx(powers[0] / powers.sum(), abs=1e-3)
    assert atlas.kept_truth("mae") == 1
    assert math.isnan(atlas.kept_truth("imae"))  # its value is not what training descends


def test_ngce_prefers_a_mixture_to_the_true_vertex() -> None:
    """The claim of the atlas in plain numbers: symmetric, and not robust to 40 % pair noise."""

    def expected(p: list[float], q: float = 0.7) -> float:
        total = 10 - sum(x**q for x in p)
        return 0.6 * (1 - p[0] ** q) / total + 0.4 * (1 - p[1] ** q) / total

    assert expected([0.8137, 0.1863]) < expected([1.0, 0.0]) - 1e-3
    assert atlas.kept_truth("ngce") == pytest.approx(0.814, abs=2e-3)


def test_which_losses_are_one_function() -> None:
    found = atlas.same_functions()
    factors = {name: (row["of"], row["factor"]) for name, row in found.iterrows()}
    assert factors["RCE"] == ("MAE", pytest.approx(9.210340371976182 / 2))
    assert factors["NMAE"] == factors["NRCE"] == ("MAE", pytest.approx(1 / 18))
    for name in ("GCE (q=1)", "Comp-sum (tau=2)", "AGCE (q=1)", "AUL (p=1)"):
        assert factors[name] == ("MAE", pytest.approx(0.5))
    assert factors["Comp-sum (tau=1.7)"] == ("GCE", pytest.approx(1.0))
    assert factors["LM-Softmax (unscaled)"] == ("LM-Softmax", pytest.approx(10.0))
    assert not {"SCE", "NCE", "AGCE", "AUL", "MSE", "CosFace"} & set(factors)


def test_margins() -> None:
    assert atlas.handicap("normface") == pytest.approx(0, abs=1e-9)
    assert atlas.handicap("cosface") == pytest.approx(0.1)
    assert atlas.handicap("arcface") == pytest.approx(0.5 - math.cos(math.pi / 3 + 0.1))
    assert atlas.handicap("ldr_kl") == pytest.approx(2.0)
    assert math.isnan(atlas.handicap("ce")) and math.isnan(atlas.handicap("nsl"))
    assert atlas.fading("nsl") == atlas.fading("lm_softmax") == pytest.approx(1.0)
    assert atlas.fading("normface") < 0.1


def test_what_a_step_does() -> None:
    for name in ("ce", "mae", "gce", "agce"):
        up, rival, other = atlas.push(name)
        assert (up, rival, other) == pytest.approx((0.5, -0.375, -0.125))
    up, rival, other = atlas.push("nce")
    assert rival > -0.375 and other < -0.125
    assert atlas.push("mse")[2] > 0 and atlas.push("nlnl")[2] > 0


def test_cards_agree_and_the_table_counts_what_it_shows() -> None:
    assert atlas.disagreements() == []
    table = atlas.taxonomy()
    counts = atlas.counts(table)
    assert len(table) == len(atlas.all_names())
    assert counts["passive"] == 6 and counts["asymmetric under all pair noise"] == 4
    row = table.loc[("absolute error and its multiples", "MAE")]
    assert row[["symmetric", "sum over labels", "values", "pair noise", "wrong %"]].tolist() == [
        "yes",
        "18",
        "0 to 2",
        "0.500",
        "7.5",
    ]
    assert (table.xs("L_DMI", level="loss") == "").all(axis=None)


@pytest.mark.parametrize("title", list(atlas.families()))
def test_family_pictures(title: str) -> None:
    figure = loss_pictures.family(title)
    first = figure.axes[0]
    assert len(first.get_lines()) >= len(atlas.families()[title])
    for axis in figure.axes[:3]:
        assert all(np.isfinite(line.get_ydata()).all() for line in axis.get_lines())
    over = np.concatenate([line.get_ydata() for line in figure.axes[2].get_lines()])
    assert over.max() == pytest.approx(1) and over.min() >= 0


def test_other_loss_pictures() -> None:
    page = loss_pictures.page()
    names = [text.get_text() for text in page.axes[0].get_yticklabels()]
    assert len(names) == sum(losses.spec(name).input != "cosines" for name in atlas.all_names())
    assert len(loss_pictures.wrong_labels().axes[0].get_lines()) == 9
    assert len(loss_pictures.pushes(("ce", "nce")).axes[0].patches) == 6


# Noise


def row(name: str, kind: str) -> noises.Variant:
    return next(v for v in noises.VARIANTS if v.name.startswith(name) and v.kind == kind)


@pytest.mark.parametrize(
    ("name", "kind", "share"),
    [
        ("drawn anew", "symmetric_inclusive", 0.36),
        ("five flips, at once", "asymmetric", 0.2),
        ("five flips, one after", "asymmetric", (0.4 * 4 + 0.24) / 10),
        ("four flips", "class_dependent", 0.16),
        ("bags and clothes", "class_dependent", 0.2),
        ("bags become", "class_dependent", 0.04),
        ("clothes become", "class_dependent", 0.36),
        ("random pairs", "superclass_pair", 0.16),
    ],
)
def test_what_a_rate_means(name: str, kind: str, share: float) -> None:
    assert noises.expected(row(name, kind)) == pytest.approx(share)


def test_realised_rates_are_near_what_is_expected() -> None:
    table = noises.meaning()
    assert (abs(table["wrong, %"].astype(float) - table["realised, %"].astype(float)) < 0.7).all()
    equal = table.loc[("MNIST", "to another class, the same count in every class")]
    assert equal["in the worst class, %"] == f"{100 * 2400 / min(noises.MNIST_SIZES):.1f}"
    assert sum(noises.MNIST_SIZES) == 60000


def test_in_place_flips_by_hand() -> None:
    matrix = noises.pictures()["the same, in place"]
    assert 1 - matrix[3, 3] == pytest.approx(0.24) and 1 - matrix[5, 5] == pytest.approx(0.4)


def test_limits_and_super_classes() -> None:
    limits = noises.tolerated()["rate"].astype(float)
    assert limits["symmetric"] == 0.9 and limits["symmetric_inclusive"] == 1.0 and limits["pair"] == 0.5
    groups = noise.CIFAR100_SUPERCLASS
    ring = [i + 1 if i % 5 < 4 else i - 4 for i in range(100)]
    assert noises.blocks_inside() == pytest.approx(np.mean([groups[i] == groups[j] for i, j in enumerate(ring)]))


def test_digits_tables() -> None:
    digits = data.load("digits")
    table = noises.realised_rates(digits, 3)
    assert set(table.index.get_level_values("draw")) == set(noise.draws())
    exact = table.xs("exact", level="draw")
    assert (exact["realised"].astype(float) <= exact["expected"].astype(float) + 0.01).drop("superclass_pair").all()
    assert noises.nested(digits)["same seed, 0.2 inside 0.4"] == 1
    seen = noises.instance(digits)
    fifths = seen.by_fifth(digits.train_labels.numpy())
    assert fifths["sharpness 8"].is_monotonic_increasing and fifths["sharpness 8"].iloc[-1] > 95
    assert fifths.mean().tolist() == pytest.approx([40, 40, 40])
    assert len(noise_pictures.flipped(digits, seen).axes) == 20
    assert len(noise_pictures.draws(noises.per_class(digits, 2)).axes) == 3


def test_strangers_and_sizes() -> None:
    glyphs, mixed, replaced = noises.strangers()
    same = (mixed == glyphs.train_images).flatten(1).all(1).numpy()
    assert not same[replaced].any() and same.sum() == len(same) - len(replaced)
    assert len(noise_pictures.open_set(glyphs, mixed, replaced).axes) == 20
    totals = noises.imbalance().sum()
    assert totals[("long-tailed", 100)] == 12406 and totals[("step", 100)] == 25250


def test_matrix_pictures() -> None:
    found = noises.pictures()
    assert all(np.allclose(matrix.sum(axis=1), 1) for matrix in found.values())
    assert len(noise_pictures.matrices(found).axes) == len(found) + 1
    assert set(noises.two_class()) == set(noise.matrix_names()) - {"l_dmi_cifar10"}
