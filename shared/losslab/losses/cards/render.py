"""Cards as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import LossCard, Properties

INPUTS = {"log_probs": "logits", "logits": "logits", "cosines": "cosines"}


def markdown(card: LossCard) -> str:
    """One section: formula, hyper-parameters, properties, variants, values per data set, sources."""
    takes = INPUTS[card.input] + (", soft targets too" if card.soft_targets else "")
    needs = f"; needs {', '.join(f'`{name}`' for name in card.needs)}" if card.needs else ""
    lines = [f"### `{card.name}`: {card.title}", "", f"$${card.formula}$$" if card.formula else "", ""]
    lines += [f"{card.paper}{f', {card.equation}' if card.equation else ''}. Takes {takes}{needs}.", ""]
    if card.parameters:
        lines += ["| hyper-parameter | default | range | meaning |", "| --- | --- | --- | --- |"]
        for name, param in card.parameters.items():
            span = param.range.replace("|", "\\|")
            lines.append(f"| `{name}` | {_number(param.default)} | {span} | {param.meaning.replace('|', '/')} |")
        lines.append("")
    lines += [f"- {line}" for line in _facts(card)] + [""]
    return "\n".join(lines)


def _facts(card: LossCard) -> list[str]:
    facts = _claims(card.properties)
    facts += [f"variant `{name}`: {text}" for name, text in card.variants.items()]
    if card.defaults:
        facts.append("settings: " + "; ".join(f"{where}: {_values(given)}" for where, given in card.defaults.items()))
    if card.sources:
        facts.append("code compared: " + ", ".join(card.sources))
    return facts + ([card.notes] if card.notes else [])


def _claims(found: Properties) -> list[str]:
    claims = [f"{found.kind} in the sense of active and passive losses"] if found.kind in ("active", "passive") else []
    claims += [
        f"{side} {bound.text}" for side, bound in (("lower bound:", found.low), ("upper bound:", found.high)) if bound
    ]
    if found.symmetric and found.class_sum_low:
        claims.append(f"symmetric; sum over labels: {found.class_sum_low.text}")
    elif found.symmetric:
        claims.append("symmetric")
    elif found.class_sum_low:
        high = found.class_sum_high
        claims.append(
            f"not symmetric; sum over labels: at least {found.class_sum_low.text}"
            + (f", at most {high.text}" if high else "")
        )
    if found.ratio is not None:
        words = {"inf": "not asymmetric for any label weights", "1": "asymmetric for all label weights"}
        sentence = f"asymmetric where the largest label weight is at least r times the next, r = {found.ratio.text}"
        claims.append(words.get(found.ratio.text, sentence))
    return claims + ([f"condition: {found.condition}"] if found.condition else [])


def _values(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_number(value)}" for name, value in given.items())


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
