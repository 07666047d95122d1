"""What can go wrong in a user's hands. The command line prints these in one line; no traceback may reach a user."""


class LeakysmError(Exception):
    """Base of every error that a user can cause. `exit_code` is the command line's exit status."""

    exit_code = 1


class UserError(LeakysmError, ValueError):
    """Bad use: the message names the thing, what was found, what was expected, and the mend."""

    exit_code = 2


class CheckFailed(LeakysmError):  # noqa: N818  (a finding, not a fault)
    """A check that the user asked for, or that training makes of itself, did not hold."""

    exit_code = 1


class ArrayError(UserError, TypeError):
    """Arrays of a kind that an operation cannot take: mixed namespaces, mixed or non-float dtypes."""
