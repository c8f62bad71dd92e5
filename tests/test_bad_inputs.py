"""Every bad input is refused by one line that names it; ``tests/bad_inputs/`` has them."""

from pathlib import Path

import pytest

from tests.bad_inputs import ALL, BadInput, complaints, refusal


def test_there_are_many_and_each_is_another_one() -> None:
    assert len(ALL) >= 300
    inputs = {(bad.command, bad.name) for bad in ALL}
    assert len(inputs) == len(ALL)


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: f"{bad.command}: {bad.name}"[:60])
def test_one_line_names_what_is_wrong(bad: BadInput, tmp_path: Path) -> None:
    line = refusal(bad, tmp_path)
    assert not complaints(bad, line), line
