"""Runs move between stores without loss, without duplicates, and without trust in the file."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from stored import some_record, some_run, some_weights

from losslab.errors import InputError
from losslab.runs import Store, export, import_
from losslab.runs.record import checksum
from losslab.runs.spec import canonical


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """Four records, one of them with weights."""
    store = Store(tmp_path / "full")
    for seed in range(4):
        store.put(some_record(some_run(seed=seed)), some_weights() if seed == 2 else None)
    return store


def files(store: Store) -> dict[str, bytes]:
    return {str(path.relative_to(store.folder)): path.read_bytes() for path in (store.folder / "records").rglob("*.*")}


def test_there_and_back(full: Store, tmp_path: Path) -> None:
    empty = Store(tmp_path / "empty")
    assert full.export(tmp_path / "runs.zip") == 4
    report = empty.import_(tmp_path / "runs.zip")
    assert sorted(report.new) == sorted(some_run(seed=seed).hash for seed in range(4))
    assert (report.same, report.replaced, report.refused) == ([], [], {})
    assert files(empty) == files(full)
    assert empty.check() == (4, [])
    assert empty.weights(some_run(seed=2)) is not None
    again = empty.import_(tmp_path / "runs.zip")
    assert (again.new, len(again.same), again.replaced, again.refused) == ([], 4, [], {})
    assert files(empty) == files(full)


def test_the_same_records_make_the_same_bytes(full: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    for seed in (3, 1, 2, 0):
        other.put(some_record(some_run(seed=seed)), some_weights() if seed == 2 else None)
    export(full, tmp_path / "one.zip")
    export(other, tmp_path / "deeper" / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "deeper" / "two.zip").read_bytes()
    assert b"tmp" not in (tmp_path / "one.zip").read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_some_runs_only(full: Store, tmp_path: Path) -> None:
    wanted = [some_run(seed=3), some_run(seed=1), some_run(seed=3), some_run(seed=77)]
    assert full.export(tmp_path / "runs.zip", wanted) == 2
    assert sorted(Store(tmp_path / "b").import_(tmp_path / "runs.zip").new) == sorted(run.hash for run in wanted[:2])
    assert full.export(tmp_path / "none.zip", []) == 0
    assert Store(tmp_path / "c").import_(tmp_path / "none.zip").new == []


def test_stores_are_merged_without_loss(full: Store, tmp_path: Path) -> None:
    mine = Store(tmp_path / "mine")
    own, shared, damaged, stale = some_run(seed=50), some_run(seed=0), some_run(seed=1), some_run(seed=3)
    mine.put(some_record(own))
    mine.put(some_record(shared, accuracy=0.75))  # the same run on another machine: other digits
    mine.put(some_record(damaged))
    path = mine.folder / "records" / damaged.hash[:2] / f"{damaged.hash}.json"
    path.write_bytes(path.read_bytes()[:-5])
    mine.put(some_record(stale, fingerprint="0" * 16))
    full.export(tmp_path / "runs.zip")
    report = mine.import_(tmp_path / "runs.zip")
    assert report.new == [some_run(seed=2).hash]
    assert report.same == [shared.hash]
    assert sorted(report.replaced) == sorted([damaged.hash, stale.hash])
    assert mine.check() == (5, [])
    kept = mine.get(shared)
    assert kept is not None
    assert kept.curves["test_acc"][-1] == 0.75
    assert mine.missing([own, *(some_run(seed=seed) for seed in range(4))]) == []


def test_weights_are_never_lost(full: Store, tmp_path: Path) -> None:
    run = some_run(seed=2)
    without, richer = Store(tmp_path / "without"), Store(tmp_path / "richer")
    without.put(some_record(run, accuracy=0.9))
    full.export(tmp_path / "with.zip", [run])
    assert without.import_(tmp_path / "with.zip").replaced == [run.hash]
    assert without.weights(run) is not None
    richer.put(some_record(run, accuracy=0.9))
    richer.export(tmp_path / "bare.zip")
    assert full.import_(tmp_path / "bare.zip").same == [run.hash]
    assert full.weights(run) is not None


def test_additional_curves_are_never_lost(tmp_path: Path) -> None:
    run, plain, probed, heavy = some_run(), *(Store(tmp_path / name) for name in ("plain", "probed", "heavy"))
    curves = some_record(run).curves
    plain.put(some_record(run))
    probed.put(some_record(run, curves={**curves, "confusion": [[1.0], [2.0]]}))
    heavy.put(some_record(run), some_weights())
    plain.export(tmp_path / "plain.zip")
    probed.export(tmp_path / "probed.zip")
    assert probed.import_(tmp_path / "plain.zip").same == [run.hash]
    assert heavy.import_(tmp_path / "probed.zip").same == [run.hash]
    assert plain.import_(tmp_path / "probed.zip").replaced == [run.hash]
    found = plain.get(run)
    assert found is not None
    assert "confusion" in found.curves


def test_records_of_other_code_are_refused_unless_allowed(tmp_path: Path) -> None:
    old, mine, run = Store(tmp_path / "old"), Store(tmp_path / "mine"), some_run()
    old.put(some_record(run, fingerprint="0123456789abcdef"))
    assert old.export(tmp_path / "old.zip") == 1
    report = mine.import_(tmp_path / "old.zip")
    assert "0123456789abcdef" in report.refused[run.hash]
    assert mine.check() == (0, [])
    assert import_(mine, tmp_path / "old.zip", any_version=True).new == [run.hash]
    assert mine.get(run, any_version=True) is not None
    mine.put(some_record(run, accuracy=0.9))
    assert mine.import_(tmp_path / "old.zip", any_version=True).same == [run.hash]
    assert mine.get(run) is not None


def test_damaged_records_and_lost_weights_are_not_exported(full: Store, tmp_path: Path) -> None:
    for seed, suffix in ((0, "json"), (2, "safetensors")):
        key = some_run(seed=seed).hash
        path = full.folder / "records" / key[:2] / f"{key}.{suffix}"
        path.write_bytes(b"{" + path.read_bytes()[1:-9])
    assert full.export(tmp_path / "runs.zip") == 3
    report = Store(tmp_path / "mine").import_(tmp_path / "runs.zip")
    assert len(report.new) == 3
    assert not report.refused


def repack(source: Path, target: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Path:
    """Writes a changed copy of an archive, with its manifest signed anew."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in change(members).items():
            archive.writestr(name, data)
    return target


