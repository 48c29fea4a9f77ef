"""Moving finished runs between stores as one file, for example from the machine that has the GPU.

The file is a zip with ``manifest.json`` (a checksum of every member, and the fingerprint of the source code that made each record) and the members
``records/<2 digits>/<hash>.json`` and ``.safetensors``, as they lie in a store. It depends on the records alone: no dates, owners or paths.
Nothing in it is ever unpickled, and no member is written under a name that the file chose.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.errors import InputError
from losslab.runs.files import write_atomic
from losslab.runs.fingerprint import fingerprint
from losslab.runs.record import Damaged, Record, checksum
from losslab.runs.spec import Run, canonical

if TYPE_CHECKING:
    from losslab.runs.store import Store

FORMAT, VERSION = "losslab runs", 1
MANIFEST = "manifest.json"
MEMBER = re.compile(r"records/([0-9a-f]{2})/(\1[0-9a-f]{18})\.(json|safetensors)")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of every member


@dataclass(frozen=True)
class ImportReport:
    """What became of an archive's runs, by hash. ``refused`` says why."""

    new: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)  # were there already, and stay as they are
    replaced: list[str] = field(default_factory=list)  # were there damaged, made by other source code, or poorer
    refused: dict[str, str] = field(default_factory=dict)


def export(store: Store, path: str | Path, runs: Iterable[Run] | None = None) -> int:
    """Writes the records of ``runs`` (None: of all) and their weights into one file; returns how many.

    Runs without a readable record are left out. An existing file is replaced when the new one is complete.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    hashes = sorted({record.run.hash for record in store.records()} if runs is None else {run.hash for run in runs})
    listed: dict[str, dict[str, Any]] = {}
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for key in hashes:
                    found = _stored(store, key)
                    if found is None:
                        continue
                    record, text, weights = found
                    _add(archive, _member(key, "json"), text)
                    if weights is not None:
                        _add(archive, _member(key, "safetensors"), weights)
                    listed[key] = {"fingerprint": record.fingerprint, "record": _sha(text), "weights": record.weights}
                body = {"format": FORMAT, "version": VERSION, "runs": listed}
                _add(archive, MANIFEST, canonical({**body, "checksum": checksum(body)}).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return len(listed)


def import_(store: Store, path: str | Path, *, any_version: bool = False) -> ImportReport:
    """Takes over the runs of a file that `export` wrote.

    A run that the store has, from the current source code, stays as it is, unless the file has weights or curves of it beyond those.
    Records that are damaged, or made by other source code than the present one (unless ``any_version``), are refused one by one. Raises
    InputError if there is no such file, or if it is not such an archive, or holds members with other names than an archive's.
    """
    path, report = Path(path), ImportReport()
    try:
        with zipfile.ZipFile(path) as archive:
            listed = _manifest(archive)
            for key in sorted(listed):
                try:
                    text, weights = _content(archive, key, listed[key])
                    _merge(store, key, text, weights, any_version, report)
                except Damaged as problem:
                    report.refused[key] = str(problem)
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except (zipfile.BadZipFile, NotImplementedError, Damaged) as problem:
        raise InputError(f"{path} is not an archive of runs, or is damaged: {problem}") from None
    return report


def _merge(store: Store, key: str, text: bytes, weights: bytes | None, any_version: bool, report: ImportReport) -> None:
    try:
        record = Record.from_json(text.decode("ascii"))
    except UnicodeDecodeError as error:
        raise Damaged(f"not text: {error}") from error
    if record.run.hash != key:
        raise Damaged(f"holds run {record.run.hash}")
    if record.weights != (None if weights is None else _sha(weights)):
        raise Damaged("the weights are missing or changed")
    if weights is not None:
        _check_weights(weights)
    current = fingerprint(record.run)
    if record.fingerprint != current and not any_version:
        raise Damaged(f"made by other source code (fingerprint {record.fingerprint}, here {current})")
    place = store.folder / _member(key, "json")
    there = _stored(store, key)
    if there is not None:
        mine, _, my_weights = there
        useful = mine.fingerprint == current or record.fingerprint != current
        more = set(record.curves) > set(mine.curves) or (weights is not None and my_weights is None)
        less = not set(record.curves) >= set(mine.curves) or (weights is None and my_weights is not None)
        richer = more and not less and record.fingerprint == current
        if useful and not richer:
            report.same.append(key)
            return
    (report.replaced if place.exists() else report.new).append(key)
    if weights is not None:
        write_atomic(place.with_suffix(".safetensors"), weights)
    write_atomic(place, text)


def _stored(store: Store, key: str) -> tuple[Record, bytes, bytes | None] | None:
    """A stored record, its bytes and its weights' bytes; None where there is no sound record. Lost weights are no longer named in it."""
    place = store.folder / _member(key, "json")
    try:
        text = place.read_bytes()
        record = Record.from_json(text.decode("ascii"))
    except (FileNotFoundError, UnicodeDecodeError, Damaged):
        return None
    if record.run.hash != key:
        return None
    if record.weights is None:
        return record, text, None
    side = place.with_suffix(".safetensors")
    weights = side.read_bytes() if side.is_file() else b""
    if _sha(weights) == record.weights:
        return record, text, weights
    record = replace(record, weights=None)
    return record, record.to_json().encode("ascii"), None


