"""An independent form of every loss: plain Python floats and loops, straight from the formulas, one sample at a time.

Each oracle takes a list of rows (probabilities, logits or cosines, as the loss does), the labels and keyword arguments, and
returns a list of values (or one number for a loss of the batch). Nothing here uses torch or the library.
"""

from __future__ import annotations

import math
from typing import Any

Row = list[float]
A_CODE = math.log(1e-4)


def softmax(row: Row) -> Row:
    top = max(row)
    terms = [math.exp(v - top) for v in row]
    return [t / sum(terms) for t in terms]


def _of_p(formula: Any) -> Any:
    """An oracle of p = p_y alone, on logits."""

    def oracle(rows: list[Row], labels: list[int], **h: Any) -> Row:
        return [formula(softmax(row)[y], len(row), **h) for row, y in zip(rows, labels, strict=True)]

    return oracle


def _of_row(formula: Any, prepare: Any = softmax) -> Any:
    """An oracle of one row of probabilities (or of whatever `prepare` makes) and the label."""

    def oracle(rows: list[Row], labels: list[int], **h: Any) -> Row:
        return [formula(prepare(row), y, **h) for row, y in zip(rows, labels, strict=True)]

    return oracle


def _same(row: Row) -> Row:
    return row


def _l_q(p: float, q: float) -> float:
    return (1 - p**q) / q


def _mae(row: Row, y: int, variant: str = "paper") -> float:
    total = 0.0
    for k, p in enumerate(row):
        total += abs((1.0 if k == y else 0.0) - p)
    return total if variant == "paper" else total / 2


def _mse(row: Row, y: int) -> float:
    return sum(((1.0 if k == y else 0.0) - p) ** 2 for k, p in enumerate(row))


def _smoothing(row: Row, y: int, eps: float = 0.1, variant: str = "paper") -> float:
    total = 0.0
    for k, p in enumerate(row):
        if variant == "paper":
            target = (1 - eps) * (k == y) + eps / len(row)
        else:
            target = (1 - eps - eps / 10) * (k == y) + eps / 10
        total -= target * math.log(p)
    return total


def _label_aware(
    rows: list[Row],
    labels: list[int],
    class_counts: Row,
    head: float = 0.3,
    tail: float = 0.0,
    shape: str = "concave",
    power: float = 2.0,
    variant: str = "paper",
) -> Row:
    out = []
    for row, y in zip(rows, labels, strict=True):
        p, n, low, high = softmax(row), class_counts[y], min(class_counts), max(class_counts)
        angle = (n - low) * math.pi / (2 * (high - low))
        eps = {
            "concave": tail + (head - tail) * math.sin(angle),
            "linear": tail + (head - tail) * (n - low) / (high - low),
            "convex": head + (head - tail) * math.sin(1.5 * math.pi + angle),
            "power": tail + (head - tail) * ((n - low) / (high - low)) ** power,
        }[shape]
        off = eps / (len(p) - 1) if variant == "paper" else eps / len(p)
        on = 1 - eps if variant == "paper" else 1 - eps + off
        out.append(-sum((on if k == y else off) * math.log(v) for k, v in enumerate(p)))
    return out


def _rce(row: Row, y: int, A: float = A_CODE) -> float:
    return -sum(p * (0.0 if k == y else A) for k, p in enumerate(row))


def _sce(row: Row, y: int, alpha: float = 0.1, beta: float = 1.0, A: float = A_CODE) -> float:
    return -alpha * math.log(row[y]) + beta * _rce(row, y, A)


def _truncated(
    rows: list[Row], labels: list[int], q: float = 0.7, k: float = 0.5, variant: str = "paper", state: Any = None
) -> Row:
    weights = state["weight"] if state else [1.0] * len(rows)
    kept = sum(1 for w in weights if w == 1.0)
    out = []
    for row, y, w in zip(rows, labels, weights, strict=True):
        p = softmax(row)[y]
        if variant == "direct":
            out.append(_l_q(p if p > k else k, q))
        else:
            value = w * _l_q(p, q) - w * _l_q(k, q)
            out.append(value * len(rows) / kept if variant == "paper" else value)
    return out


