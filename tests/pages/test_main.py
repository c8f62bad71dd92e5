"""The command that writes all pages of a study."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modspec.errors import InputError
from modspec.pages import __main__ as command


def test_a_blind_study_has_no_pages() -> None:
    with pytest.raises(InputError, match="blind: true; allowed: false"):
        command.write_pages(SimpleNamespace(blind=True))


def test_a_wrong_setting_is_refused_in_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^error: preset: 'nothing'"):
        command.main(["preset=nothing"])


def test_a_study_that_was_not_run_is_refused_in_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^error: .*never-run/influence/full-seed0: no manifest.json; run"):
        command.main(["preset=embedded", "study=never-run"])
