"""The budgets of the house: short files, short functions, few parameters, small groups of settings."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import linnet
from linnet.core.settings import GROUPS, SETTINGS
from linnet.core.task import PARTS

SOURCE = Path(linnet.__file__).parent
FILE_LINES, FUNCTION_LINES, POSITIONAL, GROUP_FIELDS = 400, 50, 6, 12

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def length(node: Function) -> int:
    """Lines from `def` to the end of the body, docstring included."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def positional(node: Function) -> int:
    names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
    return len(names[1:] if names[:1] in (["self"], ["cls"]) else names)


def test_files_are_short() -> None:
    lines = {str(p.relative_to(SOURCE)): p.read_text().count("\n") for p in SOURCE.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def test_functions_are_short() -> None:
    assert {name: length(node) for name, node in functions() if length(node) > FUNCTION_LINES} == {}


def test_parameters_are_few() -> None:
    assert {name: positional(node) for name, node in functions() if positional(node) > POSITIONAL} == {}


def test_groups_of_settings_are_small() -> None:
    groups = {name: len(part.model_fields) for name, part in PARTS.items()} | {
        name: len(group) for name, group in GROUPS.items()
    }
    assert {name: count for name, count in groups.items() if count > GROUP_FIELDS} == {}


def test_settings_are_named_once() -> None:
    assert [name for name, count in Counter(setting.name for setting in SETTINGS).items() if count > 1] == []


def test_files_open_with_what_they_are() -> None:
    bare = [str(p) for p in SOURCE.rglob("*.py") if not ast.get_docstring(ast.parse(p.read_text()))]
    assert bare == []
