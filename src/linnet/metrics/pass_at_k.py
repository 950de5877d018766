"""pass@k: how often one of k programs passes its unit tests. The programs run in `sandbox`, one at a time each."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from linnet.core.errors import DataError
from linnet.core.records import Record
from linnet.metrics.sandbox import Isolation, Limits, Ran, run_programs
from linnet.metrics.scores import NO_PREDICTION

VERSION = "1"
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


class Problem(Record):
    """A problem with its unit tests, in the form of HumanEval.

    prompt: what stands before the answer, such as the function's head; test: source that defines `check(candidate)`,
    or, where entry_point is empty, asserts by itself.
    """

    name: str
    prompt: str
    test: str
    entry_point: str = ""


class Sample(Record):
    """One answer and how it ended; `outcome` is one of `sandbox.Outcome`, or "no answer"."""

    outcome: str
    reason: str
    seconds: float


class CodeReport(Record):
    """pass_at: k to the mean over problems, for each k that every problem has samples for.

    isolation: what the programs were kept from; None where none had to be run.
    """

    pass_at: dict[int, float]
    per_problem: dict[str, dict[int, float]]
    samples: dict[str, list[Sample]]
    isolation: Isolation | None


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The unbiased estimate 1 - C(n - c, k) / C(n, k) from n samples of which c passed (Chen et al. 2021, equation 1).

    Raises DataError unless 0 <= passed <= samples and 1 <= k <= samples.
    """
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise DataError(f"pass@{k} cannot be estimated from {passed} passed of {samples} samples.")
    return 1 - math.comb(samples - passed, k) / math.comb(samples, k)


def code_of(answer: str) -> str:
    """The source in a chat model's answer: its first fenced block, else the whole. Nothing else is cut."""
    fenced = _FENCE.search(answer)
    return fenced[1] if fenced else answer


def program_of(problem: Problem, answer: str) -> str:
    """The program to run: prompt, answer, tests, and the call of `check`.

    An answer that defines the entry point itself follows the prompt too: a later definition replaces the earlier, and
    the prompt's imports stay. Raises DataError for an entry point that is no Python name.
    """
    call = ""
    if problem.entry_point:
        if not problem.entry_point.isidentifier():
            raise DataError(f"{problem.name}: the entry point {problem.entry_point[:80]!r} is not a Python name.")
        call = f"\ncheck({problem.entry_point})\n"
    return f"{problem.prompt}{answer}\n{problem.test}{call}"


def judge_code(
    problems: Sequence[Problem],
    answers: Sequence[Sequence[str | None]],
    ks: Sequence[int] = (1,),
    limits: Limits | None = None,
    workers: int = 1,
) -> CodeReport:
    """Run every answer of every problem. An answer that is missing or blank has not passed and is not run.

    Raises DataError for lists of different length, a name given twice, or a k that no problem has samples for;
    ResourceMissing as `sandbox.run_program`.
    """
    _check(problems, answers, ks)
    places = [(p, a) for p, given in enumerate(answers) for a, answer in enumerate(given) if answer and answer.strip()]
    ran = dict(
        zip(
            places,
            run_programs([program_of(problems[p], answers[p][a] or "") for p, a in places], limits, workers),
            strict=True,
        )
    )
    samples = {
        problem.name: [_sample(ran.get((place, each))) for each in range(len(answers[place]))]
        for place, problem in enumerate(problems)
    }
    per_problem = {
        name: {k: pass_at_k(len(found), sum(s.outcome == "passed" for s in found), k) for k in ks if k <= len(found)}
        for name, found in samples.items()
    }
    shared = [k for k in ks if all(k in row for row in per_problem.values())]
    return CodeReport(
        pass_at={k: math.fsum(row[k] for row in per_problem.values()) / len(per_problem) for k in shared},
        per_problem=per_problem,
        samples=samples,
        isolation=_weakest([one.isolation for one in ran.values()]),
    )


def _check(problems: Sequence[Problem], answers: Sequence[Sequence[str | None]], ks: Sequence[int]) -> None:
    if len(problems) != len(answers) or not problems:
        raise DataError(f"There are {len(problems)} problems and answers to {len(answers)}.")
    names = [problem.name for problem in problems]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"The problem {twice[0]!r} is there twice.", "Give each problem a name of its own.")
    fewest = min(len(given) for given in answers)
    if not ks or any(k < 1 for k in ks) or min(ks) > fewest:
        raise DataError(f"pass@k for k in {list(ks)} needs as many answers to each problem; one has {fewest}.")


def _sample(ran: Ran | None) -> Sample:
    if ran is None:
        return Sample(outcome="no answer", reason=NO_PREDICTION, seconds=0.0)
    return Sample(outcome=ran.outcome, reason=ran.reason, seconds=ran.seconds)


def _weakest(found: Sequence[Isolation]) -> Isolation | None:
    if not found:
        return None
    return Isolation(
        network=all(one.network for one in found),
        processes=all(one.processes for one in found),
        files=all(one.files for one in found),
    )
