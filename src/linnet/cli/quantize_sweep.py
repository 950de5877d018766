"""`linnet quantize --sweep`: what was measured as a table, a page or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.cli.printing import listener, plain, print_json
from linnet.cli.quantize_target import imatrix_of
from linnet.cli.run_input import file_text
from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.pipeline.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of a sweep; `bound` 0 for the usual one, `imatrix` as the command takes it."""

    types: str = ""
    text: tuple[Path, ...] = ()
    html: Path | None = None
    bound: float = 0.0
    imatrix: str = ""
    threads: int = 0
    data: Path | None = None
    metric: str = ""
    as_json: bool = False
    quiet: bool = False

    def are_wanted(self, *, sweep: bool, one: bool) -> bool:
        """Whether this is a sweep. one: flags that say how one file is made. Raises InputError where both are given."""
        if sweep and (one or self.imatrix == "auto"):
            raise InputError("--sweep tries many types and keeps none: leave out what says how one is made.")
        if not sweep and (self.types or self.text or self.html or self.bound or self.data or self.metric):
            raise InputError("--types, --text, --html, --bound, --data and --metric are for --sweep.", "Add it.")
        return sweep


def run_sweep(model: str, flags: Flags) -> None:
    """Sweep and print. Raises InputError for two texts of one name, and what the sweep raises."""
    from linnet.core.files import write_bytes
    from linnet.core.store import Store
    from linnet.pipeline.sweep import BOUND, SweepOptions, sweep

    matrix, _ = imatrix_of(flags.imatrix, None, False)
    texts = {path.name: file_text(path.expanduser()) for path in flags.text}
    if len(texts) < len(flags.text):
        raise InputError("two texts have the same file name: they could not be told apart.", "Rename one.")
    options = SweepOptions(
        types=tuple(name for name in flags.types.split(",") if name.strip()),
        texts=texts,
        imatrix=matrix,
        bound=flags.bound or BOUND,
        threads=flags.threads,
        data=flags.data,
        metric=flags.metric,
    )
    found = sweep(Store(), model, options, listener(flags.quiet or flags.as_json))
    if flags.html is not None:
        from linnet.pipeline.sweep_page import render

        write_bytes(flags.html.expanduser().absolute(), render(found).encode())
    if flags.as_json:
        print_json(found.to_json())
        return
    _print(found)
    if flags.html is not None:
        print(f"page: {flags.html}")


def _print(found: Sweep) -> None:
    from linnet.pipeline.sweep_page import summary

    rows = summary(found)
    names = list(rows[0])
    wide = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in ({name: name for name in names}, *rows):
        cells = [row[name].ljust(wide[name]) if name == "type" else row[name].rjust(wide[name]) for name in names]
        print(plain("  ".join(cells).rstrip()))
    first, measured = next(iter(found.reference.texts.items()))
    print(plain(f"on {measured.tokens:,} of {measured.text_tokens:,} tokens of {first}; KL in nats a token"))
    for kind, reason in found.skipped.items():
        print(plain(f"not made: {kind}: {reason}"))
    if found.stopped:
        print(plain(f"ended early: {found.stopped}"))
    print(plain(found.why))
