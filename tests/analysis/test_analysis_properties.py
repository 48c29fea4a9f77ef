"""Computed properties of losses, and the descriptions of losses held against them."""

from __future__ import annotations

import math

import pytest
import torch

from losslab import losses
from losslab.analysis import decomposition, properties, scalar
from losslab.analysis.probing import probe, probe_logits, symmetric_noise
from losslab.errors import InputError

SUMS = ("nce+mae", "nce+rce", "nfl+rce", "nce+agce", "nce+aul", "nce+ael", "mae+rce")

# (loss, hyper-parameters, 1/r, highest pair rate, highest symmetric rate of ten classes): the published settings of the asymmetric losses
ASYMMETRIC = [
    ("agce", {"a": 4.0, "q": 0.2}, 1.195, 0.456, 0.883),
    ("aul", {"a": 3.0, "p": 0.1}, 1.0, 0.5, 0.9),
    ("ael", {"a": 3.5}, 1.331, 0.429, 0.871),
    ("agce", {"a": 0.6, "q": 0.6}, 1.480, 0.403, 0.859),
    ("aul", {"a": 5.5, "p": 3.0}, 1.494, 0.401, 0.858),
    ("ael", {"a": 2.5}, 1.492, 0.401, 0.858),
    ("agce", {"a": 6.0, "q": 1.5}, 1.0, 0.5, 0.9),
    ("aul", {"a": 6.3, "p": 1.5}, 1.090, 0.478, 0.892),
    ("ael", {"a": 5.0}, 1.221, 0.450, 0.880),
    ("agce", {"a": 1.8, "q": 3.0}, 1.0, 0.5, 0.9),
    ("aul", {"a": 6.0, "p": 3.0}, 1.440, 0.410, 0.862),
    ("ael", {"a": 1.5}, 1.948, 0.339, 0.822),
    ("agce", {"a": 1e-5, "q": 0.5}, 316.2, 0.003, 0.028),
    ("agce", {"a": 2.5, "q": 3.0}, 1.0, 0.5, 0.9),
]


def _settings(name: str) -> list[dict]:
    """The defaults and every published setting of a loss, as far as they are its own hyper-parameters."""
    spec, card = losses.spec(name), losses.describe(name)
    found = [
        {},
        *({key: value for key, value in given.items() if key in spec.params} for given in card.defaults.values()),
    ]
    found += [{"variant": value} for value in (spec.params["variant"].choices if "variant" in spec.params else ())]
    return [given for index, given in enumerate(found) if given not in found[:index]]


@pytest.mark.parametrize("name", [*losses.names(), *SUMS])
def test_descriptions_agree_with_the_computation(name: str) -> None:
    problems = [text for given in _settings(name) for text in properties.compare(name, 5, **given)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", [*losses.names(), *SUMS])
def test_every_loss_can_be_checked(name: str) -> None:
    found = properties.check(name, 4)
    assert found.name == name
    if found.domain != "batch":
        assert found.infimum is not None and found.supremum is not None and found.infimum < found.supremum
        assert found.monotone in ("strict", "weak", "no")


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("mae", 18.0),
        ("rce", -9 * math.log(1e-4)),
        ("nce", 1.0),
        ("nfl", 1.0),
        ("ngce", 1.0),
        ("nmae", 1.0),
        ("nrce", 1.0),
    ],
)
def test_class_sums_of_symmetric_losses(name: str, total: float) -> None:
    found = properties.check(name)
    assert found.symmetric
    assert found.class_sum == pytest.approx(total, abs=1e-9)


def test_rce_class_sum_with_other_constants() -> None:
    assert properties.check("rce", 7, A=-6.0).class_sum == pytest.approx(36.0)
    assert properties.check("nce+rce", alpha=2.0, beta=0.5, A=-4.0).class_sum == pytest.approx(2 + 0.5 * 4 * 9)
    assert properties.check("nrce", variant="official").class_sum == pytest.approx(186.5, abs=0.05)
    assert properties.check("nrce", 100, variant="official").class_sum == pytest.approx(22568, abs=1)


@pytest.mark.parametrize("name", ["ce", "focal", "gce", "mse", "sce", "imae", "agce", "label_smoothing", "nce+agce"])
def test_not_symmetric(name: str) -> None:
    assert properties.check(name, 5).symmetric is False


def test_bounds() -> None:
    gce = properties.check("gce", q=0.7)
    assert (gce.infimum, gce.supremum) == pytest.approx((0.0, 1 / 0.7))
    assert properties.check("ce").supremum == math.inf
    imae = properties.check("imae")
    assert not imae.bounded and not imae.symmetric and not imae.conservative
    assert properties.check("lm_softmax", s=10.0).infimum == pytest.approx(math.log(9) / 10 - 2, abs=1e-6)


def test_nsl_is_symmetric_with_zero_sum_prototypes_only() -> None:
    found = properties.check("nsl")
    assert found.symmetric is False and found.symmetric_if_zero_sum is True


