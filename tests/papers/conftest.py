"""The made-up paper in `toy/`, and copies of it with one thing changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from losslab import papers

TOY = Path(__file__).parent / "toy"


@pytest.fixture(scope="session")
def toy() -> papers.Paper:
    """The made-up paper."""
    return papers.load(TOY)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """`changed(edit)`: a copy of the paper whose paper.yaml (or claims.yaml) went through ``edit``."""

    def copy(edit: Callable[[Any], Any], file: str = "paper.yaml") -> Path:
        folder = tmp_path / "toy"
        shutil.copytree(TOY, folder, dirs_exist_ok=True)
        content = yaml.safe_load((folder / file).read_text())
        edit(content)
        (folder / file).write_text(yaml.safe_dump(content, sort_keys=False))
        return folder

    return copy
