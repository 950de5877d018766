"""One name for a module, its guide and its test; and a public list that is sorted and true."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import linnet

ROOT = Path(__file__).parents[2]
SOURCE = Path(linnet.__file__).parent
# A stage whose name Python keeps for itself has an underscore behind it, in the source only.
STAGES = sorted(path.stem for path in (SOURCE / "stages").glob("*.py") if path.stem != "__init__")
HEAVY = {"torch", "numpy", "pydantic", "transformers", "onnxruntime", "polars", "sklearn", "fastapi"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_its_guide_and_its_test(name: str) -> None:
    assert (ROOT / "docs" / "guide" / f"{name.rstrip('_')}.md").is_file()
    assert (ROOT / "tests" / "stages" / f"test_{name.rstrip('_')}.py").is_file()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_a_function_of_its_name(name: str) -> None:
    if name == "serve":
        pytest.skip("serving is not one call: Specialists is its front door")
    body = ast.parse((SOURCE / "stages" / f"{name}.py").read_text()).body
    assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_the_public_list_is_sorted_and_importable() -> None:
    assert linnet.__all__ == sorted(linnet.__all__)
    assert set(linnet.__all__) == {*linnet._HOMES, "__version__"}
    for name in linnet.__all__:
        assert getattr(linnet, name).__doc__ is not None
    with pytest.raises(AttributeError, match="no attribute 'bulid'"):
        _ = linnet.bulid


def test_a_public_name_is_the_same_thing_however_often_it_is_asked_for() -> None:
    asked = "; ".join(f"assert getattr(linnet, {n!r}).__module__ == {h!r}, {n!r}" for n, h in linnet._HOMES.items())
    code = f"import linnet; {asked}; {asked}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_linnet_loads_nothing_heavy() -> None:
    code = "import linnet, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not HEAVY & set(done.stdout.split())
