"""Claims as checks: every comparison with its numbers, its 95 % interval and a verdict.

Comparisons of two cells are paired by seed. Diverged runs have no number and drop out of the pairs; because that flatters the side that diverged, a
diverged run on the side claimed to be better rules out *replicated*, and one on the other side rules out *contradicted*.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from losslab.errors import InputError
from losslab.papers import metrics, results
from losslab.papers.claimspec import Claim, Comparison, Selector
from losslab.papers.messages import show_path
from losslab.report import render
from losslab.report.stats import Summary, summarise

Outcome = Literal["replicated", "contradicted", "inconclusive", "not run"]
OUTCOMES: tuple[Outcome, ...] = ("replicated", "contradicted", "inconclusive", "not run")


@dataclass(frozen=True)
class Check:
    """One comparison. ``estimate`` is left - right (or - value); the interval is that of the estimate; ``n`` counts pairs."""

    left: str
    op: str
    right: str
    margin: float
    left_mean: float | None
    right_mean: float | None
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    verdict: Outcome
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim and what became of it at one scale."""

    id: str
    text: str
    evidence: str
    source: str
    scale: str
    verdict: Outcome
    checks: tuple[Check, ...]
    note: str = ""


def evaluate(
    claims: Iterable[Claim],
    frame: pd.DataFrame,
    scale: str,
    facts: Mapping[str, float] | None = None,
    metric: str = "test_acc",
) -> list[Verdict]:
    """Verdict of every claim. ``facts``: numbers that a notebook computed. ``metric``: where a claim names none."""
    return [_claim(claim, frame, scale, facts or {}, metric) for claim in claims]


def _claim(claim: Claim, frame: pd.DataFrame, scale: str, facts: Mapping[str, float], metric: str) -> Verdict:
    def made(verdict: Outcome, checks: Sequence[Check] = (), note: str = "") -> Verdict:
        return Verdict(claim.id, claim.text, claim.evidence, claim.source, scale, verdict, tuple(checks), note)

    if scale not in claim.scales:
        return made("not run", note=f"not meant for the scale {scale}")
    checks = []
    for comparison in claim.comparisons():
        try:
            checks.append(_fact(comparison, facts) if comparison.left is None else _cells(comparison, frame, metric))
        except InputError as error:
            raise InputError(f"claim {claim.id}: {error}") from None
    outcomes = [check.verdict for check in checks]
    absent = outcomes.count("not run")
    note = f"{absent} of {len(outcomes)} comparisons not run" if 0 < absent < len(outcomes) else ""
    return made(_together(outcomes, bool(claim.any)), checks, note)


def _together(outcomes: Sequence[Outcome], one_is_enough: bool) -> Outcome:
    if all(outcome == "not run" for outcome in outcomes):
        return "not run"
    yes, no = (any, all) if one_is_enough else (all, any)
    if yes(outcome == "replicated" for outcome in outcomes):
        return "replicated"
    return "contradicted" if no(outcome == "contradicted" for outcome in outcomes) else "inconclusive"


def _fact(comparison: Comparison, facts: Mapping[str, float]) -> Check:
    name, value = str(comparison.fact), float(comparison.value or 0.0)
    if name not in facts:
        return Check(
            name,
            comparison.op,
            f"{value:g}",
            comparison.margin,
            None,
            value,
            None,
            None,
            None,
            0,
            "",
            "not run",
            "the fact was not computed",
        )
    number = float(facts[name])
    if not math.isfinite(number):
        return Check(
            name,
            comparison.op,
            f"{value:g}",
            comparison.margin,
            None,
            value,
            None,
            None,
            None,
            0,
            "",
            "inconclusive",
            "the fact is not a number",
        )
    gap = number - value
    verdict = _decide(comparison.op, comparison.margin, gap, gap)
    return Check(name, comparison.op, f"{value:g}", comparison.margin, number, value, gap, None, None, 1, "", verdict)


