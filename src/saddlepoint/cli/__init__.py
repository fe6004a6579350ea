"""The command line: parse, call the library, print. torch is imported when a command needs it."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from saddlepoint import __version__
from saddlepoint.cli.attack import attack
from saddlepoint.cli.compare import compare
from saddlepoint.cli.console import at_work, documents_apart, note, plain_warnings, result, typed
from saddlepoint.cli.corrupt import corrupt
from saddlepoint.cli.demo import demo
from saddlepoint.cli.diagnose import diagnose
from saddlepoint.cli.evaluate import evaluate
from saddlepoint.cli.failures import Failure, failure_of, plugin_failure
from saddlepoint.cli.groups import WholeSummaries
from saddlepoint.cli.lab import lab
from saddlepoint.cli.lists import attacks, corruptions, data, defences, models, recipes
from saddlepoint.cli.look import look
from saddlepoint.cli.open import open_page
from saddlepoint.cli.reconstruct import reconstruct
from saddlepoint.cli.rejudge import rejudge
from saddlepoint.cli.sample import sample
from saddlepoint.cli.streams import failed, flushed, occupy, of_a_stream
from saddlepoint.cli.study import study
from saddlepoint.cli.train import train
from saddlepoint.cli.translate import translate
from saddlepoint.errors import InputError

app = typer.Typer(
    name="saddlepoint",
    cls=WholeSummaries,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"saddlepoint {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """A laboratory for adversarial robustness: attacks, defences, evaluation and studies."""


for command in (
    demo,
    train,
    attack,
    evaluate,
    diagnose,
    look,
    reconstruct,
    sample,
    translate,
    corrupt,
    compare,
    rejudge,
    lab,
    attacks,
    defences,
    models,
    data,
    corruptions,
    recipes,
):
    app.command()(at_work(command))
app.command("open")(at_work(open_page))
app.add_typer(study, name="study")


def main() -> None:
    """Run the command line and exit: 0 done, 2 for input that cannot be used, 130 or 143 when
    stopped.
    """
    occupy()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; errors are one or two lines on stderr, and with
    --json a document on stdout too.

    >>> run(["--version"])
    saddlepoint 0.1.0
    0
    """
    with documents_apart() if "--json" in arguments else contextlib.nullcontext():
        status = _run(arguments)
    return flushed(status)


def _run(arguments: Sequence[str]) -> int:
    debug = "--debug" in arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    plain_warnings()
    try:
        if "" in arguments:
            raise InputError("an argument is empty; give it a value, or leave its option out")
        # --debug may stand anywhere, also behind the command's name.
        words = [
            *(["--debug"] if debug else []),
            *(each for each in arguments if each != "--debug"),
        ]
        with typed(arguments):
            status = int(app(words, prog_name="saddlepoint", standalone_mode=False) or 0)
        if status == 130:  # what the option parser makes of Ctrl-C
            return _failed(Failure("stopped", "stopped", 130), arguments)
        return status
    except SystemExit as error:  # the option parser's way out of a pipe that nobody reads
        if isinstance(error.__context__, BrokenPipeError):
            return failed(error.__context__)
        if (failure := plugin_failure(error)) is not None:
            return _failed(failure, arguments)
        raise
    except (Exception, KeyboardInterrupt) as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(str(error))
            return 0
        if isinstance(error, OSError) and of_a_stream(error):
            return failed(error)
        failure = failure_of(error, arguments)
        if failure is None or (debug and failure.status == 2):
            if not debug:
                _tell(Failure(f"{type(error).__name__}: {error}", "internal", 1), arguments)
            raise
        return _failed(failure, arguments)


def _failed(failure: Failure, arguments: Sequence[str]) -> int:
    note(f"error: {failure.message}" if failure.status == 2 else failure.message)
    _tell(failure, arguments)
    return failure.status


def _tell(failure: Failure, arguments: Sequence[str]) -> None:
    if "--json" in arguments:
        with contextlib.suppress(OSError, ValueError):  # the stream itself may be what failed
            result(failure.json(), True, lambda: None)
