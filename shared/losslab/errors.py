"""Errors that are the caller's to mend."""


class InputError(ValueError):
    """Bad input, with a message for the user."""
