"""Numbers that are all small, or all large, in a unit that fits them.

Influence scores are multiplied by learning rates: with three decimals, each of them is shown as 0.
"""

import math

import pandas as pd

DIGITS = range(4, 7)  # significant digits: no more than it takes to tell numbers apart


def in_fitting_unit(numbers: pd.Series) -> pd.Series:
    """Return numbers as a reader sees them, in a power of 1,000 that fits the largest.

    Every number has four significant digits, or up to six if it takes them to tell the numbers apart. So only
    zero is shown as 0.

    Args:
        numbers: finite, with a name.

    Returns:
        Text; the name says the unit, as in "score (× 1e-6)".
    """
    exponent = fitting_exponent(numbers.abs().max())
    # Python's floats: float32 would add digits of its own.
    scaled = [float(number) / 10.0**exponent for number in numbers]
    for digits in DIGITS:
        shown = [f"{number:#.{digits}g}".rstrip(".") if number else "0" for number in scaled]
        if len(set(shown)) == len(set(scaled)):
            break
    unit = f" (× 1e{exponent})" if exponent else ""
    return pd.Series(shown, numbers.index, name=f"{numbers.name}{unit}", dtype=str)


def fitting_exponent(largest: float) -> int:
    """Return the exponent of the power of 1,000 that fits a number, 0 or above: 1 to 999 times the power."""
    return 3 * math.floor(math.log10(largest) / 3) if largest > 0 else 0
