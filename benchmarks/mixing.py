"""(f) Six losses in one cohort against one loss."""

from __future__ import annotations

from typing import Any

from benchmarks.common import LOSSES, Trainer, interleaved, medians, options, ratios, runs, save


def main() -> None:
    """Measures and writes."""
    given = options("Six losses mixed against one loss", rounds=7, models="mlp,cnn_small", widths="16,32")
    tables: dict[str, list[dict[str, Any]]] = {}
    for model in given.models.split(","):
        for width in map(int, given.widths.split(",")):
            sets = {
                "cross-entropy only": ("ce",),
                "GCE only": ("gce",),
                "six losses": LOSSES,
                "six, one without closed form": (*LOSSES[:5], "nfl"),
            }
            trainers = {
                n: Trainer([runs(width, model=model, losses=chosen)], given.device) for n, chosen in sets.items()
            }
            rates = interleaved({n: trainer.epochs for n, trainer in trainers.items()}, given.rounds, given.device)
            base = ratios(rates, "cross-entropy only")
            tables[f"{model}, M = {width}"] = [
                {"losses": name, "ms per run and epoch": 1000 / rate, "x time of one loss": 1 / base[name]}
                for name, rate in medians(rates).items()
            ]
    save("mixing", given, tables, losses=", ".join(LOSSES))


if __name__ == "__main__":
    main()
