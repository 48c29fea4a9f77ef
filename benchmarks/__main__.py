"""All benchmarks, one after the other: ``python -m benchmarks --device cpu``. Options are passed on to each."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("throughput", "images", "growth", "overhead", "mixing", "workers", "losses")


def main() -> int:
    """Runs each in a process of its own; 1 if one failed."""
    failed = []
    for name in NAMES:
        print(f"\n== {name}", flush=True)
        if subprocess.call([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]):
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
