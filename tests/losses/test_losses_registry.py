"""Names, sums, errors, cards, documentation, imports."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from losslab import losses
from losslab.errors import InputError
from losslab.losses import registry
from losslab.losses.cards.page import picture, texts
from losslab.losses.cards.render import traits

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = """
ce mae mse focal gce truncated_gce rce sce imae dmi nce nfl nmae nrce ngce agce aul ael normface cosface arcface gm_softmax
lm_softmax nsl bootstrap_soft bootstrap_hard forward backward nlnl sphereface ldam label_smoothing d2l poly1 ldr_kl aldr_kl elr
comp_sum squentropy encouraging label_aware_smoothing
"""
HYPER = {  # names that users rely on
    "gce": "q", "truncated_gce": "q k variant", "rce": "A", "sce": "alpha beta A", "imae": "T variant", "focal": "gamma variant",
    "nfl": "gamma variant", "ngce": "q", "agce": "a q", "aul": "a p", "ael": "a", "dmi": "eps variant", "normface": "s",
    "cosface": "s m", "arcface": "s m", "gm_softmax": "s alpha1 alpha2 beta1 beta2", "lm_softmax": "s variant", "nsl": "s",
    "nce+rce": "alpha beta A", "nce+agce": "alpha beta a q", "gce+agce": "alpha beta gce.q a agce.q",
}  # fmt: skip


def test_names_of_the_contract() -> None:
    assert set(losses.names()) >= set(CONTRACT.split())


@pytest.mark.parametrize("name", HYPER)
def test_hyperparameter_names_of_the_contract(name: str) -> None:
    assert list(losses.spec(name).params) == HYPER[name].split()


@pytest.mark.parametrize("name", losses.names())
def test_core_defaults_are_those_of_the_spec(name: str) -> None:
    """A core called without a hyper-parameter computes what the registry's default says."""
    spec = losses.spec(name)
    defaults = {
        key: p.default for key, p in inspect.signature(spec.core).parameters.items() if p.kind == p.KEYWORD_ONLY
    }
    assert {key: param.default for key, param in spec.params.items()} == {key: defaults[key] for key in spec.params}
    assert set(defaults) - set(spec.params) <= {"state", "transition", "class_counts", "complementary"}
    if spec.grad is not None:
        same = {
            key: p.default for key, p in inspect.signature(spec.grad).parameters.items() if p.kind == p.KEYWORD_ONLY
        }
        assert same == defaults


@pytest.mark.parametrize("name", [*losses.names(), "nce+rce", "ce+elr"])
def test_function_form_has_a_readable_signature(name: str) -> None:
    spec = losses.spec(name)
    if "+" in name:
        assert callable(losses.functional.loss) and not hasattr(losses.functional, name)
        return
    function = getattr(losses.functional, name)
    shown = inspect.signature(function).parameters
    assert list(shown)[:2] == ["logits", "targets"] and set(spec.params) <= set(shown)
    assert function.__doc__ and function.__name__ == name


@pytest.mark.parametrize("name", losses.names())
def test_sources_of_numbers_are_importable_modules(name: str) -> None:
    spec = losses.spec(name)
    assert spec.core.__module__ in spec.modules
    for module in spec.modules:
        assert import_module(module).__file__
    used = {
        node.module
        for node in ast.walk(ast.parse(inspect.getsource(import_module(spec.core.__module__))))
        if isinstance(node, ast.ImportFrom)
    }
    helpers = {m for m in used if m and m.startswith("losslab.losses.") and m != "losslab.losses.spec"}
    family = {m for other in import_module(spec.core.__module__).SPECS for m in other.modules}
    assert helpers <= family  # an imported helper is named by some loss of the family


