"""The one exception that users are meant to read."""


class InputError(ValueError):
    """Bad input, found before any compute is spent.

    The message is one line that names the parameter (or the file and line), the value, and what is
    allowed. Notebooks, Snakemake and the library all raise the same type.
    """
