"""The list of commands in `--help`, where every summary ends whole, however narrow the terminal."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

_LONG = 1000  # characters, more than any summary has


class WholeSummaries(TyperGroup):
    """A group of commands whose summaries are wrapped, not cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the name and the first sentence of every command."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(_LONG))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
