"""Cards as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import LossCard, Properties

INPUTS = {"log_probs": "logits", "logits": "logits", "cosines": "cosines"}


def markdown(card: LossCard, level: int = 3, picture: str = "") -> str:
    """One section: formula, symbols, hyper-parameters, properties, variants, values per data set, sources; `picture` is a line below."""
    takes = INPUTS[card.input] + (", soft targets too" if card.soft_targets else "")
    needs = f"; needs {', '.join(f'`{name}`' for name in card.needs)}" if card.needs else ""
    lines = [f"{'#' * level} `{card.name}`: {card.title}", "", f"$${card.formula}$$" if card.formula else "", ""]
    lines += [f"Symbols: {'; '.join(_symbol(key, meaning) for key, meaning in card.symbols.items())}.", ""]
    lines += [f"{card.paper}{f', {card.equation}' if card.equation else ''}. Takes {takes}{needs}.", ""]
    lines += [picture, ""] if picture else []
    if card.parameters:
        lines += ["| hyper-parameter | default | range | meaning |", "| --- | --- | --- | --- |"]
        for name, param in card.parameters.items():
            span = param.range.replace("|", "\\|")
            lines.append(f"| `{name}` | {_number(param.default)} | {span} | {param.meaning.replace('|', '/')} |")
        lines.append("")
    lines += [f"- {line}" for line in _facts(card)] + [""]
    return "\n".join(lines)


def traits(found: Properties) -> dict[str, str]:
    """The claimed properties in a word each, "" where nothing is claimed: for tables."""
    ratio = "" if found.ratio is None else found.ratio.text
    return {
        "kind": found.kind,
        "symmetric": "yes" if found.symmetric and not found.condition else "if" if found.symmetric else "no",
        "bounded": "yes" if found.bounded else "below" if found.low is not None else "",
        "asymmetric": {"": "", "1": "always", "inf": "never"}.get(ratio, "from a ratio on"),
    }


def _symbol(key: str, meaning: str) -> str:
    """One symbol in words; letters and LaTeX commands are set as formulas."""
    return f"${key}$ {meaning}"


def _facts(card: LossCard) -> list[str]:
    facts = _claims(card.properties)
    facts += [f"variant `{name}`: {text}" for name, text in card.variants.items()]
    if card.defaults:
        facts.append("settings: " + "; ".join(f"{where}: {_values(given)}" for where, given in card.defaults.items()))
    if card.sources:
        facts.append("code compared: " + ", ".join(card.sources))
    facts += [f"cost: {card.cost}"] if card.cost else []
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