def _manifest(archive: zipfile.ZipFile) -> dict[str, dict[str, Any]]:
    """The checked list of runs. Raises `Damaged`."""
    names = archive.namelist()
    if len(names) != len(set(names)):
        raise Damaged("a member is there twice")
    foreign = [name for name in names if name != MANIFEST and not MEMBER.fullmatch(name)]
    if foreign:
        raise Damaged(f"member {foreign[0]!r} does not belong there")
    if MANIFEST not in names:
        raise Damaged(f"there is no {MANIFEST}")
    try:
        body = json.loads(_read(archive, MANIFEST).decode("ascii"))
        stated = body.pop("checksum")
        listed = body["runs"]
        sound = stated == checksum(body) and body["format"] == FORMAT and isinstance(listed, dict)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"the manifest cannot be read ({type(error).__name__})") from error
    if not sound:
        raise Damaged("the manifest was changed")
    if body.get("version") != VERSION:
        raise Damaged(f"version {body.get('version')!r} of the format, expected {VERSION}")
    unlisted = {name for name in names if name != MANIFEST} - set(_expected(listed))
    if unlisted:
        raise Damaged(f"member {min(unlisted)!r} is not in the manifest")
    return dict(listed)


def _expected(listed: dict[str, dict[str, Any]]) -> Iterator[str]:
    for key, about in listed.items():
        yield _member(key, "json")
        if about.get("weights") is not None:
            yield _member(key, "safetensors")


def _content(archive: zipfile.ZipFile, key: str, about: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """A run's members, as the manifest describes them. Raises `Damaged`."""
    if not MEMBER.fullmatch(_member(key, "json")):
        raise Damaged("this is no run's hash")
    text = _read(archive, _member(key, "json"))
    if _sha(text) != about.get("record"):
        raise Damaged("the record was changed")
    if about.get("weights") is None:
        return text, None
    weights = _read(archive, _member(key, "safetensors"))
    if _sha(weights) != about["weights"]:
        raise Damaged("the weights were changed")
    return text, weights


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    import zlib

    try:
        return archive.read(name)
    except KeyError as error:
        raise Damaged(f"{name} is missing") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise Damaged(f"{name} cannot be read: {error}") from error


def _check_weights(data: bytes) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        load(data)
    except (SafetensorError, ValueError) as error:
        raise Damaged(f"the weights cannot be read: {error}") from error


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every system
    archive.writestr(entry, data)


def _member(key: str, suffix: str) -> str:
    return f"records/{key[:2]}/{key}.{suffix}"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
