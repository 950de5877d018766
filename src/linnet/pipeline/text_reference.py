"""A reference beside the candidates: a model behind an endpoint that the user named, asked the same test questions.

It is shown and never chosen. Whatever fails with it is said in the report; the build goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from linnet.core.errors import LinnetError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.store import Store
from linnet.core.task import ReportPart
from linnet.engines.requests.asking import Decoding, Prediction, Prompting, Source
from linnet.pipeline.evaluate import Evaluated, Wish, judge_predictions
from linnet.stages.answer import answer, check_endpoint, read_predictions
from linnet.stages.evaluate import task_evaluation
from linnet.text.questions import Question


@dataclass(frozen=True, slots=True)
class Reference:
    """What a named model answered. Without `evaluated` it could not be asked or scored, and `error` says why."""

    model: str
    endpoint: str
    evaluated: Evaluated | None = None
    answers: tuple[str | None, ...] = ()
    error: str = ""

    def told(self) -> dict[str, Any]:
        """As the report keeps it."""
        found = self.evaluated
        result = found.answered.result if found and found.answered else {}
        return {
            "model": self.model,
            "endpoint": self.endpoint,
            "asked": result.get("questions", 0),
            "failed": result.get("failed", 0),
            "problems": result.get("problems", {}),
            "error": self.error,
        }

    def why(self) -> str:
        """The words beside its row."""
        told = self.told()
        failed = f" {told['failed']} of {told['asked']} got no answer and count as wrong." if told["failed"] else ""
        return f"The model {self.model} at {self.endpoint}, for comparison; it was never to be chosen.{failed}"


def check_reference(part: ReportPart) -> None:
    """Raises InputError, or HubError in offline mode, where the endpoint may not be asked: before hours of work."""
    if part.reference:
        check_endpoint(part.endpoint, part.reference)


def ask_reference(
    store: Store,
    part: ReportPart,
    questions: Sequence[Question],
    how: tuple[tuple[Prompting, Decoding], Wish],
    on_event: OnEvent = silent,
) -> Reference | None:
    """Ask and judge the model that `[report]` names, under the candidates' own identity; None where none is named."""
    if not part.reference:
        return None
    source = Source(part.reference, endpoint=part.endpoint)
    try:
        answered = answer(store, source, questions, *how[0], on_event)
        found: list[Prediction] = read_predictions(answered)
        step = judge_predictions(store, ("reference", answered.run.id), found, questions, how, on_event)
    except LinnetError as error:
        on_event(Event("warning", "evaluate", f"The reference {part.reference} has no score: {error.message}"))
        return Reference(part.reference, part.endpoint, error=error.message)
    evaluated = Evaluated(step, task_evaluation(step), answered)
    return Reference(part.reference, part.endpoint, evaluated, tuple(one.text for one in found))
