"""The same tests for every loss, every variant and representative sums, generated from the registry."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loss_cases import CASES, CLOSED, EACH, SAMPLE, TOLERANCE, Case, K, ids
from loss_oracle import ORACLES, evaluate
from torch import Tensor

from losslab import losses
from losslab.errors import InputError

each_case = pytest.mark.parametrize("case", CASES, ids=ids(CASES))
each_name = pytest.mark.parametrize("case", EACH, ids=ids(EACH))


def _module(case: Case, **more: Any) -> losses.Loss:
    return losses.build(case.name, K, **{**case.tensors(), **case.hyper, **more})


def _function(
    case: Case, logits: Tensor, targets: Tensor, arguments: dict[str, Any], reduction: str = "none"
) -> Tensor:
    return losses.functional.loss(case.name, logits, targets, reduction=reduction, **arguments)


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """Tensors as lists of floats, for the oracle."""
    convert = {Tensor: lambda v: v.tolist(), dict: _plain}
    return {key: convert.get(type(value), lambda v: v)(value) for key, value in arguments.items()}


def test_every_loss_has_an_oracle() -> None:
    assert set(ORACLES) == set(losses.names())


@each_case
def test_value_equals_explicit_loops(case: Case) -> None:
    logits, targets, arguments = case.logits(9), case.labels(9), case.arguments(9)
    expected = evaluate(case.name, logits.tolist(), targets.tolist(), **_plain(arguments))
    values = _function(case, logits, targets, arguments)
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=1e-9)


def _has_a_constant_factor(case: Case) -> bool:
    """Gradients of these are tested in test_losses_values."""
    return case.name == "imae" or (case.name in ("focal", "nfl") and case.resolved["variant"] == "official")


@pytest.mark.parametrize("case", [c for c in CASES if not _has_a_constant_factor(c)], ids=lambda c: c.id)
def test_gradient_is_that_of_the_value(case: Case) -> None:
    """gradcheck in float64, without the memories that are constant for the gradient (tested in test_losses_memory)."""
    logits, targets, arguments = case.logits(4).requires_grad_(), case.labels(4), case.arguments(4)
    if case.name in ("elr", "aldr_kl", "elr+squentropy"):
        arguments.pop("state")
    assert torch.autograd.gradcheck(
        lambda z: _function(case, z, targets, arguments, "sum"), (logits,), eps=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("case", CLOSED, ids=ids(CLOSED))
@pytest.mark.parametrize("lead", [(), (3,)], ids=["single", "stack"])
def test_closed_form_gradient_equals_autograd(case: Case, lead: tuple[int, ...]) -> None:
    logits = (
        torch.stack([case.logits(6) for _ in range(3)]).requires_grad_() if lead else case.logits(6).requires_grad_()
    )
    targets = case.labels(6).expand(*lead, 6)
    given = {**case.resolved, **case.state(6), **case.tensors()}
    log_probs = torch.log_softmax(logits, -1)
    expected = torch.autograd.grad(case.spec.core(log_probs, targets, **given).sum(), logits)[0]
    assert case.spec.grad is not None
    g_l, g_s = case.spec.grad(log_probs.detach(), targets, **given)
    assert g_l.shape == targets.shape and (g_s is None or g_s.shape == targets.shape)
    p = log_probs.detach().exp()
    hit = torch.nn.functional.one_hot(targets, K).to(p)
    found = g_l.unsqueeze(-1) * (hit - p)
    if g_s is not None:
        found = found + g_s.unsqueeze(-1) * (1 - K * p)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@each_case
def test_module_equals_function_equals_core(case: Case) -> None:
    """With the memory at its start where there is one."""
    logits, targets, given = case.logits(), case.labels(), case.tensors()
    start = None
    if case.spec.state is not None:
        start = {key: value[0] for key, value in case.spec.state.init(1, 6, K, targets.unsqueeze(0)).items()}
    state = {} if start is None else {"state": start}
    core = case.spec.core(case.inputs(logits), targets, **case.resolved, **given, **state)
    torch.testing.assert_close(_function(case, logits, targets, {**case.hyper, **given, **state}), core)
    more = {} if start is None else {"num_samples": 6}
    module = _module(case, reduction="none", **given, **more).double()
    if case.spec.draw is not None:
        module.hyperparameters["negatives"] = 0  # the exact expectation, as in the function without drawn labels
    torch.testing.assert_close(module(logits, targets, index=torch.arange(6)), core)


@each_case
def test_stack_equals_single_calls(case: Case) -> None:
    """A stack of 3 models with hyper-parameters `(3, 1)` gives what three calls with floats give."""
    models, size = 3, 6
    logits = torch.stack([case.logits(size) for _ in range(models)])
    targets = torch.stack([(case.labels(size) + m) % K for m in range(models)])
    tensors = [case.tensors() for _ in range(models)]
    states = [case.state(size) for _ in range(models)]
    static = {name for name, param in case.spec.params.items() if param.choices or param.integer}
    numbers = [
        {name: value if name in static else value * (1 - 0.05 * m) for name, value in case.resolved.items()}
        for m in range(models)
    ]
    stacked: dict[str, Any] = {
        name: numbers[0][name] if name in static else torch.tensor([[n[name]] for n in numbers], dtype=torch.float64)
        for name in numbers[0]
    }
    stacked.update({key: torch.stack([t[key] for t in tensors]) for key in tensors[0]})
    if states[0]:
        stacked["state"] = {key: torch.stack([s["state"][key] for s in states]) for key in states[0]["state"]}
    together = case.spec.core(case.inputs(logits), targets, **stacked)
    assert together.shape == ((models, size) if case.spec.level == "sample" else (models,))
    for m in range(models):
        single = case.spec.core(case.inputs(logits[m]), targets[m], **numbers[m], **tensors[m], **states[m])
        torch.testing.assert_close(together[m], single, rtol=1e-10, atol=1e-12)


@each_case
def test_two_leading_axes(case: Case) -> None:
    logits = torch.stack([case.logits(4) for _ in range(6)])
    targets, given = case.labels(4).expand(6, 4), case.tensors()
    flat = case.spec.core(case.inputs(logits), targets, **case.resolved, **given)
    grid = case.spec.core(case.inputs(logits.view(2, 3, 4, K)), targets.view(2, 3, 4), **case.resolved, **given)
    torch.testing.assert_close(grid, flat.view(2, 3, *flat.shape[1:]))


@each_name
def test_reductions(case: Case) -> None:
    logits, targets, arguments = case.logits(), case.labels(), case.arguments()
    values = _function(case, logits, targets, arguments, "none")
    assert values.shape == ((6,) if case.spec.level == "sample" else ())
    torch.testing.assert_close(_function(case, logits, targets, arguments, "mean"), values.mean())
    torch.testing.assert_close(_function(case, logits, targets, arguments, "sum"), values.sum())
    with pytest.raises(InputError, match="reduction"):
        _function(case, logits, targets, arguments, "average")


@each_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_dtypes(case: Case, dtype: torch.dtype) -> None:
    """The result and the gradient have the dtype of the logits, and agree with float64 on the rounded input."""
    logits, targets, arguments = case.logits(dtype=dtype), case.labels(), case.arguments()
    rounded = logits.double()
    given = {**arguments, **{key: value.float() for key, value in arguments.items() if isinstance(value, Tensor)}}
    logits.requires_grad_()
    value = _function(case, logits, targets, given)
    value.sum().backward()
    assert value.dtype == dtype and logits.grad is not None and logits.grad.dtype == dtype
    expected = _function(case, rounded, targets, arguments)
    tolerance = dict(TOLERANCE[dtype])
    if case.name == "backward":
        tolerance["atol"] *= 10  # an inverse in single precision
    torch.testing.assert_close(value.double(), expected, **tolerance)


@each_case
@pytest.mark.parametrize("size", [1e4, 1e2])
def test_extreme_logits_are_finite(case: Case, size: float) -> None:
    """Labels at the top, at the bottom, ties and all-equal logits; float32 values and gradients stay finite."""
    rows = torch.tensor(
        [
            [1.0, -1, 0, 0, 0],
            [-1, 1, 0, 0, 0],
            [1, 1, 1, 1, 1],
            [-1, -1, -1, -1, -1],
            [1, 1, -1, -1, -1],
            [0, 0, 0, 0, 1],
            [0, 0, 0, 0, -1],
        ]
    )
    targets = torch.tensor([0, 0, 2, 3, 4, 4, 4])
    logits = (rows if case.spec.input == "cosines" else rows * size).requires_grad_()
    given = {key: value.float() if isinstance(value, Tensor) else value for key, value in case.arguments(7).items()}
    values = _function(case, logits, targets, given)
    gradient = torch.autograd.grad(values.sum(), logits)[0]
    assert torch.isfinite(values).all(), values
    assert torch.isfinite(gradient).all(), gradient


@pytest.mark.parametrize("case", CLOSED, ids=ids(CLOSED))
def test_closed_form_gradient_is_finite_for_extreme_logits(case: Case) -> None:
    logits = 1e4 * torch.tensor([[1.0, -1, 0, 0, 0], [-1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1e-3]])
    assert case.spec.grad is not None
    given = {key: {k: v.float() for k, v in value.items()} for key, value in case.state(4).items()}
    given = {**case.resolved, **given, **case.tensors(torch.float32)}
    g_l, g_s = case.spec.grad(torch.log_softmax(logits, -1), torch.tensor([0, 0, 2, 4]), **given)
    assert torch.isfinite(g_l).all() and (g_s is None or bool(torch.isfinite(g_s).all()))


@pytest.mark.parametrize(
    "case", [c for c in SAMPLE if c.name != "imae" and c.name != "truncated_gce"], ids=lambda c: c.id
)
def test_samples_do_not_influence_each_other(case: Case) -> None:
    logits, targets, arguments = case.logits(), case.labels(), case.arguments()
    if case.name == "truncated_gce+nce":
        arguments.pop("state")
    whole = _function(case, logits, targets, arguments)
    for i in range(6):
        own = dict(arguments)
        if "state" in own:
            own["state"] = {key: value[i : i + 1] for key, value in arguments["state"].items()}
        torch.testing.assert_close(_function(case, logits[i : i + 1], targets[i : i + 1], own)[0], whole[i])


@each_case
def test_vmap_over_a_stack(case: Case) -> None:
    """The function form under vmap equals a loop: no data-dependent branch, checks that read values step aside."""
    logits = torch.stack([case.logits(4) for _ in range(3)])
    targets = torch.stack([(case.labels(4) + m) % K for m in range(3)])
    arguments = case.arguments(4)
    together = torch.vmap(lambda z, y: _function(case, z, y, arguments))(logits, targets)
    apart = torch.stack([_function(case, logits[m], targets[m], arguments) for m in range(3)])
    torch.testing.assert_close(together, apart)


@each_name
def test_gradients_under_vmap(case: Case) -> None:
    """Per-model gradients by vmap of grad, as a stack would use them."""
    logits = torch.stack([case.logits(4) for _ in range(2)])
    targets, arguments = case.labels(4), case.arguments(4)

    def total(z: Tensor) -> Tensor:
        return _function(case, z, targets, arguments, "sum")

    together = torch.vmap(torch.func.grad(total))(logits)
    apart = torch.stack([torch.func.grad(total)(logits[m]) for m in range(2)])
    torch.testing.assert_close(together, apart)


@each_name
def test_wrong_input_raises(case: Case) -> None:
    module = _module(case)
    logits, targets = case.logits(), case.labels()
    wrong: list[tuple[str, Any, Any]] = [
        ("shape", logits[0], targets),
        ("shape", logits.unsqueeze(0), targets),
        ("classes", logits[:, :-1], targets % (K - 1)),
        ("dtype", logits.long(), targets),
        ("dtype", logits, targets.int()),
        ("shape", logits, targets[:-1]),
        ("shape", logits[:0], targets[:0]),
        ("targets lie in", logits, targets + 1),
        ("targets lie in", logits, targets - 1),
        ("tensors", logits.tolist(), targets),
    ]
    if not case.spec.soft_targets:
        wrong.append(("dtype", logits, torch.softmax(logits, -1)))
    else:
        wrong += [("soft targets", logits, torch.rand(6, K + 1)), ("sum to 1", logits, torch.rand(6, K) + 1)]
    for message, first, second in wrong:
        with pytest.raises(InputError, match=message):
            module(first, second, index=torch.arange(6))


@each_name
def test_unknown_hyperparameter_raises(case: Case) -> None:
    with pytest.raises(InputError, match="no hyper-parameter 'strength'"):
        _module(case, strength=1.0)


@each_case
def test_hyperparameter_ranges_are_checked(case: Case) -> None:
    """Values beyond a bound, open bounds, non-numbers and unknown words are refused; the bounds themselves are not."""
    tried = 0
    for name, param in case.spec.params.items():
        bad: list[Any] = ["much", None, float("nan"), float("inf"), True] if not param.choices else ["other", 1.0]
        if param.low is not None:
            bad += [param.low - 1, param.low] if param.low_open else [param.low - 1]
        if param.high is not None:
            bad += [param.high + 1, param.high] if param.high_open else [param.high + 1]
        for value in bad:
            with pytest.raises(InputError, match=name):
                case.spec.resolve({**case.hyper, name: value})
            tried += 1
        for bound, is_open in ((param.low, param.low_open), (param.high, param.high_open)):
            if bound is not None and not is_open:
                assert case.spec.resolve({**case.hyper, name: bound})[name] == bound
        assert param.check(case.name, name, param.default) == param.default
    assert tried >= len(case.spec.params)


@each_name
def test_soft_targets_agree_with_labels(case: Case) -> None:
    """One-hot soft targets give what the labels give; where soft targets are refused, the refusal is tested above."""
    logits, targets, arguments = case.logits(), case.labels(), case.arguments()
    soft = torch.nn.functional.one_hot(targets, K).double()
    if not case.spec.soft_targets:
        with pytest.raises(InputError):
            _function(case, logits, soft, arguments)
        return
    torch.testing.assert_close(_function(case, logits, soft, arguments), _function(case, logits, targets, arguments))


@pytest.mark.slow
@pytest.mark.parametrize("case", EACH, ids=ids(EACH))
def test_compiled_equals_eager(case: Case) -> None:
    torch._dynamo.reset()  # every case compiles the same code object anew, which torch before 2.14 does eight times only
    logits, targets, arguments = case.logits(dtype=torch.float32), case.labels(), case.arguments(dtype=torch.float32)
    given = {**case.resolved, **{key: value for key, value in arguments.items() if key in case.spec.tensors}}

    def loss(z: Tensor) -> Tensor:
        return case.spec.core(case.inputs(z), targets, **given).sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    one, two = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    torch.testing.assert_close(compiled(one), loss(two))
    torch.testing.assert_close(torch.autograd.grad(compiled(one), one)[0], torch.autograd.grad(loss(two), two)[0])
