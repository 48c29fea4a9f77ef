"""A small sweep: as functions for the tests, and as a program that they start, kill and start again."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from small import BLOBS, run  # noqa: E402

from losslab import training  # noqa: E402
from losslab.runs import Run, Store  # noqa: E402

SINGLE = {"precision": "float32", "batch_size": 32}


def long_runs(epochs: int) -> list[Run]:
    """A cohort of two runs, and another one that takes a fifth of the time."""
    return [
        run(loss, data=BLOBS, recipe={**SINGLE, "epochs": length})
        for length in (epochs, epochs // 5)
        for loss in ("gce", "elr")
    ]


def short_runs() -> list[Run]:
    """Three cohorts of one run."""
    return [run("ce", data=BLOBS, recipe={**SINGLE, "epochs": epochs}) for epochs in (2, 3, 4)]


def body(store: Store, one: Run) -> str:
    """All of a stored record that must not depend on how it was made."""
    record = store.get(one)
    assert record is not None
    content = json.loads(record.to_json())
    return json.dumps({k: v for k, v in content.items() if k not in ("cost", "provenance", "checksum")}, sort_keys=True)


def main() -> None:
    """Trains the sweep and prints which runs this process trained."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--long", type=int, default=100)
    given = parser.parse_args()
    summary = training.train(
        [*long_runs(given.long), *short_runs()], Store(given.store), device="cpu", workers=given.workers
    )
    print(json.dumps({"trained": summary.trained, "left": summary.left}))


if __name__ == "__main__":
    main()
