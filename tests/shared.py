"""Where real data lie for tests: $LINNET_DATA, else ../shared/data beside the checkout. Often absent."""

from __future__ import annotations

import os
from pathlib import Path


def shared_data(name: str) -> Path:
    """The folder of one data set, whether it is there or not."""
    return Path(os.environ.get("LINNET_DATA", Path(__file__).parents[2] / "shared" / "data")) / name
