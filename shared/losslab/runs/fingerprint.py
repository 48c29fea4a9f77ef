"""Which source code a run's numbers depend on, as a hash.

A stored record counts only while the code that made it is unchanged, so editing one loss retrains the runs that use it and no others. Comments,
docstrings, blank lines and formatting do not count: the hash is taken over the syntax tree.

Each module is read once per process, when it is first asked for: a process whose source files are edited while it trains goes on with the code that
it has loaded, and says so in its records.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from losslab.runs.spec import Run

# Modules and packages that can change the numbers of any run. A package stands for all of its files.
ENGINE = (
    "losslab.seeding",
    "losslab.training.augmentation",
    "losslab.training.build",
    "losslab.training.classweights",
    "losslab.training.cohort",
    "losslab.training.dimension",
    "losslab.training.evaluation",
    "losslab.training.objective",
    "losslab.training.optimiser",
    "losslab.training.order",
    "losslab.training.probes",
    "losslab.training.problem",
    "losslab.training.pruning",
    "losslab.training.regularisation",
    "losslab.training.schedule",
    "losslab.training.stacking",
    "losslab.training.state",
    "losslab.noise",
    "losslab.data",
    "losslab.models",
    "losslab.heads",
)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _walk(node: object) -> str:
    """A text of the tree that is the same on every supported Python version: empty fields are left out."""
    if isinstance(node, ast.AST):
        parts = []
        for name, value in ast.iter_fields(node):
            if name in ("ctx", "kind", "type_comment", "type_ignores", "type_params"):
                continue
            if isinstance(value, list):
                value = [item for item in value if not _is_docstring(item)]
            if value is None or value == []:
                continue
            parts.append(f"{name}={_walk(value)}")
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(_walk(item) for item in node)}]"
    return repr(node)


def source_hash(path: Path) -> str:
    """SHA-256 of one file's syntax tree."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return hashlib.sha256(_walk(tree).encode()).hexdigest()


@cache
def _root() -> Path:
    spec = importlib.util.find_spec("losslab")
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def module_files(module: str) -> list[Path]:
    """The source files of a module or, for a package, of everything below it. Raises ModuleNotFoundError."""
    path = _root().joinpath(*module.split(".")[1:])
    if path.is_dir():
        return sorted(p for p in path.rglob("*.py"))
    file = path.with_suffix(".py")
    if not file.is_file():
        raise ModuleNotFoundError(f"no module {module} below {_root()}")
    return [file]


def modules_of(run: Run) -> tuple[str, ...]:
    """Names of all modules whose source decides this run's numbers."""
    from losslab import losses

    names = {*ENGINE, "losslab.runs.spec", *losses.spec(run.loss.name).modules}
    if run.regulariser is not None:
        names.add("losslab.losses.regularisers")
    if run.parent is not None:
        names.update(modules_of(run.parent))
        names.add("losslab.losses.transition")
    return tuple(sorted(names))


def fingerprint(run: Run) -> str:
    """16 hexadecimal digits over the source of `modules_of`."""
    return _together(modules_of(run))


@cache
def _together(modules: tuple[str, ...]) -> str:
    return hashlib.sha256("".join(module_hash(name) for name in modules).encode()).hexdigest()[:16]


@cache
def module_hash(module: str) -> str:
    """One line per source file of a module or package: its name and the hash of its syntax tree."""
    return "".join(f"{module}:{path.name}:{source_hash(path)}\n" for path in module_files(module))
