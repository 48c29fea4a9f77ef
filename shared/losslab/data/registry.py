"""`load` and `available`: data sets by name. Loaders are imported only when they are asked for."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losslab import paths
from losslab.data.dataset import Dataset, DataStatus
from losslab.errors import InputError, near


@dataclass(frozen=True)
class _Entry:
    module: str
    bound: tuple[str, ...] = ()  # leading arguments of the module's `load` and `status`


_SETS: dict[str, _Entry] = {
    "digits": _Entry("losslab.data.digits"),
    "glyphs-10": _Entry("losslab.data.glyphs", ("glyphs-10",)),
    "glyphs-20": _Entry("losslab.data.glyphs", ("glyphs-20",)),
    "glyphs-100": _Entry("losslab.data.glyphs", ("glyphs-100",)),
    "toy-blobs": _Entry("losslab.data.toy", ("toy-blobs",)),
    "toy-circle": _Entry("losslab.data.toy", ("toy-circle",)),
    "mnist": _Entry("losslab.data.vision", ("mnist",)),
    "fashion_mnist": _Entry("losslab.data.vision", ("fashion_mnist",)),
    "cifar10": _Entry("losslab.data.vision", ("cifar10",)),
    "cifar100": _Entry("losslab.data.vision", ("cifar100",)),
    "cifar10n": _Entry("losslab.data.vision", ("cifar10n",)),
    "cifar100n": _Entry("losslab.data.vision", ("cifar100n",)),
    "webvision-mini": _Entry("losslab.data.gated", ("webvision-mini",)),
    "clothing1m": _Entry("losslab.data.gated", ("clothing1m",)),
    "imagenet-lt": _Entry("losslab.data.gated", ("imagenet-lt",)),
    "inaturalist2018": _Entry("losslab.data.gated", ("inaturalist2018",)),
    "market1501": _Entry("losslab.data.gated", ("market1501",)),
    "lfw": _Entry("losslab.data.gated", ("lfw",)),
}
FOLDER = "imagefolder:"


def names() -> tuple[str, ...]:
    """Names that `load` knows, besides ``imagefolder:PATH``."""
    return tuple(_SETS)


def data_root(root: str | Path | None = None) -> Path:
    """The folder of data sets: ``root``, else the environment's LOSSLAB_DATA, else ``data`` in the repository, else here."""
    if root is not None:
        return Path(root).expanduser()
    try:
        return paths.data()
    except InputError:  # the package is installed outside its repository
        return Path.cwd() / "data"


def _call(function: Callable[..., Any], name: str, bound: tuple[Any, ...], options: dict[str, Any]) -> Any:
    allowed = list(inspect.signature(function).parameters)[len(bound) :]
    for option in options:
        if option not in allowed:
            raise InputError(
                near(f"option of data set {name!r}", option, allowed) if allowed else f"{name!r} takes no options"
            )
    return function(*bound, **options)


def load(name: str, root: str | Path | None = None, **options: Any) -> Dataset:
    """Data set by name, wholly in memory as uint8.

    ``name``: one of `names()` or ``imagefolder:PATH``. ``root``: see `data_root`. ``options`` are the loader's own: ``download``
    (mnist, fashion_mnist, cifar10, cifar100 and the CIFAR-N sets; False by default), ``size`` (image trees),
    ``split_seed`` (digits), ``train_per_class`` and ``seed`` (glyphs), and others; docs/data.md lists them. Every set takes
    ``two_classes``: the ids of the classes that become class 0, all the others become class 1.
    Raises InputError for an unknown name or option, and for missing files, saying what to get and where to put it.
    """
    base = data_root(root)
    chosen = options.pop("two_classes", None)
    if name.startswith(FOLDER):
        from losslab.data import folder

        place = Path(name[len(FOLDER) :]).expanduser()
        # A relative path is meant below the data root, so that a run's description is the same on every machine.
        result = _call(folder.load, name, (place if place.is_absolute() else base / place, base), options)
    elif name in _SETS:
        entry = _SETS[name]
        function = importlib.import_module(entry.module).load
        result = _call(function, name, (*entry.bound, base), options)
    else:
        raise InputError(near("data set", name, (*names(), f"{FOLDER}PATH")))
    assert isinstance(result, Dataset)
    if chosen is None:
        return result
    from losslab.data.grouping import two_classes

    return two_classes(result, (chosen,) if isinstance(chosen, int) else chosen)


def available(root: str | Path | None = None) -> list[DataStatus]:
    """Every data set: ready or missing, what to get, where to put it, how large it is. Reads no image."""
    base = data_root(root)
    return [importlib.import_module(entry.module).status(*entry.bound, base) for entry in _SETS.values()]


_FLIP_MAPS = {"mnist": "mnist", "fashion_mnist": "fashion_mnist", "cifar10": "cifar10", "cifar10n": "cifar10"}


def flip_map_for(dataset: str | Dataset) -> str:
    """Name of the flip map of asymmetric noise for a data set, given itself or by name (see `losslab.noise.flip_map`).

    A stand-in has none of its own: ask for the data set that it stands in for, ``flip_map_for("cifar10")``.
    """
    name = dataset if isinstance(dataset, str) else dataset.name
    if name not in _FLIP_MAPS:
        raise InputError(
            f"data set {name!r} has no flip map of its own. For a stand-in ask for the set that it stands in for "
            f"({', '.join(sorted(_FLIP_MAPS))}), or give a mapping, or 'ring'"
        )
    return _FLIP_MAPS[name]