def _comp_sum(p: float, _: int, tau: float = 1.5) -> float:
    u = 1 / p - 1
    return math.log(1 + u) if tau == 1 else ((1 + u) ** (1 - tau) - 1) / (1 - tau)


def _imae(rows: list[Row], labels: list[int], T: float = 8.0, variant: str = "paper") -> Row:
    chosen = [softmax(row)[y] for row, y in zip(rows, labels, strict=True)]
    weights = [math.exp(T * p * (1 - p)) for p in chosen]
    if variant == "paper":
        return [-w / (2 * (1 - p)) * math.log(p) for w, p in zip(weights, chosen, strict=True)]
    total = sum(weights) + 1e-8
    return [-len(rows) * w / total / (2 * (1 - p) + 1e-6) * math.log(p) for w, p in zip(weights, chosen, strict=True)]


def _det(matrix: list[Row]) -> float:
    if len(matrix) == 1:
        return matrix[0][0]
    total = 0.0
    for j, value in enumerate(matrix[0]):
        minor = [row[:j] + row[j + 1 :] for row in matrix[1:]]
        total += (-1) ** j * value * _det(minor)
    return total


def _dmi(rows: list[Row], labels: list[int], eps: float = 1e-3, variant: str = "paper") -> float:
    size, count = len(rows[0]), len(rows)
    table = [[0.0] * size for _ in range(size)]
    for row, y in zip(rows, labels, strict=True):
        for c, p in enumerate(softmax(row)):
            table[c][y] += p
    if variant == "official":
        return -math.log(abs(_det(table)) + eps)
    square = [
        [
            sum(table[r][i] * table[r][j] for r in range(size)) / count**2 + (eps / count) ** 2 * (i == j)
            for j in range(size)
        ]
        for i in range(size)
    ]
    return -0.5 * math.log(_det(square))


def _nfl(row: Row, y: int, gamma: float = 0.5, variant: str = "paper") -> float:
    terms = [(1 - p) ** gamma * -math.log(p) for p in row]
    return terms[y] / sum(terms)


def _nrce(row: Row, y: int, A: float = A_CODE, variant: str = "paper") -> float:
    value = _rce(row, y, A)
    return (
        value / sum(_rce(row, j, A) for j in range(len(row))) if variant == "paper" else value * 0.25 * (len(row) - 1)
    )


def _margin(target: Any) -> Any:
    def formula(row: Row, y: int, s: float = 10.0, **h: Any) -> float:
        own = math.exp(s * target(row[y], **h))
        return -math.log(own / (own + sum(math.exp(s * c) for k, c in enumerate(row) if k != y)))

    return _of_row(formula, _same)


def _psi(c: float, m: float = 4.0) -> float:
    theta = math.acos(c)
    turn = int(m * theta / math.pi)
    return (-1) ** turn * math.cos(m * theta) - 2 * turn


def _gm(
    row: Row, y: int, s: float = 10.0, alpha1: float = 1.0, alpha2: float = 1.0, beta1: float = 0.0, beta2: float = 0.0
) -> float:
    rest = sum(math.exp(s * c) for k, c in enumerate(row) if k != y)
    return -math.log(math.exp(s * (alpha1 * row[y] + beta1)) / (math.exp(s * (alpha2 * row[y] + beta2)) + rest))


def _lm(row: Row, y: int, s: float = 10.0, variant: str = "paper") -> float:
    value = -math.log(math.exp(s * row[y]) / sum(math.exp(s * c) for k, c in enumerate(row) if k != y))
    return value if variant == "unscaled" else value / s


