"""The clone that the pipeline tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from clones import Clone, set_parameters


@pytest.fixture(scope="module")
def clone(
    tmp_path_factory: pytest.TempPathFactory, working_tree: Callable[[Path], Path], smoke_store: Callable[[str], Path]
) -> Clone:
    """One paper at smoke scale, with the smoke runs in its store: the stages find them there."""
    store = smoke_store("gce")
    made = Clone(working_tree(tmp_path_factory.mktemp("pipeline") / "clone"), LOSSLAB_STORE=str(store))
    set_parameters(made.folder, scale="smoke", papers="[gce]")
    made.commit()
    return made
