"""Training on a Dask cluster of separate worker processes: the same records as in this process, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from small import BLOBS, run
from sweep import SINGLE, body, long_runs, short_runs

from losslab import training
from losslab.errors import InputError
from losslab.runs import Store

distributed = pytest.importorskip("distributed")


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True])
def test_a_cluster_gives_the_records_of_one_process(tmp_path: Path, kill: bool) -> None:
    parent = run("ce", data=BLOBS, recipe={**SINGLE, "epochs": 4})
    child = run("forward", data=BLOBS, parent=parent, parent_gives="transition", recipe={**SINGLE, "epochs": 3})
    runs = [*long_runs(150), *short_runs(), parent, child]
    alone, spread = Store(tmp_path / "alone"), Store(tmp_path / "spread")
    assert training.train(runs, alone, device="cpu", workers=1).complete
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        ended = threading.Event()

        def strike() -> None:
            """Kills a worker as soon as some work has a lease, so in the middle of it."""
            while not ended.wait(0.02):
                leased = list((spread.folder / "leases").glob("[0-9a-f]*"))
                if leased:
                    time.sleep(0.3)
                    holders = {int(path.read_text().split()[1]) for path in leased if path.exists()}
                    victims = [w.pid for w in cluster.workers.values() if w.pid in holders] or [
                        w.pid for w in cluster.workers.values()
                    ]
                    killed.append(victims[0])
                    os.kill(victims[0], signal.SIGKILL)
                    return

        striker = threading.Thread(target=strike)
        if kill:
            striker.start()
        try:
            summary = training.train(runs, spread, device="cpu", dask=cluster.scheduler_address)
        finally:
            ended.set()
            if kill:
                striker.join()
    assert bool(killed) == kill
    assert summary.complete and not summary.diverged
    assert sorted(set(summary.trained)) == sorted({one.hash for one in runs})
    for one in runs:
        assert body(alone, one) == body(spread, one), one.label()
    assert spread.check() == (len({one.hash for one in runs}), [])
    assert not list((spread.folder / "leases").glob("[0-9a-f]*"))


def test_nobody_at_the_address_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from losslab.training import cluster

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(cluster, "TIMEOUT", "1s")
    with pytest.raises(InputError, match="no Dask scheduler answers at"):
        training.train(short_runs(), Store(tmp_path), device="cpu", dask=address)
    assert not list(tmp_path.rglob("*.json"))
