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
COLUMNS = ("paper", "title", "scale", "items", "of", *VERDICTS, "runs", "diverged")


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
                runs.get("done", 0),
                runs.get("diverged", 0),
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def markdown(table: pd.DataFrame, up: str = "") -> str:
    """The overview as a Markdown table with links; `up` leads from where it is read to the repository's root."""
    head = [
        "paper",
        "tables, figures and algorithms regenerated",
        *(name.replace("_", " ") for name in VERDICTS),
        "notebook",
    ]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---", *["---:"] * (len(head) - 2), "---"]) + " |"]
    for row in table.to_dict("records"):
        folder = f"{up}replications/{row['paper']}"
        numbers = [f"{row['items']} of {row['of']}", *(str(row[name]) for name in VERDICTS)]
        ends = f"[{row['title']}]({folder}/)", f"[{row['scale']}]({folder}/results/executed.ipynb)"
        lines.append("| " + " | ".join([ends[0], *numbers, ends[1]]) + " |")
    return "\n".join(lines)


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
