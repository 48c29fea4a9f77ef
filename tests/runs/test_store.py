"""The store gives back what was put in, notices every damage, and survives a full disk."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from stored import some_record, some_run, some_weights

from losslab.runs import Damaged, Record, Store, read_curve
from losslab.runs import files as writing
from losslab.runs.record import checksum
from losslab.runs.spec import canonical


def path_of(store: Store, run_hash: str) -> Path:
    return store.folder / "records" / run_hash[:2] / f"{run_hash}.json"


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store, run = Store(tmp_path / "store"), some_run()
    assert store.get(run) is None
    assert store.missing([run, run, some_run(seed=1)]) == [run, some_run(seed=1)]
    store.put(some_record(run), some_weights())
    found = store.get(run)
    assert found is not None
    assert found.run == run
    assert found.curves == some_record(run).curves
    assert found.final == {"fit_noisy": None, "fit_clean": 0.75}
    assert found.to_json() == path_of(store, run.hash).read_text()
    weights = store.weights(run)
    assert weights is not None
    assert all(torch.equal(weights[name], value) for name, value in some_weights().items())
    assert store.missing([run]) == []
    assert [record.run for record in store.records()] == [run]
    assert store.check() == (1, [])


def test_numbers_with_many_digits_in_a_run_are_kept(tmp_path: Path) -> None:
    store, run = Store(tmp_path), some_run(recipe={"epochs": 2, "lr": 0.1 / 3, "momentum": 0.1 * 3})
    store.put(some_record(run, accuracy=1 / 3))
    found = store.get(run)
    assert found is not None
    assert found.run.recipe.lr == 0.1 / 3
    assert found.curves["test_acc"][1] == 0.3333333


def test_weights_are_needed_by_some(tmp_path: Path) -> None:
    store, run = Store(tmp_path), some_run()
    store.put(some_record(run))
    assert store.missing([run]) == []
    assert store.missing([run], need_weights=frozenset([run.hash])) == [run]
    assert store.weights(run) is None
    store.put(some_record(run), some_weights())
    assert store.missing([run], need_weights=frozenset([run.hash])) == []
    path_of(store, run.hash).with_suffix(".safetensors").write_bytes(b"\0" * 64)
    assert store.weights(run) is None
    assert store.missing([run], need_weights=frozenset([run.hash])) == [run]
    assert store.missing([run]) == []


def test_records_of_other_code_do_not_count(tmp_path: Path) -> None:
    store, run = Store(tmp_path), some_run()
    store.put(some_record(run, fingerprint="0" * 16))
    assert store.get(run) is None
    assert store.missing([run]) == [run]
    assert store.get(run, any_version=True) is not None
    assert store.check() == (1, [])


def _flip(data: bytes, at: float, bit: int = 1) -> bytes:
    place = int(at * (len(data) - 1))
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def _rewritten(data: bytes, **changes: Any) -> bytes:
    body = {**json.loads(data), **changes}
    body.pop("checksum")
    return canonical({**body, "checksum": checksum(body)}).encode()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut by one": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "garbage": lambda data: os.urandom(200),
    "other text": lambda data: b"[1, 2, 3]",
    "deep": lambda data: b"[" * 100_000,
    "not a number": lambda data: b'{"schema": 1, "checksum": "x", "a": NaN}',
    "infinity": lambda data: data.replace(b"0.25", b"Infinity"),
    "a changed value": lambda data: data.replace(b"0.25", b"0.26"),
    "another schema": lambda data: _rewritten(data, schema=2),
    "another run": lambda data: _rewritten(data, hash="0" * 20),
    "another description": lambda data: _rewritten(data, run=some_run(seed=5).content()),
    "an invalid description": lambda data: _rewritten(data, run={"seed": "x"}),
    "another run's record": lambda data: some_record(some_run(seed=5)).to_json().encode(),
    **{f"a flipped bit at {at:.0%}": partial(_flip, at=at) for at in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)},
    **{f"a flipped high bit at {at:.0%}": partial(_flip, at=at, bit=128) for at in (0.2, 0.6)},
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_the_run_counts_as_missing(tmp_path: Path, kind: str) -> None:
    store, run, other = Store(tmp_path), some_run(), some_run(seed=1)
    store.put(some_record(run))
    store.put(some_record(other))
    path = path_of(store, run.hash)
    whole = path.read_bytes()
    assert DAMAGE[kind](whole) != whole
    path.write_bytes(DAMAGE[kind](whole))
    assert store.get(run) is None
    assert store.missing([run, other]) == [run]
    with pytest.raises(Damaged):
        store.read(run.hash)
    sound, problems = store.check()
    assert sound == 1
    assert [problem.path for problem in problems] == [path]
    assert problems[0].reason
    assert [record.run for record in store.records()] == [other]
    store.put(some_record(run))
    assert path.read_bytes() == whole
    assert store.check() == (2, [])


def test_every_single_bit_counts(tmp_path: Path) -> None:
    whole = some_record(some_run()).to_json().encode()
    for place in range(0, len(whole), 7):
        for bit in (1, 32):
            spoilt = _flip(whole, 0)[:0] + whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]
            with pytest.raises(Damaged):
                Record.from_json(spoilt.decode("ascii"))


def test_lacking_parts_are_damage() -> None:
    whole = some_record(some_run()).to_json().encode()
    for name in ("run", "hash", "curves", "digests", "weights", "fingerprint"):
        body = json.loads(whole)
        del body["checksum"], body[name]
        with pytest.raises(Damaged, match=name):
            Record.from_json(canonical({**body, "checksum": checksum(body)}))


def test_changed_weights_are_found(tmp_path: Path) -> None:
    store, run = Store(tmp_path), some_run()
    store.put(some_record(run), some_weights())
    side = path_of(store, run.hash).with_suffix(".safetensors")
    for spoilt in (_flip(side.read_bytes(), 0.99), b""):
        side.write_bytes(spoilt)
        assert store.weights(run) is None
        sound, problems = store.check()
        assert (sound, len(problems)) == (0, 1)
    side.unlink()
    assert len(store.check()[1]) == 1


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    store, run = Store(tmp_path), some_run()
    store.put(some_record(run, accuracy=0.5), some_weights(0))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full:
        def __init__(self, handle: int, mode: str) -> None:
            self.file = os.fdopen(handle, mode)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            self.file.write(data[: len(data) // 2])
            full()

    class Patched:
        def __getattr__(self, name: str) -> Any:
            return {("write", "fdopen"): Full, ("fsync", "fsync"): full, ("rename", "replace"): full}.get(
                (step, name), getattr(os, name)
            )

    monkeypatch.setattr(writing, "os", Patched())
    with pytest.raises(OSError, match="No space"):
        store.put(some_record(run, accuracy=0.9), some_weights(1))
    monkeypatch.undo()
    found = store.get(run)
    assert found is not None
    assert found.curves["test_acc"][1] == 0.5
    assert store.check() == (1, [])
    assert store.weights(run) is not None
    assert [path.name for path in tmp_path.rglob("*") if path.name.endswith(".part")] == []


def test_weights_are_written_before_the_record_that_vouches_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from losslab.runs import store as module

    order: list[str] = []

    def write(path: Path, data: bytes) -> None:
        order.append(path.suffix)
        writing.write_atomic(path, data)

    monkeypatch.setattr(module, "write_atomic", write)
    Store(tmp_path).put(some_record(some_run()), some_weights())
    assert order == [".safetensors", ".json"]


def test_readings() -> None:
    curves: dict[str, list[Any]] = {
        "test_acc": [0.1, 0.9, 0.9, 0.3],
        "val_acc": [0.5, 0.2, None, 0.5],
        "val_clean_acc": [0.1, 0.2, 0.6, 0.5],
        "test_loss": [4.0, 3.0, 2.0, None],
        "long": [0.0, *[1.0] * 10],
    }
    readings = {how: read_curve(curves, "test_acc", how) for how in ("last", "best", "best_val", "best_val_clean")}
    assert readings == {"last": 0.3, "best": 0.9, "best_val": 0.1, "best_val_clean": 0.9}
    assert read_curve(curves, "test_loss", "best") == 3.0
    assert read_curve(curves, "test_loss", "last") is None
    assert read_curve(curves, "test_loss", "mean_last_10") is None
    assert read_curve(curves, "long", "mean_last_10") == 1.0
    assert read_curve(curves, "absent", "last") is None
    with pytest.raises(ValueError, match="unknown reading"):
        read_curve(curves, "test_acc", "median")
