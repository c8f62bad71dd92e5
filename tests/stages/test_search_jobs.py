"""A search by jobs of one language each gives what one job gives, and a lost piece is made again alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modspec.stages import search, warm_start
from modspec.stages.piece_job import search_piece
from modspec.stages.search import search_all
from modspec.workflow.artifacts import MANIFEST, content_fingerprint
from modspec.workflow.paths import pieces_dir, search_dir
from modspec.workflow.presets import resolve
from tests.stages.test_search import arguments

STARTED = {"start_languages": ("de",), "start_epochs": 1}


@pytest.mark.parametrize("options", [{}, STARTED, {"pooled_others": False}])
def test_jobs_in_any_order_give_the_masks_of_one_job(tmp_path: Path, monkeypatch, options: dict) -> None:
    options = {"epochs": 1, "threshold": 0.6, **options}
    whole = content_fingerprint(search_all(*arguments(tmp_path / "whole", **options)))
    material, p = arguments(tmp_path / "jobs", **options)
    languages = p.languages[::-1]
    kinds = {"warm_start": [""]} if p.start_languages else {}
    kinds |= {"language_search": languages, "pooled_others": languages if p.pooled_others else []}
    pieces = [search_piece(material, p, kind, t) for kind, words in kinds.items() for t in words]
    assert all(len(of_job) == 1 for of_job in pieces)
    made = {file.parent for file in (tmp_path / "jobs").rglob(MANIFEST)}
    assert made == {piece for of_job in pieces for piece in of_job}
    # Nothing is left to compute: were a piece made, it would fail.
    for module, name in ((search, "finetune"), (search, "head_gradients"), (warm_start, "finetune")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("a piece was lost"))
    assert content_fingerprint(search_all(material, p)) == whole
    assert not pieces_dir(search_dir(p, 0)).exists()
    assert search_piece(material, p, "pooled_others", "en") == []  # all is searched


def test_a_lost_piece_is_made_again_alone(tmp_path: Path) -> None:
    material, p = arguments(tmp_path, epochs=1, threshold=0.6, **STARTED)

    def made() -> dict[Path, int]:
        jobs = [("warm_start", ""), ("language_search", "en"), ("language_search", "de")]
        jobs += [("pooled_others", "en"), ("pooled_others", "de")]
        pieces = [piece for job in jobs for piece in search_piece(material, p, *job)]
        return {piece: (piece / MANIFEST).stat().st_mtime_ns for piece in pieces}

    before = made()
    for lost in before:
        shutil.rmtree(lost)
        now = made()
        assert {piece for piece in now if now[piece] != before[piece]} == {lost}
        before = now


def test_a_pooled_others_mask_of_other_weights_is_not_used(tmp_path: Path, monkeypatch) -> None:
    """Another kind of processor could search a lost language again, with another result."""
    material, p = arguments(tmp_path, epochs=1, threshold=0.6)
    (piece,) = search_piece(material, p, "pooled_others", "en")
    before = (piece / MANIFEST).stat().st_mtime_ns
    shutil.rmtree(piece.with_name("de"))
    monkeypatch.setattr(search, "finetune", lambda *_, **__: None)
    search_piece(material, p, "language_search", "de")
    search_piece(material, p, "pooled_others", "en")
    assert (piece / MANIFEST).stat().st_mtime_ns != before


def test_whether_languages_are_jobs_is_no_part_of_what_decides_masks() -> None:
    by_language, in_one = (resolve({"search_by_language": divided}) for divided in (True, False))
    assert by_language.parameters("search") == in_one.parameters("search")
