"""All papers at a glance: what is there, what was regenerated, what became of the claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab import params, paths
from losslab.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = ("replicated", "contradicted", "inconclusive", "not_run")
COLUMNS = ("paper", "title", "scale", "items", "of", *VERDICTS, "trainings", "diverged")


def metrics(folder: Path) -> dict[str, Any] | None:
    """Content of a results folder's metrics.json; None where there is none."""
    file = folder / "metrics.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise InputError(f"{paths.show(file)} is not JSON: {problem}") from None
    if not isinstance(content, dict) or "scale" not in content:
        raise InputError(f"{paths.show(file)} is not what a notebook of a paper writes")
    return content


def overview() -> pd.DataFrame:
    """One row per paper of params.yaml, in its order; numbers are 0 where nothing was regenerated yet."""
    import pandas as pd

    from losslab import papers
    from losslab.report.inventory import EXTRA

    rows = []
    for slug in params.load().papers:
        paper = papers.load(slug)
        found = metrics(paths.results(slug)) or {}
        items, claims, runs = (found.get(key, {}) for key in ("items", "claims", "runs"))
        rows.append(
            (
                slug,
                f"{paper.title} ({paper.venue})",
                found.get("scale", "not run"),
                items.get("regenerated", 0),
                items.get("of", sum(not item.id.startswith(EXTRA) for item in paper.items)),
                *(claims.get(name, 0) for name in VERDICTS),
                found.get("trainings", 0),
                runs.get("diverged", 0),
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def markdown(table: pd.DataFrame, up: str = "") -> str:
    """The overview as a Markdown table with links and a line of totals; `up` leads from where it is read to the repository's root."""
    head = ["paper", "items", *(name.replace("_", " ") for name in VERDICTS), "trainings", "notebook"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---", *["---:"] * (len(head) - 2), "---"]) + " |"]
    for row in table.to_dict("records"):
        folder = f"{up}replications/{row['paper']}"
        numbers = [f"{row['items']} of {row['of']}", *(str(row[name]) for name in VERDICTS), str(row["trainings"])]
        ends = f"[{row['title']}]({folder}/README.md)", f"[{row['scale']}]({folder}/results/executed.ipynb)"
        lines.append("| " + " | ".join([ends[0], *numbers, ends[1]]) + " |")
    sums = [f"{table['items'].sum()} of {table['of'].sum()}", *(str(table[name].sum()) for name in VERDICTS)]
    lines.append("| " + " | ".join(["all", *sums, "", f"[scorecard]({up}notebooks/executed/scorecard.ipynb)"]) + " |")
    return "\n".join(lines)


def ranks() -> pd.DataFrame:
    """Kendall's tau-b between the published and the replicated order of the methods: one row per table that has enough of both."""
    import pandas as pd

    from losslab import papers

    rows = []
    for slug in params.load().papers:
        titles = {item.id: item.title for item in papers.load(slug).items}
        found = metrics(paths.results(slug)) or {}
        for item, tau in found.get("kendall_tau", {}).items():
            rows.append((slug, item, titles.get(item, ""), tau))
    return pd.DataFrame(rows, columns=["paper", "item", "title", "tau"])


def contradicted(count: int | None = None) -> pd.DataFrame:
    """The contradicted claims of all papers, those first whose interval lies furthest on the other side.

    ``distance`` is how far the nearer end of the interval is from the claimed side, in the unit of the claim's worst check.
    """
    import pandas as pd

    rows = []
    for slug in params.load().papers:
        for claim in _claims(paths.results(slug)):
            if claim["verdict"] != "contradicted":
                continue
            worst = max(claim["checks"], key=_distance, default=None)
            if worst is None:
                continue
            rows.append(
                (slug, claim["id"], claim["text"], claim["evidence"], _distance(worst), worst["unit"], worst["n"])
            )
    columns = ["paper", "claim", "text", "evidence", "distance", "unit", "n"]
    table = pd.DataFrame(rows, columns=columns)
    order = table.assign(percent=table["unit"] == "%").sort_values(
        ["percent", "distance"], ascending=False, kind="stable"
    )
    order = order.drop(columns="percent").reset_index(drop=True)
    return order if count is None else order.head(count)


def _claims(folder: Path) -> list[dict[str, Any]]:
    file = folder / "claims.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def _distance(check: dict[str, Any]) -> float:
    """How far a check's interval stays away from the claimed side; negative where it does not."""
    low, high, margin = check["low"], check["high"], check["margin"]
    if check["verdict"] != "contradicted" or low is None or high is None:
        return -1.0
    if check["op"].startswith("<"):
        return low + margin
    return margin - high if check["op"].startswith(">") else max(low, -high) - margin


def finish(table: pd.DataFrame) -> None:
    """Write scorecard.json where `losslab execute` says; nowhere when the notebook is run by hand."""
    folder = paths.named_results()
    if folder is None:
        return
    content = {
        "papers": len(table),
        "claims": {name: int(table[name].sum()) for name in VERDICTS},
        "by_paper": {
            row["paper"]: {name: int(row[name]) for name in ("items", *VERDICTS)} for row in table.to_dict("records")
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scorecard.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
