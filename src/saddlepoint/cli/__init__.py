"""The command line: parse, call the library, print. torch is imported when a command needs it."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from saddlepoint import __version__
from saddlepoint.cli.attack import attack
from saddlepoint.cli.console import at_work, note, plain_warnings
from saddlepoint.cli.demo import demo
from saddlepoint.cli.evaluate import evaluate
from saddlepoint.cli.lab import lab
from saddlepoint.cli.lists import attacks, data, defences, models, recipes
from saddlepoint.cli.rejudge import rejudge
from saddlepoint.cli.streams import failed, flushed, occupy
from saddlepoint.cli.study import study
from saddlepoint.cli.train import train
from saddlepoint.errors import InputError
from saddlepoint.reading import shown

app = typer.Typer(
    name="saddlepoint",
    no_args_is_help=True,
    add_completion=False,
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
    rejudge,
    lab,
    attacks,
    defences,
    models,
    data,
    recipes,
):
    app.command()(at_work(command))
app.add_typer(study, name="study")


def main() -> None:
    """Run the command line and exit: 0 done, 2 for input that cannot be used, 130 or 143 when
    stopped.
    """
    occupy()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; errors are one or two lines on stderr.

    >>> run(["--version"])
    saddlepoint 0.1.0
    0
    """
    return flushed(_run(arguments))


def _run(arguments: Sequence[str]) -> int:
    debug = "--debug" in arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    plain_warnings()
    if "" in arguments:
        note("error: an argument is empty; give it a value, or leave its option out")
        return 2
    # --debug may stand anywhere, also behind the command's name.
    words = [*(["--debug"] if debug else []), *(word for word in arguments if word != "--debug")]
    try:
        status = int(app(words, prog_name="saddlepoint", standalone_mode=False) or 0)
        if status == 130:  # what the option parser makes of Ctrl-C
            note("stopped")
        return status
    except InputError as error:
        if debug:
            raise
        note(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        note("stopped")
        return 130
    except SystemExit as error:  # the option parser's way out of a pipe that nobody reads
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return failed(error.__context__)
    except Exception as error:
        expected = _expected(error, arguments)
        if expected is None or debug:
            raise
        return expected


def _expected(error: Exception, arguments: Sequence[str]) -> int | None:
    """Return the status of an exception that is no fault of the program, after saying what it
    was.
    """
    kind = type(error).__name__
    if kind == "NoArgsIsHelpError":
        print(str(error))
        return 0
    if hasattr(error, "format_message"):  # the option parser's: an unknown option, no value …
        note(f"error: {error.format_message()}{_seen(error, arguments)}")
        return 2
    if kind == "Abort":  # what older option parsers make of Ctrl-C
        note("stopped")
        return 130
    if hasattr(error, "signal"):  # training stopped
        note(f"{error}; go on with --resume" if getattr(error, "saved", False) else str(error))
        return 128 + int(error.signal)
    if isinstance(error, OSError) and error.filename is not None:  # a name too long, a lost right
        note(f"error: cannot use {shown(error.filename)}: {error.strerror or kind}")
        return 2
    if kind == "OutOfMemoryError":
        note("error: the device is out of memory; lower --batch-size")
        return 2
    if isinstance(error, OSError):
        return failed(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        note("error: there is not enough memory; lower --batch-size or --limit")
        return 2
    return None


def _seen(error: Any, arguments: Sequence[str]) -> str:
    """Return what was given for the option that the parser complains of, where it does not say."""
    for name in getattr(getattr(error, "param", None), "opts", ()):
        for word, after in itertools.pairwise((*arguments, "")):
            option, equals, value = word.partition("=")
            given = value if equals else after
            if option == name and given and given not in error.format_message():
                return f"; it is {given[:60]}"
    return ""
