"""The verbs and where they live."""

from __future__ import annotations

import typer

from linnet.cli import (
    build,
    check,
    classify,
    compare,
    convert,
    cp,
    create,
    data,
    doctor,
    engine,
    evaluate,
    import_,
    keys,
    list_,
    merge,
    plan,
    ps,
    pull,
    quantize,
    rm,
    run,
    runs,
    serve,
    settings,
    show,
    stop,
    traces,
    tune,
)
from linnet.version import __version__

app = typer.Typer(
    name="linnet",
    help="From your examples to a small language model you can trust, on hardware you own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("build")(build.build)
app.add_typer(data.app, name="data")
app.command("tune")(tune.tune)
app.command("merge")(merge.merge)
app.add_typer(runs.app, name="runs")
app.command("plan")(plan.plan)
app.command("convert")(convert.convert)
app.command("quantize")(quantize.quantize)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("check")(check.check)
app.command("classify")(classify.classify)
app.command("serve")(serve.serve)
app.command("ps")(ps.ps)
app.command("stop")(stop.stop)
app.add_typer(keys.app, name="keys")
app.command("traces")(traces.traces)
app.command("run")(run.run)
app.command("pull")(pull.pull)
app.command("import")(import_.import_)
app.command("list")(list_.list_)
app.command("show")(show.show)
app.command("rm")(rm.rm)
app.command("cp")(cp.cp)
app.command("create")(create.create)
app.add_typer(engine.app, name="engine")
app.command("doctor")(doctor.doctor)
app.command("settings")(settings.settings)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    del version
