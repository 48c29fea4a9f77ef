"""Each test module names its folder as SLUG; these fixtures open it."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
from folders import folder

from losslab import papers


@pytest.fixture(scope="module")
def paper(request: pytest.FixtureRequest) -> papers.Paper:
    return papers.load(request.module.SLUG)


@pytest.fixture
def own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The modules beside the notebook, by name."""
    slug = request.module.SLUG
    monkeypatch.syspath_prepend(str(folder(slug)))
    names = sorted(path.stem for path in (folder(slug) / slug).glob("*.py") if path.stem != "__init__")
    return {name: importlib.import_module(f"{slug}.{name}") for name in names}