def _cells(comparison: Comparison, frame: pd.DataFrame, metric: str) -> Check:
    assert comparison.left is not None
    left, left_lost = _numbers(comparison.left, frame, metric)
    if comparison.right is not None:
        right, right_lost = _numbers(comparison.right, frame, metric)
        gaps = {seed: left[seed] - right[seed] for seed in left if seed in right}
        shown, right_mean = comparison.right.text(), summarise(right.values()).mean
    else:
        value = float(comparison.value or 0.0)
        right_lost, gaps = 0, {seed: number - value for seed, number in left.items()}
        shown, right_mean = f"{value:g}", value
    summary = summarise(gaps.values())
    unit = metrics.describe(comparison.left.metric or metric).unit
    verdict, note = _judge(comparison, summary, left_lost, right_lost)
    return Check(
        comparison.left.text(), comparison.op, shown, comparison.margin, _tidy(summarise(left.values()).mean), _tidy(right_mean),
        _tidy(summary.mean), _tidy(summary.low), _tidy(summary.high), summary.n, unit, verdict, note,
    )  # fmt: skip


def _judge(comparison: Comparison, summary: Summary, left_lost: int, right_lost: int) -> tuple[Outcome, str]:
    lost = left_lost + right_lost
    notes = [f"{lost} run{'s' if lost > 1 else ''} diverged"] if lost else []
    if summary.n == 0:
        return ("inconclusive" if lost else "not run"), "; ".join(notes)
    if summary.n == 1:
        pointed = _decide(comparison.op, comparison.margin, summary.mean, summary.mean)
        return "inconclusive", "; ".join(
            [*notes, f"one seed; it {'agrees' if pointed == 'replicated' else 'disagrees'}"]
        )
    verdict = _decide(comparison.op, comparison.margin, summary.low, summary.high)
    better, worse = (left_lost, right_lost) if comparison.op.startswith(">") else (right_lost, left_lost)
    if comparison.op == "~":
        better = worse = lost
    if (verdict == "replicated" and better) or (verdict == "contradicted" and worse):
        verdict = "inconclusive"
    return verdict, "; ".join(notes)


def _decide(op: str, margin: float, low: float, high: float) -> Outcome:
    """The whole interval on the claimed side, on the other side, or neither."""
    if op in ("~", "=="):
        if -margin <= low and high <= margin:
            return "replicated"
        return "contradicted" if low > margin or high < -margin else "inconclusive"
    if op.startswith("<"):
        low, high = -high, -low
    above, below = (low >= margin, high < margin) if op.endswith("=") else (low > margin, high <= margin)
    return "replicated" if above else "contradicted" if below else "inconclusive"


def _numbers(selector: Selector, frame: pd.DataFrame, metric: str) -> tuple[dict[int, float], int]:
    """Number per seed, and how many runs diverged. Raises InputError where the selector fits several cells."""
    keys = {key: value for key, value in selector.given().items() if key not in ("metric", "reading")}
    part = results.choose(frame, keys).drop_duplicates(["run", "seed"])
    if part["seed"].duplicated().any():
        open_keys = [
            key
            for key in ("experiment", "dataset", "noise_type", "noise_rate", "setting")
            if part[key].nunique(dropna=False) > 1
        ]
        raise InputError(f"{selector.text()} fits several cells: say which {' and '.join(open_keys)}")
    lost = int((part["status"] == "diverged").sum())
    read = results.values(part, selector.metric or metric, selector.reading or "last")
    found = {int(seed): float(value) for seed, value in zip(part["seed"], read, strict=True) if math.isfinite(value)}
    if selector.minus is None:
        return found, lost
    taken, also_lost = _numbers(selector.minus, frame, metric)
    return {seed: value - taken[seed] for seed, value in found.items() if seed in taken}, max(lost, also_lost)


