"""Does what was fitted to a classifier's scores belong to them: the labels in their order, and the temperature?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import GateFailed
from linnet.core.records import Decision
from linnet.engines.base import Array
from linnet.metrics import calibration
from linnet.text.misplaced import exchange_text, exchanged

SLACK = 1e-3  # nats


def check_fit(name: str, logits: Array, true: NDArray[np.int64], fitted: Decision) -> None:
    """Compare `fitted` with the logits (examples, labels) and true indices of the validation examples.

    Raises GateFailed for labels in another order than the model's scores, and for a temperature that makes the log
    loss larger on the examples that it was fitted on.
    """
    answers = [fitted.labels[index] for index in logits.argmax(axis=1)]
    if found := exchanged([fitted.labels[index] for index in true], answers):
        raise GateFailed(
            f"{name}: on the validation examples {exchange_text(found)}: the model's scores are in another order.",
            "Nothing was published. Train it again with the labels as they are now.",
        )
    wide = logits.astype(np.float64)
    before, after = (calibration.log_loss(wide, true, t) for t in (1.0, fitted.temperature))
    if after > before + SLACK:
        raise GateFailed(
            f"{name}: the culprit is the calibration: at temperature {fitted.temperature:g} the log loss of the "
            f"validation examples is {after:.4f}, without it {before:.4f}. It was fitted on other examples or labels.",
            "Nothing was published. Run the same command again; if it stays, report it with `linnet doctor --json`.",
        )
