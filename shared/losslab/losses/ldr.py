"""Label-distributionally robust losses: a soft maximum over the labels' margin violations, with a temperature."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import Number, per_class, pick, target_mask
from losslab.losses.spec import LossSpec, Param, StateSpec, family, variant

State = dict[str, Tensor]


def _soft_worst(logits: Tensor, targets: Tensor, lam: Number, c: Number) -> Tensor:
    """`lam log((1 / K) sum_j exp((z_j - z_y + c 1[j != y]) / lam))`."""
    num_classes = logits.shape[-1]
    gaps = logits - pick(logits, targets).unsqueeze(-1)
    gaps = gaps + per_class(c) * (~target_mask(targets, num_classes)).to(logits.dtype)
    size = logits.new_full((), float(num_classes))
    return lam * (torch.logsumexp(gaps / per_class(lam), dim=-1) - size.log())


def _positive(scale: Tensor) -> Tensor:
    return scale.clamp_min(torch.finfo(scale.dtype).eps)


def ldr_kl(logits: Tensor, targets: Tensor, *, lam: Number = 1.0, c: Number = 2.0, variant: str = "paper") -> Tensor:
    """`lam log((1/K) sum_j exp((z_j - z_y + c 1[j != y]) / lam))`. `(..., N, K)` -> `(..., N)`.

    lam = 1, c = 0: cross entropy minus log K; lam -> 0: the multi-class hinge with margin c.
    official: z is replaced by softplus(z) divided by its mean over the classes.
    """
    if variant == "official":
        logits = torch.nn.functional.softplus(logits)
        logits = logits / _positive(logits.mean(-1, keepdim=True))
    return _soft_worst(logits, targets, lam, c)


def _sizes(logits: Tensor, variant: str) -> Tensor:
    return logits / _positive(logits.abs().mean(-1, keepdim=True)) if variant == "official" else logits


def _temperature(state: State | None, logits: Tensor, lam: Number, alpha: Number) -> Tensor:
    """`lam - lam / (alpha log K) KL(softmax(z / previous) || uniform)`, detached; without state it is lam itself."""
    ones = torch.ones_like(logits[..., 0]).detach()
    if state is None:
        return lam * ones
    log_k = logits.new_full((), float(logits.shape[-1])).log()
    previous = lam * state["ratio"].to(logits.dtype)
    log_p = torch.log_softmax(logits.detach() / previous.unsqueeze(-1), -1)
    divergence = (log_p.exp() * log_p).sum(-1) + log_k
    return lam * (ones - (divergence / (alpha * log_k)).clamp(0.0, 1.0 - 1e-3))


def aldr_kl(
    logits: Tensor,
    targets: Tensor,
    *,
    lam: Number = 1.0,
    c: Number = 1.0,
    alpha: Number = 2.0,
    variant: str = "paper",
    state: State | None = None,
) -> Tensor:
    """LDR-KL with a temperature per sample, low where the model is unsure. `(..., N, K)` -> `(..., N)`.

    `lam_i log(...) - alpha log K / (2 lam) (lam_i - lam)^2` with the detached
    `lam_i = lam - lam / (alpha log K) KL(softmax(z / lam_i') || 1/K)` from the previous lam_i'.
    official: z is divided by the mean of its absolute values. Without state lam_i = lam.
    """
    scaled = _sizes(logits, variant)
    own = _temperature(state, scaled, lam, alpha)
    log_k = logits.new_full((), float(logits.shape[-1])).log()
    return _soft_worst(scaled, targets, own, c) - alpha * log_k / (2.0 * lam) * (own - lam) ** 2


def start(num_models: int, num_samples: int, num_classes: int, targets: Tensor) -> State:
    """Every temperature starts at lam; kept as a ratio to lam."""
    return {"ratio": targets.new_ones((num_models, num_samples), dtype=torch.get_default_dtype())}


def move(
    rows: State,
    logits: Tensor,
    targets: Tensor,
    *,
    lam: Number = 1.0,
    c: Number = 1.0,
    alpha: Number = 2.0,
    variant: str = "paper",
) -> State:
    """The temperatures that the core used for this batch."""
    return {"ratio": _temperature(rows, _sizes(logits, variant), lam, alpha) / lam}


_LAM = Param(1.0, 0, None, low_open=True, meaning="temperature: low is the worst label, high the average over labels")

SPECS = family(
    __name__,
    LossSpec(
        "ldr_kl",
        ldr_kl,
        input="logits",
        params={
            "lam": _LAM,
            "c": Param(2.0, 0, None, meaning="margin"),
            "variant": variant("paper", "official", meaning="official: softplus of the logits, divided by its mean"),
        },
    ),
    LossSpec(
        "aldr_kl",
        aldr_kl,
        input="logits",
        params={
            "lam": _LAM,
            "c": Param(1.0, 0, None, meaning="margin"),
            "alpha": Param(2.0, 1, None, low_open=True, meaning="large alpha: temperatures close to lam"),
            "variant": variant("paper", "official", meaning="official: logits divided by their mean absolute value"),
        },
        state=StateSpec(init=start, update=move),
    ),
)
