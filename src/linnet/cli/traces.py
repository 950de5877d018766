"""`linnet traces`: what the server answered, request by request or in sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from linnet.core.traces import Summary, Trace


def traces(
    *,
    since: Annotated[str, typer.Option(help="Since then: 30m, 12h, 7d, or a date such as 2026-03-01.")] = "",
    model: Annotated[str, typer.Option(help="Only of this model: name or name:tag.")] = "",
    errors: Annotated[bool, typer.Option("--errors", help="Only what was refused or failed.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The newest so many. Default: 50, with --summary all.")
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Counts, error rate and times, in all and by model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """List the requests that the server answered, the oldest first. Texts are there only where they were kept."""
    from linnet.cli.printing import plain, print_json
    from linnet.core.store import Store
    from linnet.core.traces import MAX_SUMMARIZED, Traces, parse_since, summarize

    most = limit or (MAX_SUMMARIZED if summary else 50)
    found = Traces(Store()).find(since=parse_since(since), model=model, errors=errors, limit=most)
    rows = summarize(found) if summary else found
    if as_json:
        print_json([row.to_json() for row in rows])
        return
    if not found:
        print(
            "There are no traces." + (" Others may be older, or of another model." if since or model or errors else "")
        )
        return
    print("\n".join(map(plain, _summaries(summarize(found)) if summary else _rows(found))))


def _rows(found: list[Trace]) -> list[str]:
    width = max(5, *(len(trace.model) for trace in found)) + 2
    head = f"{'time':<26}{'route':<28}{'model':<{width}}{'status':>6}{'in':>8}{'out':>7}{'first ms':>10}{'ms':>10}  end"
    lines = [head]
    for one in found:
        first = "-" if one.first_token_ms is None else f"{one.first_token_ms:.0f}"
        numbers = f"{one.status:>6}{one.prompt_tokens:>8}{one.completion_tokens:>7}{first:>10}{one.total_ms:>10.0f}"
        lines.append(
            f"{one.time:<26}{one.route:<28}{one.model or '-':<{width}}{numbers}  {one.code or one.finish or '-'}"
        )
        lines += [f"    {name}: {text}" for name, text in (("request", one.request), ("answer", one.answer)) if text]
    return lines


def _summaries(found: list[Summary]) -> list[str]:
    width = max(len(row.model) for row in found) + 2
    lines = [
        f"{'model':<{width}}{'requests':>9}{'refused':>9}{'left':>6}{'failed':>8}{'rate':>8}"
        f"{'in':>10}{'out':>10}{'ms p50':>9}{'p95':>9}{'first p50':>11}{'p95':>9}"
    ]
    for row in found:
        times = (row.total_ms_p50, row.total_ms_p95, row.first_token_ms_p50, row.first_token_ms_p95)
        p50, p95, first50, first95 = ("-" if ms is None else f"{ms:.0f}" for ms in times)
        lines.append(
            f"{row.model:<{width}}{row.requests:>9}{row.refused:>9}{row.left:>6}{row.failed:>8}{row.error_rate:>8.2%}"
            f"{row.prompt_tokens:>10}{row.completion_tokens:>10}{p50:>9}{p95:>9}{first50:>11}{first95:>9}"
        )
    codes = ", ".join(f"{code} {count}" for code, count in sorted(found[0].codes.items()))
    return [*lines, f"errors: {codes}"] if codes else lines