@pytest.mark.parametrize(
    "name, message",
    [
        ("gcee", "did you mean gce"),
        ("GCE", "did you mean gce"),
        ("nce+rcce", "did you mean rce"),
        ("zzz", "known: ce"),
        ("nce+rce+mae", "exactly two"),
        ("ce+ce", "must differ"),
        ("dmi+ce", "whole batch"),
        ("ce+arcface", "takes cosines"),
        ("", "unknown loss"),
        ("ce+", "unknown loss"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        losses.build(name, 10)


@pytest.mark.parametrize("num_classes", [1, 0, -3, 2.0, "10", True, None])
def test_number_of_classes(num_classes: object) -> None:
    with pytest.raises(InputError, match="num_classes"):
        losses.build("ce", num_classes)  # type: ignore[arg-type]


def test_near_matches_of_hyperparameters() -> None:
    with pytest.raises(InputError, match="did you mean 'gamma'"):
        losses.build("focal", 10, gama=1.0)
    with pytest.raises(InputError, match="it has: none"):
        losses.build("ce", 10, q=0.7)


def test_prefixes_in_sums() -> None:
    logits, targets = torch.randn(5, 4), torch.arange(5) % 4
    one = losses.build("nce+agce", 4, **{"agce.q": 0.4})
    two = losses.build("nce+agce", 4, q=0.4)
    assert one.hyperparameters == two.hyperparameters
    with pytest.raises(InputError, match="write gce.q or agce.q"):
        losses.build("gce+agce", 4, q=0.4)
    with pytest.raises(InputError, match="given twice"):
        losses.build("nce+agce", 4, q=0.4, **{"agce.q": 0.5})
    with pytest.raises(InputError, match="no hyper-parameter 'nce.q'"):
        losses.build("nce+agce", 4, **{"nce.q": 0.4})
    weights = losses.build("sce+mae", 4, alpha=2.0, beta=3.0, **{"sce.alpha": 0.5, "sce.beta": 0.25})
    expected = 2 * losses.functional.sce(logits, targets, alpha=0.5, beta=0.25) + 3 * losses.functional.mae(
        logits, targets
    )
    torch.testing.assert_close(weights(logits, targets), expected)
    with pytest.raises(InputError, match="outside its range"):
        losses.build("gce+agce", 4, **{"gce.q": 2.0})


@pytest.mark.parametrize("name", ["forward", "backward", "ce+forward"])
def test_transition_is_checked(name: str) -> None:
    good = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    assert torch.isfinite(losses.build(name, 2, transition=good)(torch.zeros(1, 2), torch.tensor([0])))
    bad = [(None, "needs transition"), (torch.eye(3), "shape"), (good.T, "sum to 1"), (good * torch.nan, "finite")]
    bad.append((torch.tensor([[1.1, -0.1], [0.2, 0.8]]), "non-negative"))
    for matrix, message in bad:
        with pytest.raises(InputError, match=message):
            losses.build(name, 2, transition=matrix)
        with pytest.raises(InputError, match=message):
            losses.functional.loss(name, torch.zeros(1, 2), torch.tensor([0]), transition=matrix)


def test_class_counts_are_checked() -> None:
    for counts, message in ((None, "needs class_counts"), ([1, 2, 3], "shape"), ([1, 0], "positive")):
        with pytest.raises(InputError, match=message):
            losses.build("ldam", 2, class_counts=counts)
    with pytest.raises(InputError, match="takes no transition"):
        losses.build("ce", 2, transition=torch.eye(2))
    with pytest.raises(InputError, match="takes no state"):
        losses.functional.ce(torch.zeros(1, 2), torch.tensor([0]), state={})
    with pytest.raises(InputError, match="takes no complementary"):
        losses.build("ce", 2)(torch.zeros(1, 2), torch.tensor([0]), complementary=torch.tensor([[1]]))


def test_tensors_move_with_the_module() -> None:
    loss = losses.build("forward", 2, transition=torch.eye(2, dtype=torch.float64))
    assert loss.state_dict()["transition"].dtype == torch.float64
    assert loss.float().transition.dtype == torch.float32


def test_representation_and_copies() -> None:
    loss = losses.build("nce+rce", 10, alpha=2.0)
    assert "'nce+rce', num_classes=10, alpha=2.0, beta=1.0" in repr(loss)
    assert copy.deepcopy(loss).spec is loss.spec and losses.spec("nce+rce") is loss.spec


def test_register_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ten lines of the guide."""
    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))

    def half_ce(log_probs: torch.Tensor, targets: torch.Tensor, *, w: float = 0.5) -> torch.Tensor:
        """`-w log p_y`."""
        return -w * log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)

    losses.register(losses.LossSpec("half_ce", half_ce, params={"w": losses.Param(0.5, 0, 1)}, modules=(__name__,)))
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    expected = 0.5 * losses.functional.ce(logits, targets)
    torch.testing.assert_close(losses.build("half_ce", 3)(logits, targets), expected)
    torch.testing.assert_close(losses.functional.half_ce(logits, targets), expected)
    assert "-w log p_y" in losses.describe("half_ce").notes
    assert losses.describe("half_ce+mae").title.startswith("half_ce")
    for name in ("half_ce", "ce", "a+b", ""):
        with pytest.raises(InputError, match="cannot register"):
            losses.register(replace(losses.spec("ce"), name=name))


@pytest.mark.parametrize("name", [*losses.names(), "nce+rce", "truncated_gce+elr"])
def test_cards_are_complete(name: str) -> None:
    card, spec = losses.describe(name), losses.spec(name)
    assert (
        card.name == name
        and card.title != name
        and card.paper
        and card.formula
        and card.parameters == dict(spec.params)
    )
    for param in spec.params.values():
        assert param.meaning
    if "variant" in spec.params:
        assert {key.split(": ")[-1] for key in card.variants} == set(spec.params["variant"].choices)
    shown = card.markdown()
    assert shown.startswith(f"### `{name}`") and all(f"`{key}`" in shown for key in spec.params)


@pytest.mark.parametrize("name", losses.names())
def test_settings_of_cards_are_valid(name: str) -> None:
    """Every published setting passes the range checks; weights alpha, beta belong to a sum with this loss."""
    spec = losses.spec(name)
    for given in losses.describe(name).defaults.values():
        own = {key: value for key, value in given.items() if key in spec.params}
        assert spec.resolve(own).keys() == spec.params.keys()
        assert set(given) - set(own) <= {"alpha", "beta", "m"}


def test_pages_are_current() -> None:
    folder = ROOT / "docs" / "losses"
    made = texts()
    hint = "run python -m losslab.losses.cards.page docs/losses"
    for name, text in made.items():
        assert (folder / name).is_file() and (folder / name).read_text(encoding="utf-8") == text, f"{name}: {hint}"
    assert {path.name for path in folder.iterdir()} == {*made, *map(picture, losses.names())}, hint


def test_every_loss_has_a_small_picture_that_its_page_shows() -> None:
    for name in losses.names():
        path = ROOT / "docs" / "losses" / picture(name)
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 25_000
        assert f"]({path.name})" in texts()[f"{name}.md"]


def test_slow_losses_say_why() -> None:
    """benchmarks/losses.py: more than three times cross entropy, compiled, at 4096 samples and 1000 classes."""
    found = json.loads((ROOT / "benchmarks" / "results" / "losses-cpu.json").read_text(encoding="utf-8"))
    rows = {row["loss"]: row["compiled, x cross-entropy"] for row in found["tables"]["N = 4096, K = 1000"]}
    assert set(losses.names()) <= set(rows)
    silent = [name for name, ratio in rows.items() if ratio > 3 and not losses.describe(name).cost]
    assert not silent


def test_traits_of_cards() -> None:
    assert list(traits(losses.describe("mae").properties).values()) == ["passive", "yes", "yes", "always"]
    assert list(traits(losses.describe("ce").properties).values()) == ["active", "no", "below", "never"]
    assert list(traits(losses.describe("agce").properties).values())[2:] == ["yes", "from a ratio on"]
    assert traits(losses.describe("nsl").properties)["symmetric"] == "if"


def test_import_is_light() -> None:
    code = (
        "import sys; import losslab.losses as l; l.describe('nce+rce'); "
        "import torch; l.build('ce', 2)(torch.zeros(1, 2), torch.tensor([0])); "
        "heavy = {'pandas', 'matplotlib', 'scipy', 'sklearn', 'pydantic', 'typer', 'yaml'} & set(sys.modules); print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "shared", check=True)
    assert done.stdout.strip() == "[]"
