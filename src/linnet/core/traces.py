"""A trace for each request that the server answered, in the store's database. Numbers and names; texts only where
somebody asked for them. Knows no HTTP.

Written with synchronous=NORMAL: a power cut may take the last ones, and damages nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from linnet.core.database import Database
from linnet.core.errors import InputError
from linnet.core.records import Record
from linnet.core.store import Store

MAX_LISTED, MAX_SUMMARIZED = 10_000, 1_000_000
_COLUMNS = (
    "id", "time", "route", "dialect", "model", "key", "status", "prompt_tokens", "completion_tokens", "cached_tokens",
    "first_token_ms", "total_ms", "finish", "code", "request", "answer",
)  # fmt: skip
_TABLES = (
    """CREATE TABLE IF NOT EXISTS traces (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, time TEXT NOT NULL, route TEXT NOT NULL,
    dialect TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, status INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    first_token_ms REAL, total_ms REAL NOT NULL, finish TEXT NOT NULL, code TEXT NOT NULL,
    request TEXT NOT NULL DEFAULT '', answer TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX IF NOT EXISTS traces_time ON traces (time)",
)
_AGE = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Trace(Record):
    """One served request. `status` is 0 where the client left before its answer began.

    `time` is when it came, RFC 3339. Milliseconds are of a clock that is never set; `first_token_ms` is None where no
    token was written. `finish` is how the answer ended; `code` what went wrong, empty where nothing did. `key` is the
    id of the key. `request` and `answer` are empty unless contents are kept.
    """

    id: str
    time: str
    route: str
    dialect: str
    model: str = ""
    key: str = ""
    status: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    first_token_ms: float | None = None
    total_ms: float
    finish: str = ""
    code: str = ""
    request: str = ""
    answer: str = ""

    @property
    def failed(self) -> bool:
        """Whether the server is to blame: refused requests are not failures, a full queue and a broken engine are."""
        return self.status >= 500 or (self.status == 200 and bool(self.code))


class Summary(Record):
    """Traces of one model, or of all. `refused` are answers of 4xx, `left` clients that went away.

    `error_rate` is failures among all; percentiles are by nearest rank, None where there is nothing to rank.
    """

    model: str
    requests: int
    refused: int
    left: int
    failed: int
    error_rate: float
    prompt_tokens: int
    completion_tokens: int
    total_ms_p50: float | None
    total_ms_p95: float | None
    first_token_ms_p50: float | None
    first_token_ms_p95: float | None
    finishes: dict[str, int]
    codes: dict[str, int]


class Traces:
    """The traces of one store. Safe to share between threads and processes."""

    def __init__(self, store: Store) -> None:
        self._database = Database(store, _TABLES, synchronous="NORMAL")

    def add(self, traces: Sequence[Trace]) -> None:
        """Write some, all or none. Raises StoreError."""
        marks = ", ".join("?" * len(_COLUMNS))
        with self._database.transaction() as database:
            database.executemany(
                f"INSERT INTO traces ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608 names of ours
                [tuple(getattr(trace, column) for column in _COLUMNS) for trace in traces],
            )

    def prune(self, rows: int, days: float) -> int:
        """Remove all but the newest `rows`, and what is older than `days` (0: no limit). Returns how many went."""
        with self._database.transaction() as database:
            newest = database.execute("SELECT max(number) FROM traces").fetchone()[0] or 0
            gone = database.execute("DELETE FROM traces WHERE number <= ?", (newest - rows,)).rowcount
            if days > 0:
                oldest = stamp(datetime.now(UTC) - timedelta(days=min(days, 36_500)))
                gone += database.execute("DELETE FROM traces WHERE time < ?", (oldest,)).rowcount
        return gone

    def find(self, *, since: str = "", model: str = "", errors: bool = False, limit: int = MAX_LISTED) -> list[Trace]:
        """The newest `limit` of those that came since then (RFC 3339), of a model by whole or bare name, oldest first.

        Raises StoreError.
        """
        if not self._database.exists():
            return []
        asked, values = ["time >= ?"], [since]
        if model:
            asked.append("(model = ? OR model LIKE ? ESCAPE '\\')")
            values += [model, re.sub(r"([%_\\])", r"\\\1", model) + ":%"]
        if errors:
            asked.append("(status >= 400 OR code != '')")
        query = (
            f"SELECT {', '.join(_COLUMNS)} FROM traces WHERE {' AND '.join(asked)} "  # noqa: S608 names of ours
            "ORDER BY number DESC LIMIT ?"
        )
        with self._database.reading() as database:
            found = database.execute(query, (*values, limit)).fetchall()
        return [Trace.model_validate(dict(zip(_COLUMNS, row, strict=True))) for row in reversed(found)]


def stamp(time: datetime) -> str:
    """A time as traces hold it: of one length, so that texts sort as times do."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_since(text: str) -> str:
    """`30m`, `12h`, `7d`, or a date or time such as 2026-03-01, as a stamp; empty for "". Raises InputError."""
    if not text:
        return ""
    if match := _AGE.fullmatch(text):
        return stamp(datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])}))
    try:
        found = datetime.fromisoformat(text)
        return stamp(found)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{text[:40]!r} is no time.", "Say such as 30m, 12h, 7d, or 2026-03-01T12:00.") from error


def summarize(traces: Sequence[Trace]) -> list[Summary]:
    """One row for all, then one for each model, the busiest first."""
    counts = Counter(trace.model for trace in traces)
    groups = [("", list(traces))]
    groups += [(model, [trace for trace in traces if trace.model == model]) for model, _ in counts.most_common()]
    return [_summary(model or "(no model)" if number else "all", rows) for number, (model, rows) in enumerate(groups)]


def _summary(model: str, traces: Sequence[Trace]) -> Summary:
    failed = sum(trace.failed for trace in traces)
    total = sorted(trace.total_ms for trace in traces if trace.status == 200)
    first = sorted(trace.first_token_ms for trace in traces if trace.first_token_ms is not None)
    return Summary(
        model=model,
        requests=len(traces),
        refused=sum(400 <= trace.status < 500 for trace in traces),
        left=sum(trace.status == 0 for trace in traces),
        failed=failed,
        error_rate=failed / len(traces) if traces else 0.0,
        prompt_tokens=sum(trace.prompt_tokens for trace in traces),
        completion_tokens=sum(trace.completion_tokens for trace in traces),
        total_ms_p50=_rank(total, 0.5),
        total_ms_p95=_rank(total, 0.95),
        first_token_ms_p50=_rank(first, 0.5),
        first_token_ms_p95=_rank(first, 0.95),
        finishes=dict(Counter(trace.finish for trace in traces if trace.finish)),
        codes=dict(Counter(trace.code for trace in traces if trace.code)),
    )


def _rank(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of numbers in order."""
    return round(ordered[math.ceil(share * len(ordered)) - 1], 3) if ordered else None
