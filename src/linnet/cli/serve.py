"""`linnet serve`: answer over HTTP on this machine, or with keys to others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linnet.cli.printing import plain, print_json
from linnet.core import settings
from linnet.core.errors import InputError

if TYPE_CHECKING:
    from linnet.http.decoders import Decoders
    from linnet.http.exposure import Exposure
    from linnet.http.reload import Flags
    from linnet.stages.serve import Specialists


def chosen_port(port: int | None) -> int:
    """The port that was given, else the setting. Raises InputError."""
    if port is not None:
        return port
    number = settings.get_number("LINNET_PORT")
    if number != int(number):
        raise InputError(f"LINNET_PORT={settings.get('LINNET_PORT')!r} is not a whole number.")
    return int(number)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


Host = Annotated[
    str | None, typer.Option(help="Address to bind; one that is not loopback needs a key. Default: LINNET_HOST.")
]
Port = Annotated[int | None, typer.Option(help="Port; 0 takes a free one. Default: LINNET_PORT.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Serve this too: PATH or NAME=PATH of a GGUF file, or builtin:nano. May be repeated."),
]
HostNames = Annotated[
    list[str] | None, typer.Option("--host-name", help="A name that clients use for this server. May be repeated.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings; flags and LINNET_* variables go before it.")
]
Log = Annotated[str | None, typer.Option("--log", help="text: faults; json: a line for each request too.")]
TraceContent = Annotated[bool, typer.Option("--trace-content", help="Keep texts in traces, personal data masked.")]
RequireKey = Annotated[bool, typer.Option("--require-key", help="Ask for a key on loopback too.")]
Check = Annotated[bool, typer.Option("--check", help="Only say what would be open to whom, and serve nothing.")]


def serve(
    *,
    host: Host = None,
    port: Port = None,
    model: Models = None,
    host_name: HostNames = None,
    require_key: RequireKey = False,
    config: Config = None,
    log: Log = None,
    trace_content: TraceContent = False,
    check: Check = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it serves as one JSON line.")] = False,
) -> None:
    """Serve every specialist and GGUF decoder of the store over HTTP until it is stopped.

    SIGTERM lets running requests end, for at most 30 seconds; SIGHUP reads the configuration and the keys again. The
    routes are shown at /docs.
    """
    from linnet.http.reload import Flags, read_settings

    flags = Flags(
        config=config,
        host=host,
        port=port,
        models=model,
        host_names=host_name,
        require_key=require_key,
        log=log,
    )
    read_settings(flags)
    if trace_content:
        os.environ["LINNET_TRACE_CONTENT"] = "1"
    if _serve(flags, check=check, as_json=as_json):
        # The drain is over and a model still runs. Its thread cannot be stopped, and Python would wait for it.
        os._exit(0)


def _serve(flags: Flags, *, check: bool, as_json: bool) -> bool:
    """Serve, or only say what would be served. Returns whether a thread is still at work."""
    from linnet.core.keys import Keys
    from linnet.core.store import Store
    from linnet.core.traces import Traces
    from linnet.http import reload, server
    from linnet.http.access import Access
    from linnet.http.admission import Admission
    from linnet.http.app import create_app
    from linnet.http.decoders import Decoders, named_files
    from linnet.http.guard import HostNames
    from linnet.http.tracing import Recorder
    from linnet.stages.serve import Specialists

    store = Store()
    keys = Keys(store)
    wanted = reload.wanted(flags, keys, chosen_port(flags.port))
    found, specialists = wanted.exposure, Specialists(store)
    decoders = Decoders(store, named_files(wanted.models))
    admission, access, hosts = Admission(), Access(keys, required=found.key_required), HostNames(found.host_names)
    recorder = Recorder(Traces(store))
    try:
        if check:
            served = {"specialists": specialists.names(), "models": [info.full_name for info in decoders.all()]}
            _print_check(found.model_copy(update={name: tuple(names) for name, names in served.items()}), as_json)
            return False
        bound = server.bind(found.host, found.port, public=found.key_required)
        reload.set_log(wanted.log)
        more: dict[str, Any] = {"decoders": decoders, "access": access, "recorder": recorder}
        app = create_app(specialists, allowed_hosts=hosts, admission=admission, **more)
        address, number = bound.getsockname()[:2]
        facts = {"url": server.url(bound), "host": address, "port": number}
        reloader = reload.Reloader(flags, found.host, keys, access=access, hosts=hosts, decoders=decoders)
        server.run(app, bound, _announcement(facts, specialists, decoders, as_json), reloader)
        return admission.busy or app.state.serving.jobs.busy
    finally:
        decoders.close()
        recorder.close()


def _announcement(
    facts: dict[str, str | int], specialists: Specialists, decoders: Decoders, as_json: bool
) -> Callable[[], None]:
    def announce() -> None:
        count, models = len(specialists.store.names()), len(decoders.all())
        if as_json:
            print_json({**facts, "specialists": count, "models": models})
        else:
            print(f"serving on {facts['url']} ({_many(count, 'specialist')}, {_many(models, 'model')})", flush=True)

    return announce


def _print_check(found: Exposure, as_json: bool) -> None:
    from linnet.http.exposure import HERE

    if as_json:
        print_json(found.to_json())
        return
    print(f"address       {found.host} port {found.port}: reachable by {found.reachable_by}")
    print(f"host names    {plain(', '.join(found.host_names))}")
    print(f"without a key {', '.join(found.open_without_key)}")
    if not found.keys:
        print("keys          none")
    for key in found.keys:
        models = plain(", ".join(key.models)) or "every model"
        print(f"key           {plain(key.name)} ({key.id}): {', '.join(key.rights)}; {models}")
    for what, names in (("specialists", found.specialists), ("models", found.models)):
        print(f"{what:<14}{plain(', '.join(names)) or 'none'}")
    if found.reachable_by != HERE:
        print("encryption    none: keys and texts cross the network readable; put a proxy with TLS in front")