def test_detached_factors_are_noticed() -> None:
    for name in ("focal", "nfl"):
        assert probe(name, 5).conservative
        assert not probe(name, 5, variant="official").conservative


def test_monotone() -> None:
    assert properties.check("gce").monotone == "strict"
    assert properties.check("truncated_gce", variant="direct").monotone == "weak"
    assert properties.check("label_smoothing").monotone == "no"


@pytest.mark.parametrize(("name", "given", "switch", "pair", "symmetric"), ASYMMETRIC)
def test_asymmetry_ratios(name: str, given: dict, switch: float, pair: float, symmetric: float) -> None:
    found = scalar.asymmetry(probe(name, 10, **given))
    assert found.switch == pytest.approx(switch, abs=6e-4 if switch < 10 else 0.1)
    assert found.max_rate("pair") == pytest.approx(pair, abs=6e-4)
    assert found.max_rate("symmetric", 10) == pytest.approx(symmetric, abs=6e-4)
    assert found.completely is (switch == 1.0)


def test_asymmetry_of_other_losses() -> None:
    for name in ("ce", "focal", "gce", "sce", "imae"):
        found = scalar.asymmetry(probe(name))
        assert found.ratio == 0 and not found.completely
    for name in ("mae", "rce", "nmae"):
        found = scalar.asymmetry(probe(name))
        assert found.completely and found.strictly
    assert scalar.asymmetry(probe("gce", q=1.0)).completely
    assert scalar.asymmetry(probe("agce", a=1e-5, q=0.5)).max_rate("symmetric", 50) == pytest.approx(0.13, abs=5e-3)


def test_ratio_with_two_probabilities_is_only_sufficient() -> None:
    found = scalar.asymmetry(probe("agce", a=1.8, q=3.0))
    assert found.strict_ratio == pytest.approx((1.8 / 2.8) ** 2, abs=1e-4)
    assert found.completely and not found.strictly


def test_sum_of_asymmetric_losses() -> None:
    """A positive combination of losses that are asymmetric on some weights is so, too."""
    both = scalar.asymmetry(probe("mae+agce", alpha=1.0, beta=1.0, a=0.6, q=0.6))
    assert scalar.asymmetry(probe("agce", a=0.6, q=0.6)).ratio < both.ratio < 1


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ce", ["active"]),
        ("focal", ["active"]),
        ("nce", ["active"]),
        ("nfl", ["active"]),
        ("gce", ["active"]),
        ("ngce", ["active"]),
        ("agce", ["active"]),
        ("mae", ["passive"]),
        ("rce", ["passive"]),
        ("nmae", ["passive"]),
        ("nrce", ["passive"]),
        ("sce", ["active", "passive"]),
        ("nce+rce", ["active", "passive"]),
        ("nfl+mae", ["active", "passive"]),
        ("mae+rce", ["passive", "passive"]),
    ],
)
def test_active_and_passive_parts(name: str, kinds: list[str]) -> None:
    parts = decomposition.parts(name)
    assert [part.kind for part in parts] == kinds
    assert sum(part.share for part in parts) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["mae", "nmae", "nrce", "nfl", "focal"])
def test_parts_of_variants(name: str) -> None:
    assert decomposition.parts(name, 6, variant="official")


def test_permutations_of_one_output_make_every_loss_symmetric() -> None:
    """Sparse regularisation, theorem on permutation sets: outputs that are permutations of one vector give one class sum."""
    draw = torch.Generator().manual_seed(3)
    vector = torch.randn(10, generator=draw, dtype=torch.float64)
    logits = torch.stack([vector[torch.randperm(10, generator=draw)] for _ in range(50)])
    for name in ("ce", "focal", "gce", "mae", "mse"):
        loss = probe(name)
        sums = loss.class_sums(loss.from_logits(logits))
        assert float(sums.max() - sums.min()) < 1e-12


def test_normalised_losses_sum_to_one_everywhere() -> None:
    for name in ("nce", "nfl", "ngce"):
        loss = probe(name)
        sums = loss.class_sums(loss.from_logits(probe_logits(10, 1e3)))
        assert float((sums - 1).abs().max()) < 1e-12


def test_corrected_losses_take_the_matrix() -> None:
    assert properties.check("forward", 4, transition=torch.eye(4)).supremum == math.inf
    found = properties.check("forward", 4, transition=symmetric_noise(4, 0.3))
    assert (found.infimum, found.supremum) == pytest.approx((-math.log(0.7), -math.log(0.1)), abs=1e-6)


def test_errors() -> None:
    with pytest.raises(InputError, match="whole batch"):
        probe("dmi")
    with pytest.raises(InputError, match="at least 2"):
        probe("ce", 1)
    with pytest.raises(InputError, match="hyper-parameter"):
        properties.check("gce", gamma=2.0)
    with pytest.raises(InputError, match="alone"):
        scalar.asymmetry(probe("nce"))
    with pytest.raises(InputError, match="kind"):
        scalar.asymmetry(probe("mae")).max_rate("open")
    with pytest.raises(InputError, match="no form"):
        decomposition.parts("elr")
    assert properties.check("dmi").domain == "batch"
