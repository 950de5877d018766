"""Where the real data lie: $LINNET_DATA, else ../shared/data beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path


def shared_data(name: str) -> Path:
    """The folder of one data set. Leaves with a message when it is absent."""
    root = Path(os.environ.get("LINNET_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (root / name).is_dir():
        raise SystemExit(f"{root / name} is absent: set LINNET_DATA to the folder that holds {name}.")
    return root / name
