"""Run the suites of suites.toml against our server, and write docs/conformance.md.

    python -m conformance [VENV ...]      all, or those of these environments (then nothing is written)

Every suite has an environment of its own in $LINNET_CONFORMANCE (default .bench/conformance), made once from the
package index; remove the folder for the newest versions. Ends with status 1 when a test fails that is not left out
with a reason, or when a left-out test passes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHECKS = ROOT / "conformance" / "checks"
PAGE = ROOT / "docs" / "conformance.md"
CACHE = Path(os.environ.get("LINNET_CONFORMANCE", ROOT / ".bench" / "conformance")).resolve()
INTRODUCTION = """# Conformance

Written by `python -m conformance`, which runs other people's tests and clients against our server with `builtin:nano`
and one small specialist, in the newest versions of the package index. The tests of openai-python for `/v1/responses`
send neither a model nor an input: the job fills in these two where they are missing; without that the server answers
400 and names the field. Everything else reaches the server as it was sent."""
SEEDED = {"PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


@dataclass
class Result:
    """What came of one suite: tests by what became of them."""

    name: str
    version: str
    passed: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)  # by reason
    failed: dict[str, str] = field(default_factory=dict)  # with what they said
    stale: list[str] = field(default_factory=list)


def environment(name: str, packages: list[str]) -> Path:
    """The Python of a suite's own environment."""
    python = CACHE / "venvs" / name / "bin" / "python"
    done = python.parent.parent / "packages.txt"
    if not done.is_file() or done.read_text().split() != packages:
        print(f"[conformance] making the environment of {name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q"]
        subprocess.run([*pip, *packages], check=True)
        done.write_text("\n".join(packages))
    return python


def version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def source(package: str, wanted: str) -> Path:
    """The unpacked source distribution of a package."""
    folder = CACHE / "sdist"
    found = folder / f"{package}-{wanted}"
    if not (found / "pyproject.toml").is_file():
        print(f"[conformance] fetching the source of {package} {wanted}", flush=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
        subprocess.run([*pip, "--no-binary", ":all:", f"{package}=={wanted}", "-d", folder], check=True)
        with tarfile.open(folder / f"{package}-{wanted}.tar.gz") as packed:
            packed.extractall(folder, filter="data")
    return found


@contextmanager
def serving(names: list[str]) -> Iterator[str]:
    """The address of a server that runs as long as the block."""
    with tempfile.TemporaryDirectory(prefix="linnet-conformance-") as home:
        command = [sys.executable, "-m", "conformance.serve", "0", home, *names]
        environ = {**os.environ, "LINNET_HOME": home, **SEEDED}
        log = (CACHE / "server.log").open("w")
        with (
            log,
            subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as run,
        ):
            assert run.stdout is not None
            try:
                yield run.stdout.readline().strip()
            finally:
                run.terminate()
                run.wait(60)


def run(suite: dict[str, Any]) -> Result:
    python = environment(suite["venv"], suite["packages"])
    found = version(python, suite.get("version_of") or suite["source"])
    folder, names = CHECKS, set()
    if "source" in suite:
        folder = source(suite["source"], found)
        for name in suite["files"]:
            names.update(re.findall(suite["model_names"], (folder / name).read_text()))
    report = CACHE / f"{suite['venv']}-{suite['files'][0].rpartition('/')[2]}.xml"
    report.unlink(missing_ok=True)
    pytest = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "--tb=line",
        "--show-capture=no",
    ]
    with serving(sorted(names)) as url:
        environ = {**os.environ, **SEEDED, "BASE_URL": url, "TEST_API_BASE_URL": f"{url}/v1"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*pytest, f"--junitxml={report}", *suite["files"]], cwd=folder, env=environ, **quiet)
    return sorted_out(Result(suite["name"], found), outcomes(report), suite.get("left_out", []))


def outcomes(report: Path) -> dict[str, str]:
    """Every test that ran, and what it said when it failed; empty where it passed."""
    found: dict[str, str] = {}
    for one in ElementTree.parse(report).getroot().iter("testcase"):
        wrong = one.find("failure") if one.find("failure") is not None else one.find("error")
        name = f"{one.get('classname', '').replace('.', '/')}::{one.get('name')}"
        name += f" ({count})" if (count := sum(other.partition(" (")[0] == name for other in found)) else ""
        if one.find("skipped") is None:
            found[name] = "" if wrong is None else (wrong.get("message") or "failed").split("\n")[0][:300]
    return found


def sorted_out(result: Result, found: dict[str, str], left_out: list[dict[str, str]]) -> Result:
    """Put every outcome where it belongs. A left-out pattern that no failing test meets is stale."""
    met: Counter[str] = Counter()
    for name, said in found.items():
        reason = next((one for one in left_out if re.search(one["tests"], name)), None)
        if not said:
            result.passed.append(name)
        elif reason is None:
            result.failed[name] = said
        else:
            result.left_out.setdefault(reason["reason"], []).append(name)
            met[reason["tests"]] += 1
    result.stale = [one["tests"] for one in left_out if not met[one["tests"]]]
    return result


def page(suites: list[dict[str, Any]], results: list[Result]) -> str:
    """The results as docs/conformance.md."""
    lines = [INTRODUCTION, "", "| suite | version | ran | passed | left out | failed |", "|---|---|---|---|---|---|"]
    for one in results:
        left = sum(map(len, one.left_out.values()))
        count = len(one.passed) + left + len(one.failed)
        lines.append(f"| {one.name} | {one.version} | {count} | {len(one.passed)} | {left} | {len(one.failed)} |")
    lines += ["", "## Left out, and why", ""]
    lines += [f"- **{suite['name']}**: {suite['note']}" for suite in suites if "note" in suite]
    for one in results:
        for reason, names in one.left_out.items():
            short = Counter(re.sub(r"\[.*", "", name.rpartition("::")[2]) for name in names)
            told = ", ".join(f"{name} ({count})" for name, count in sorted(short.items()))
            lines += [f"- **{one.name}**, {len(names)} tests. {reason}", f"  {told}"]
    for one in results:
        lines += [f"- **{one.name}**, failed: {name}: {said}" for name, said in sorted(one.failed.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    suites = tomllib.loads((ROOT / "conformance" / "suites.toml").read_text())["suite"]
    wanted = set(sys.argv[1:])
    if unknown := wanted - {suite["venv"] for suite in suites}:
        print(f"no suite has the environment {', '.join(sorted(unknown))}")
        return 2
    results = []
    for suite in suites:
        if wanted and suite["venv"] not in wanted:
            continue
        result = run(suite)
        results.append(result)
        left = sum(map(len, result.left_out.values()))
        print(f"[conformance] {result.name} {result.version}: {len(result.passed)} passed, {left} left out", flush=True)
        for name, said in result.failed.items():
            print(f"  FAILED {name}: {said}", flush=True)
        for pattern in result.stale:
            print(f"  STALE {pattern}: no such test fails", flush=True)
    if not wanted:
        PAGE.write_text(page(suites, results))
    return int(any(result.failed or result.stale or not result.passed for result in results))


if __name__ == "__main__":
    sys.exit(main())
