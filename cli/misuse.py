"""Errors in a command line, in one line each: an unknown name with the nearest known one, a value with what is allowed.

Typer's own errors come here. They are known by their attributes: Typer's copy of Click is private.
"""

from __future__ import annotations

import re
from typing import Any


def reworded(error: Any) -> str:
    """What the error says, in this program's words, and where to read on."""
    words = _unknown_option(error) or _command(error) or _choice(error) or _number(error) or _too_much(error)
    plain = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    message = words or re.sub("Missing (?:argument|option) '(.+?)'", r"\1 is missing", plain)
    context = getattr(error, "ctx", None)
    return (
        f"{message}{' See' if message.endswith('?') else '; see'} {context.command_path} --help" if context else message
    )


def _unknown_option(error: Any) -> str | None:
    from leakysm.choices import ALSO_CALLED, LEAKY
    from leakysm.errors import nearest

    if not hasattr(error, "option_name") or not hasattr(error, "possibilities"):
        return None
    known = [option for p in error.ctx.command.params for option in p.opts if option.startswith("--")]
    name = error.option_name.lstrip("-")
    if name in {*LEAKY, "scale"} and "--set" in known:
        mend = f"--setting leaky,{name}=VALUE" if "--setting" in known and name in LEAKY else f"--set {name}=VALUE"
        return f"there is no option {error.option_name}; did you mean {mend}?"
    usual = "--" + ALSO_CALLED.get(name, "").replace("_", "-")
    near = usual if usual in known else nearest(error.option_name, known)
    return f"there is no option {error.option_name}" + (f"; did you mean {near}?" if near else "")


def _command(error: Any) -> str | None:
    """A subcommand that is missing or unknown."""
    from leakysm.errors import suggestion

    message = error.format_message()
    context = getattr(error, "ctx", None)
    commands = context.command.list_commands(context) if context and hasattr(context.command, "commands") else []
    if commands and message.startswith("Missing command"):
        return f"choose a subcommand: {', '.join(commands[:-1])} or {commands[-1]}"
    unknown = re.match("No such command '(.*?)'", message)
    return f"there is no command {unknown[1]!r}; {suggestion(unknown[1], commands)}" if unknown else None


def _choice(error: Any) -> str | None:
    """`--dataset is 'omnigot'; did you mean 'omniglot'?`, of an option that takes one of some names."""
    from leakysm.errors import suggestion

    wrong = re.search("'(.*)' is not one of (.*)", error.message)
    if not wrong or not getattr(error, "param", None):
        return None
    choices = re.findall("'(.*?)'", wrong[2])
    return f"{error.param.opts[0]} is {wrong[1]!r}; {suggestion(wrong[1], choices)}"


def _number(error: Any) -> str | None:
    """`--episodes is 'many': give a whole number`, of an option that takes a number. Pydantic converts the values."""
    if not hasattr(error.__cause__, "errors"):
        return None
    cause = error.__cause__.errors()[0]
    limits = cause.get("ctx", {})
    mend = {
        "int_parsing": "give a whole number",
        "int_from_float": "give a whole number",
        "float_parsing": "give a number",
        "greater_than_equal": f"give {limits.get('ge')} or more",
        "less_than_equal": f"give {limits.get('le')} or less",
    }.get(cause["type"])
    return f"{error.param.opts[0]} is {cause['input']!r}: {mend}" if mend else None


def _too_much(error: Any) -> str | None:
    """An argument, or an option's value, where none is taken."""
    message = error.format_message()
    extra = re.match(r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)", message)
    if extra:
        return f"{extra[1]}: no such argument is expected; leave it out"
    flag = re.match("Option '(.+?)' does not take a value", message)
    return f"{flag[1]} takes no value; write {flag[1]} alone" if flag else None