def _tidy(value: float) -> float | None:
    """Six significant digits; None where there is no number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def table(verdicts: Iterable[Verdict]) -> ClaimTable:
    """The verdicts as a table."""
    return ClaimTable(tuple(verdicts))


@dataclass(frozen=True)
class ClaimTable:
    """Verdicts in the forms of a report."""

    verdicts: tuple[Verdict, ...]

    def data(self) -> pd.DataFrame:
        """One row per comparison."""
        rows = [
            {"claim": v.id, "claim_verdict": v.verdict, **asdict(check)} for v in self.verdicts for check in v.checks
        ]
        return pd.DataFrame(rows, columns=["claim", "claim_verdict", *Check.__dataclass_fields__])

    def wide(self) -> pd.DataFrame:
        """One row per claim, as text."""
        rows = [(v.text, v.verdict, _evidence(v), v.evidence) for v in self.verdicts]
        return pd.DataFrame(
            rows,
            columns=["Claim", "Verdict", "Numbers", "Known from"],
            index=pd.Index([v.id for v in self.verdicts], name=""),
        )

    def markdown(self) -> str:
        """Markdown table."""
        return render.markdown_frame(self.wide()).replace("--:", "---")

    def html(self) -> str:
        """Plain HTML table."""
        frame = self.wide()
        safe = frame.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
        safe["Verdict"] = [
            f"<strong>{text}</strong>" if text in ("replicated", "contradicted") else text for text in safe["Verdict"]
        ]
        return render.html_frame(safe).replace('<td align="right">', '<td align="left">')

    def counts(self) -> dict[str, int]:
        """Number of claims per verdict."""
        return {outcome: sum(v.verdict == outcome for v in self.verdicts) for outcome in OUTCOMES}

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return "Claims(" + ", ".join(f"{count} {outcome}" for outcome, count in self.counts().items()) + ")"


def _evidence(verdict: Verdict) -> str:
    """The numbers of one claim in a line: the weakest comparison of the deciding kind, and how many agree."""
    if not verdict.checks:
        return verdict.note
    if len(verdict.checks) == 1:
        return "; ".join(filter(None, [describe(verdict.checks[0]), verdict.note]))
    tally = {outcome: sum(check.verdict == outcome for check in verdict.checks) for outcome in OUTCOMES}
    said = ", ".join(f"{count} {outcome}" for outcome, count in tally.items() if count)
    telling = [check for check in verdict.checks if check.verdict == verdict.verdict and check.estimate is not None]
    telling = telling or [check for check in verdict.checks if check.estimate is not None]
    if not telling:
        return said
    weakest = min(telling, key=_strength)
    return f"{said}; closest: {weakest.left} against {weakest.right}: {describe(weakest)}"


def _strength(check: Check) -> float:
    """Distance of the estimate from the margin on the claimed side."""
    estimate = check.estimate or 0.0
    if check.op == "~":
        return abs(check.margin - abs(estimate))
    return abs((-estimate if check.op.startswith("<") else estimate) - check.margin)


def describe(check: Check) -> str:
    """Numbers of one comparison: `94.10 against 77.30 %, difference +16.80 [12.10, 21.50], n = 3`."""
    if check.estimate is None:
        return check.note or "not run"
    unit = f" {check.unit}" if check.unit else ""
    if check.n == 1 and check.low is None and not check.unit and not check.note:
        return f"{check.left_mean:.6g} {check.op} {check.right}"
    text = f"{check.left_mean:.2f} against {check.right_mean:.2f}{unit}, difference {check.estimate:+.2f}"
    if check.low is not None and check.high is not None:
        text += f" [{check.low:.2f}, {check.high:.2f}]"
    text += f", n = {check.n}" + (f", margin {check.margin:g}" if check.margin else "")
    return text + (f" ({check.note})" if check.note else "")


def write(verdicts: Iterable[Verdict], path: Path) -> None:
    """claims.json: the same verdicts give the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps([asdict(verdict) for verdict in verdicts], indent=1, sort_keys=True, allow_nan=False) + "\n",
        encoding="utf-8",
    )


def read(path: Path) -> list[Verdict]:
    """Verdicts of a claims.json. Raises InputError."""
    try:
        content: list[dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))
        return [Verdict(**{**entry, "checks": tuple(Check(**check) for check in entry["checks"])}) for entry in content]
    except FileNotFoundError:
        raise InputError(f"{show_path(Path(path))}: no such file") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{show_path(Path(path))}: not a file of verdicts: {error}") from None
