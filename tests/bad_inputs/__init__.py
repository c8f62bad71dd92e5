"""Bad inputs, each a different way to go wrong, and what the one line that refuses it must name."""

from tests.bad_inputs import command_line, encoders, file_contents, file_names, notebooks, presets  # noqa: F401
from tests.bad_inputs.answers import BadInput, complaints, refusal
from tests.bad_inputs.data_checks import DATA

__all__ = ["ALL", "BadInput", "complaints", "refusal"]

ALL = [
    *DATA,
    *presets.ROWS,
    *command_line.ROWS,
    *notebooks.ROWS,
    *encoders.ROWS,
]
