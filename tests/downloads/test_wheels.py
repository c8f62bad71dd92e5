"""The cache of converted data files: whole or absent, checked, safe for several processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from modspec.downloads import wheels
from modspec.downloads.wheels import Wheel, converted, damage
from modspec.errors import InputError

WHEEL = Wheel("example==1.0", "0" * 64, "example/data.bin")


def fake_download(wheel: Wheel, scratch: Path) -> Path:
    path = scratch / "data.bin"
    path.write_bytes(b"data")
    return path


def convert(source: Path, directory: Path) -> None:
    (directory / "big").write_bytes(source.read_bytes() * 1000)
    (directory / "small").write_text("small")
    with (directory.parent / "conversions").open("a") as log:
        log.write("x")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wheels, "download", fake_download)
    converted.cache_clear()
    return tmp_path / "cache" / "example"


def conversions(directory: Path) -> int:
    return len((directory.parent / "conversions").read_text())


def test_converts_once(directory: Path) -> None:
    for _ in range(3):
        assert converted(WHEEL, convert, directory) == directory
        converted.cache_clear()
    assert conversions(directory) == 1
    assert {path.name for path in directory.iterdir()} == {"big", "small", "checksums.json"}
    assert damage(directory) is None


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("break_file", [truncate, alter, Path.unlink])
@pytest.mark.parametrize("name", ["big", "small", "checksums.json"])
def test_damage_is_named_and_repaired(directory: Path, break_file, name: str) -> None:
    converted(WHEEL, convert, directory)
    converted.cache_clear()
    break_file(directory / name)
    assert str(directory) in (damage(directory) or "")
    with pytest.warns(UserWarning, match="building it again"):
        converted(WHEEL, convert, directory)
    assert damage(directory) is None
    assert (directory / "big").read_bytes() == b"data" * 1000


def test_a_home_that_is_missing_or_read_only_is_one_line_that_names_the_variable(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # no directory can be made below it, not even by root
    with pytest.raises(InputError, match=f"^MODSPEC_CACHE: {tmp_path}/file/cache cannot be written"):
        converted(WHEEL, convert, tmp_path / "file" / "cache" / "example")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for chosen in ("", "~no-such-user/cache"):
        monkeypatch.setenv("MODSPEC_CACHE", chosen)
        monkeypatch.setattr(Path, "expanduser", no_home)
        with pytest.raises(InputError, match=f"^MODSPEC_CACHE: '{chosen}', and there is no home directory"):
            wheels.cache_root()


def no_home(path: Path) -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_altered_file_is_named(directory: Path) -> None:
    converted(WHEEL, convert, directory)
    alter(directory / "big")
    assert str(directory / "big") in (damage(directory) or "")


def test_failed_conversion_leaves_nothing_that_looks_whole(directory: Path) -> None:
    def killed(source: Path, target: Path) -> None:
        (target / "big").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted(WHEEL, killed, directory)
    assert not directory.exists()
    converted(WHEEL, convert, directory)
    assert damage(directory) is None


def convert_in_child(directory: Path, results: multiprocessing.Queue) -> None:
    wheels.download = fake_download
    converted.cache_clear()
    results.put(damage(converted(WHEEL, convert, directory)))


def test_processes_at_the_same_time_convert_once(directory: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=convert_in_child, args=(directory, results)) for _ in "1234"]
    for child in children:
        child.start()
    assert [results.get(timeout=30) for _ in children] == [None] * 4
    for child in children:
        child.join()
    assert conversions(directory) == 1


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of one wheel, for pip itself."""
    folder = tmp_path / "index"
    folder.mkdir()
    path = folder / "example-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("example/data.bin", b"payload")
        archive.writestr("example-1.0.dist-info/METADATA", metadata)
        archive.writestr("example-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("example-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


def test_download_verifies_and_extracts(index: Path, tmp_path: Path) -> None:
    wheel = replace(WHEEL, sha256=hashlib.sha256(index.read_bytes()).hexdigest())
    assert wheels.download(wheel, tmp_path).read_bytes() == b"payload"


def test_another_wheel_is_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"example==1\.0 has sha256 [0-9a-f]{64}, expected 0{64}"):
        wheels.download(WHEEL, tmp_path)


def test_missing_wheel_is_reported(index: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pip could not download absent==2") as caught:
        wheels.download(replace(WHEEL, requirement="absent==2"), tmp_path)
    assert "\n" not in str(caught.value)


def test_cache_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MODSPEC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert wheels.cache_root() == tmp_path / "modspec"
    monkeypatch.setenv("MODSPEC_CACHE", str(tmp_path / "own"))
    assert wheels.cache_root() == tmp_path / "own"