def signed(members: dict[str, bytes], change: Callable[[dict], None]) -> dict[str, bytes]:  # type: ignore[type-arg]
    body = json.loads(members["manifest.json"])
    del body["checksum"]
    change(body)
    return {**members, "manifest.json": canonical({**body, "checksum": checksum(body)}).encode()}


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("unpickled", "w")


FOREIGN = {
    "a path upwards": lambda m: {**m, "../../escaped.json": b"x"},
    "an absolute path": lambda m: {**m, "/tmp/escaped.json": b"x"},
    "backslashes": lambda m: {**m, "records\\..\\escaped.json": b"x"},
    "an odd name": lambda m: {**m, "records/ab/abc.json": b"x"},
    "a wrong folder": lambda m: {**m, f"records/00/{'a' * 20}.json": b"x"},
    "a pickle": lambda m: {**m, "weights.pkl": pickle.dumps(Bomb())},
    "an unlisted run": lambda m: {**m, f"records/aa/{'a' * 20}.json": b"x"},
    "no manifest": lambda m: {k: v for k, v in m.items() if k != "manifest.json"},
    "a changed manifest": lambda m: {**m, "manifest.json": m["manifest.json"].replace(b'"version":1', b'"version":2')},
    "a signed other version": lambda m: signed(m, lambda body: body.update(version=2)),
    "a signed other format": lambda m: signed(m, lambda body: body.update(format="x")),
    "a manifest of another shape": lambda m: signed(m, lambda body: body.update(runs=[1])),
    "a manifest that is no JSON": lambda m: {**m, "manifest.json": b"\xff{"},
    "a deep manifest": lambda m: {**m, "manifest.json": b"[" * 100_000},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_archives_are_refused_as_a_whole(
    full: Store, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    full.export(tmp_path / "runs.zip")
    spoilt = repack(tmp_path / "runs.zip", tmp_path / "spoilt.zip", FOREIGN[kind])
    mine = Store(tmp_path / "deep" / "mine")
    with pytest.raises(InputError, match="not an archive of runs"):
        mine.import_(spoilt)
    assert not (tmp_path / "deep").exists()
    assert not list(tmp_path.rglob("escaped*"))
    assert not (tmp_path / "unpickled").exists()


def test_damaged_members_are_refused_one_by_one(full: Store, tmp_path: Path) -> None:
    full.export(tmp_path / "runs.zip")
    keys = [some_run(seed=seed).hash for seed in range(4)]
    name = {key: f"records/{key[:2]}/{key}" for key in keys}

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        members[f"{name[keys[0]]}.json"] = members[f"{name[keys[0]]}.json"].replace(b"0.25", b"0.26")
        del members[f"{name[keys[1]]}.json"]
        members[f"{name[keys[2]]}.safetensors"] = pickle.dumps(Bomb())
        return members

    mine = Store(tmp_path / "mine")
    report = mine.import_(repack(tmp_path / "runs.zip", tmp_path / "spoilt.zip", change))
    assert report.new == [keys[3]]
    assert set(report.refused) == set(keys[:3])
    assert "changed" in report.refused[keys[0]]
    assert "missing" in report.refused[keys[1]]
    assert "weights" in report.refused[keys[2]]
    assert mine.check() == (1, [])
    assert not list(tmp_path.rglob("unpickled"))


def test_a_listed_hash_cannot_be_a_path(full: Store, tmp_path: Path) -> None:
    full.export(tmp_path / "runs.zip")
    key = some_run(seed=0).hash

    def change(body: dict) -> None:  # type: ignore[type-arg]
        body["runs"]["../../../escaped"] = body["runs"].pop(key)

    spoilt = repack(tmp_path / "runs.zip", tmp_path / "spoilt.zip", lambda members: signed(members, change))
    with pytest.raises(InputError):
        Store(tmp_path / "a" / "b" / "c").import_(spoilt)
    assert not list(tmp_path.rglob("escaped*"))


def test_a_signed_lie_about_a_record_is_found(full: Store, tmp_path: Path) -> None:
    full.export(tmp_path / "runs.zip")
    keys = [some_run(seed=seed).hash for seed in (0, 1)]
    names = [f"records/{key[:2]}/{key}.json" for key in keys]

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        members[names[0]], members[names[1]] = members[names[1]], members[names[0]]

        def swap(body: dict) -> None:  # type: ignore[type-arg]
            body["runs"][keys[0]], body["runs"][keys[1]] = body["runs"][keys[1]], body["runs"][keys[0]]

        return signed(members, swap)

    report = Store(tmp_path / "mine").import_(repack(tmp_path / "runs.zip", tmp_path / "spoilt.zip", change))
    assert set(report.refused) == set(keys)
    assert all("holds run" in why for why in report.refused.values())


@pytest.mark.parametrize(
    "spoil", [lambda data: b"", lambda data: b"PK" + b"\0" * 50, lambda data: data[: len(data) // 2]]
)
def test_files_that_are_no_archives(full: Store, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "runs.zip"
    full.export(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match="not an archive of runs"):
        Store(tmp_path / "mine").import_(path)
    with pytest.raises(InputError, match="no file"):
        Store(tmp_path / "mine").import_(tmp_path / "absent.zip")


def test_every_flipped_byte_is_noticed_or_harmless(full: Store, tmp_path: Path) -> None:
    path = tmp_path / "runs.zip"
    full.export(path)
    whole, truth = path.read_bytes(), files(full)
    for place in range(3, len(whole), 23):
        (tmp_path / "bad.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        mine = Store(tmp_path / f"mine{place}")
        try:
            mine.import_(tmp_path / "bad.zip")
        except InputError:
            continue
        assert mine.check()[1] == []
        assert all(truth[name] == data for name, data in files(mine).items())


def test_an_interrupted_export_leaves_the_old_file(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from losslab.runs import transfer

    path = tmp_path / "runs.zip"
    full.export(path)
    before = path.read_bytes()

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer.os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        full.export(path, [])
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob(".*.part"))
