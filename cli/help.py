"""Help texts in sections, as plain text: to draw boxes around them would take longer than all the rest of `--help`.

A command or option is in the section that its `rich_help_panel` names. Sections are in the order of their first entry,
RARE is last. Options without a section are everyday ones, under "Options"; a command's function has them first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from leakysm.errors import UserError

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
RARE = "Rarely needed"
LONGEST = 300  # characters: in the list of commands, a command's first sentence is not cut
KINDS = {"int": "<number>", "float": "<number>", "str": "<text>", "Path": "<path>"}  # by the names of Python's types
PLAIN = (  # what Typer writes, and what we write instead
    (r"\[default: \((.*?)\)", r"[default: \1"),  # a default in words comes in brackets
    (r"(\d+)<=x<=9223372036854775807|x>=(\d+)", r"at least \1\2"),
)
Entry = tuple[str, tuple[str, str]]  # section, (name, text)


def write_sections(formatter: Any, entries: Iterable[Entry]) -> None:
    """The entries by section."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for section, entry in entries:
        sections.setdefault(section, []).append(entry)
    for section in sorted(sections, key=RARE.__eq__):
        rows = sections[section]
        with formatter.section(section):
            formatter.write_dl(rows)


def parameters(command: Any, context: Any) -> Iterable[Entry]:
    """A command's arguments, then its options."""
    shown = [(p, record) for p in command.get_params(context) if (record := p.get_help_record(context))]
    for kind, section in (("argument", "Arguments"), ("option", "Options")):
        for parameter, record in shown:
            if parameter.param_type_name == kind:
                name, text = record
                for pattern, words in PLAIN:
                    text = re.sub(pattern, words, text)
                name = re.sub(r"<(?:list\[)?(\w+)(?:\])?(?: range)?>", _kind, name)
                yield getattr(parameter, "rich_help_panel", None) or section, (name, text)


def _kind(match: re.Match[str]) -> str:
    """What an option takes, in a common word; a name of one of our own kinds stays."""
    return KINDS.get(match[1], match[0])


def with_whole_examples(help: str | None) -> str | None:
    """The text with a mark before each example: its line is not broken, so that it can be copied."""
    return help and help.replace("\n\nExample:", "\n\n\b\nExample:")


class SectionedCommand(TyperCommand):
    """A command whose options are listed in sections. No value is empty: as a path it would mean `.`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the values into the context. UserError for an empty one, which a shell makes of an unset variable."""
        values = self.make_parser(ctx).parse_args(list(args))[0]
        for parameter in self.get_params(ctx):
            value = values.get(parameter.name)
            if value == "" or (isinstance(value, list | tuple) and "" in value):
                option = parameter.param_type_name == "option"
                name = parameter.opts[0] if option else parameter.metavar or parameter.name
                raise UserError(f"{name} is empty; give it a value" + (", or leave it out" if option else ""))
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """What the command does, with an example."""
        self.help = with_whole_examples(self.help)
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options, section by section."""
        write_sections(formatter, parameters(self, ctx))


class SectionedGroup(TyperGroup):
    """Commands in sections."""

    def get_params(self, ctx: Any) -> Any:
        """The group's options. The default of Typer's own flags is False, not None: to check None, Typer would import
        pydantic, which takes a third of the time of `leakysm train --help`."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            if parameter.default is None and getattr(parameter, "is_flag", False):
                parameter.default = False
        return parameters

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """What the commands are for, with an example."""
        self.help = with_whole_examples(self.help)
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Options of the group, then its commands, section by section."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        write_sections(
            formatter,
            (
                (getattr(command, "rich_help_panel", None) or "Commands", (name, command.get_short_help_str(LONGEST)))
                for name, command in commands
                if command and not command.hidden
            ),
        )
        write_sections(formatter, parameters(self, ctx))
