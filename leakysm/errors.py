"""Errors that a user can cause. The command line prints each in one line, without a traceback."""

from collections.abc import Iterable


class LeakysmError(Exception):
    """Base of every error that a user can cause. `exit_code` is the command line's exit status."""

    exit_code = 1


class UserError(LeakysmError, ValueError):
    """Bad use. The message says what is wrong, what was found, what was expected, and what to do."""

    exit_code = 2


class CheckFailed(LeakysmError):  # noqa: N818  (a finding, not a fault)
    """A check failed: one that the user asked for, or one that training makes."""

    exit_code = 1


class ArrayError(UserError, TypeError):
    """Arrays of a kind that an operation cannot take: mixed namespaces, mixed or non-float dtypes."""


def text_of(error: BaseException) -> str:
    """The text of an exception; none if it cannot be had, as an exception of somebody's own class may raise another."""
    try:
        return str(error)
    except Exception:
        return ""


def described(error: BaseException) -> str:
    """The type and the text of an exception in one line."""
    return " ".join(f"{type(error).__name__}: {text_of(error)}".split()).removesuffix(":")


def require_kind(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """UserError unless the value is of this kind, or of one of these. expected: what is, and what to do."""
    if isinstance(value, kind):
        return
    if not isinstance(value, type):
        found = "None" if value is None else f"of type {type(value).__name__}"
    else:
        found = f"the class {value.__name__}"
        if issubclass(value, kind):
            expected = f"an instance is expected: give {value.__name__}(...)"
    raise UserError(f"{name} is {found}; {expected}")


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most similar to the word, or that begins with it, or that it begins with; None if there is none."""
    from difflib import get_close_matches

    choices = list(choices)
    longer = [choice for choice in choices if len(word) > 1 and (choice.startswith(word) or word.startswith(choice))]
    return next(iter(get_close_matches(word, choices, n=1, cutoff=0.65) or longer), None)


def suggestion(word: object, choices: Iterable[str]) -> str:
    """What to do about a name that is none of the choices: the most similar one, or all of them."""
    choices = list(choices)
    near = choices[0] if len(choices) == 1 else nearest(str(word), choices)
    return f"did you mean {near!r}?" if near else f"choose one of {', '.join(choices)}"
