"""Tensors on disk: safetensors files with a checksum, written atomically, made again when damaged."""

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def read(path: Path) -> dict[str, torch.Tensor] | None:
    """The tensors of a cache file; None if there is none. Raises ValueError if it is damaged."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as stream:
            stored = (stream.metadata() or {}).get("sha256")
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if stored != _checksum(tensors):
        raise ValueError(f"{path} is damaged: its checksum does not match")
    return tensors


def write(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes a cache file so that no reader ever sees half of it."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({name: t.contiguous() for name, t in tensors.items()}, metadata={"sha256": _checksum(tensors)})
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def cached(
    root: Path, name: str, key: Mapping[str, object], make: Callable[[], dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """The tensors that ``make`` gives, kept in ``root/cache`` under the name and a digest of ``key`` (JSON values).

    A damaged file is reported as a warning and made again. Where the folder cannot be written, nothing is kept.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]
    path = root / "cache" / f"{name}-{digest}.safetensors"
    try:
        found = read(path)
    except ValueError as error:
        warnings.warn(f"{error}; making it again", stacklevel=2)
        found = None
    if found is not None:
        return found
    tensors = make()
    try:
        write(path, tensors)
    except OSError as error:
        warnings.warn(f"{path} cannot be written ({error}); the data are made again each time", stacklevel=2)
    return tensors