def _ldam(rows: list[Row], labels: list[int], class_counts: Row, s: float = 30.0, m: float = 0.5) -> Row:
    raw = [n**-0.25 for n in class_counts]
    margins = [m * value / max(raw) for value in raw]
    one = _margin(lambda c, shift: c - shift)
    return [one([row], [y], s=s, shift=margins[y])[0] for row, y in zip(rows, labels, strict=True)]


def _bootstrap_soft(row: Row, y: int, beta: float = 0.95) -> float:
    return -sum((beta * (k == y) + (1 - beta) * p) * math.log(p) for k, p in enumerate(row))


def _bootstrap_hard(row: Row, y: int, beta: float = 0.8) -> float:
    best = row.index(max(row))
    return -sum((beta * (k == y) + (1 - beta) * (k == best)) * math.log(p) for k, p in enumerate(row))


def _forward(row: Row, y: int, transition: list[Row]) -> float:
    return -math.log(sum(row[i] * transition[i][y] for i in range(len(row))))


def _solve(matrix: list[Row], right: Row) -> Row:
    """Gauss-Jordan elimination with row exchanges."""
    rows = [row[:] + [value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda r, i=i: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(len(rows)):
            if r != i:
                rows[r] = [v - rows[r][i] * w for v, w in zip(rows[r], rows[i], strict=True)]
    return [row[-1] for row in rows]


def _backward(row: Row, y: int, transition: list[Row]) -> float:
    return _solve(transition, [-math.log(p) for p in row])[y]


def _nlnl(row: Row, y: int, class_counts: Row | None = None, negatives: int = 1) -> float:
    others = [-math.log(max(1 - p, 1e-5)) for k, p in enumerate(row) if k != y]
    weight = max(class_counts) / class_counts[y] if class_counts else 1.0
    return weight * sum(others) / len(others)


def _elr(rows: list[Row], labels: list[int], lam: float = 3.0, beta: float = 0.7, state: Any = None) -> Row:
    out = []
    for i, (row, y) in enumerate(zip(rows, labels, strict=True)):
        p = softmax(row)
        value = -math.log(p[y])
        if state:
            kept = [min(max(v, 1e-4), 1 - 1e-4) for v in p]
            average = [beta * t + (1 - beta) * v / sum(kept) for t, v in zip(state["average"][i], kept, strict=True)]
            value += lam * math.log(1 - sum(v * t for v, t in zip(kept, average, strict=True)))
        out.append(value)
    return out


def _worst(row: Row, y: int, lam: float, c: float) -> float:
    terms = [math.exp((z - row[y] + (0.0 if j == y else c)) / lam) for j, z in enumerate(row)]
    return lam * math.log(sum(terms) / len(row))


def _ldr(row: Row, y: int, lam: float = 1.0, c: float = 2.0, variant: str = "paper") -> float:
    if variant == "official":
        positive = [math.log(1 + math.exp(z)) for z in row]
        row = [v * len(row) / sum(positive) for v in positive]
    return _worst(row, y, lam, c)


def _aldr(
    rows: list[Row],
    labels: list[int],
    lam: float = 1.0,
    c: float = 1.0,
    alpha: float = 2.0,
    variant: str = "paper",
    state: Any = None,
) -> Row:
    out = []
    for i, (row, y) in enumerate(zip(rows, labels, strict=True)):
        size = math.log(len(row))
        if variant == "official":
            row = [z * len(row) / sum(abs(v) for v in row) for z in row]
        own = lam
        if state:
            p = softmax([z / (lam * state["ratio"][i]) for z in row])
            own = lam - lam / (alpha * size) * sum(v * math.log(len(row) * v) for v in p)
        out.append(_worst(row, y, own, c) - alpha * size / (2 * lam) * (own - lam) ** 2)
    return out


def _squentropy(row: Row, y: int) -> float:
    return -math.log(softmax(row)[y]) + sum(z * z for k, z in enumerate(row) if k != y) / (len(row) - 1)


def _encouraging(p: float, _: int, le: float = 0.75) -> float:
    if le == 1.0:
        return -math.log(p) + math.log(1 - p)
    bonus = math.log(1 - p) if p <= le else math.log(1 - le) - (p - le) / (1 - le)
    return -math.log(p) + bonus


ORACLES: dict[str, Any] = {
    "ce": _of_p(lambda p, K: -math.log(p)),
    "mae": _of_row(_mae),
    "mse": _of_row(_mse),
    "label_smoothing": _of_row(_smoothing),
    "label_aware_smoothing": _label_aware,
    "focal": _of_p(lambda p, K, gamma=0.5, variant="paper": -((1 - p) ** gamma) * math.log(p)),
    "poly1": _of_p(lambda p, K, eps=1.0: -math.log(p) + eps * (1 - p)),
    "gce": _of_p(lambda p, K, q=0.7: _l_q(p, q)),
    "truncated_gce": _truncated,
    "comp_sum": _of_p(_comp_sum),
    "rce": _of_row(_rce),
    "sce": _of_row(_sce),
    "imae": _imae,
    "dmi": _dmi,
    "nce": _of_row(lambda row, y: math.log(row[y]) / sum(math.log(p) for p in row)),
    "nfl": _of_row(_nfl),
    "ngce": _of_row(lambda row, y, q=0.7: _l_q(row[y], q) / sum(_l_q(p, q) for p in row)),
    "nmae": _of_row(
        lambda row, y, variant="paper": _mae(row, y) / (2 * (len(row) - 1)) * (1.0 if variant == "paper" else 0.5)
    ),
    "nrce": _of_row(_nrce),
    "agce": _of_p(lambda p, K, a=0.6, q=0.6: ((a + 1) ** q - (a + p) ** q) / q),
    "aul": _of_row(lambda row, y, a=5.5, p=3.0: ((a - row[y]) ** p - (a - 1) ** p) / p),
    "ael": _of_p(lambda p, K, a=2.5: math.exp(-p / a)),
    "normface": _margin(lambda c: c),
    "cosface": _margin(lambda c, m=0.1: c - m),
    "arcface": _margin(lambda c, m=0.1: math.cos(math.acos(c) + m)),
    "sphereface": _margin(_psi),
    "gm_softmax": _of_row(_gm, _same),
    "lm_softmax": _of_row(_lm, _same),
    "nsl": _of_row(lambda row, y, s=1.0: -s * row[y], _same),
    "ldam": _ldam,
    "bootstrap_soft": _of_row(_bootstrap_soft),
    "bootstrap_hard": _of_row(_bootstrap_hard),
    "d2l": _of_row(lambda row, y, alpha=1.0: _bootstrap_hard(row, y, alpha)),
    "forward": _of_row(_forward),
    "backward": _of_row(_backward),
    "nlnl": _of_row(_nlnl),
    "elr": _elr,
    "ldr_kl": _of_row(_ldr, _same),
    "aldr_kl": _aldr,
    "squentropy": _of_row(_squentropy, _same),
    "encouraging": _of_p(_encouraging),
}


def evaluate(name: str, rows: list[Row], labels: list[int], **h: Any) -> Any:
    """The oracle's values; sums are added up from their parts, with keywords sorted out by what each part accepts."""
    if "+" not in name:
        return ORACLES[name](rows, labels, **h)
    first, second = name.split("+")
    alpha, beta, state = h.pop("alpha"), h.pop("beta"), h.pop("state", None)
    parts = []
    for part in (first, second):
        given = {
            key: value
            for key, value in h.items()
            if key in ("transition", "class_counts")
            and part in ("forward", "backward", "ldam", "label_aware_smoothing")
        }
        own = {
            key.removeprefix(f"{part}."): value for key, value in (state or {}).items() if key.startswith(f"{part}.")
        }
        parts.append(ORACLES[part](rows, labels, **given, **({"state": own} if own else {})))
    return [alpha * one + beta * two for one, two in zip(*parts, strict=True)]
