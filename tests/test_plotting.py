"""Figures: drawn from any plausible study, legible, right, the same bytes again, without torch."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from modspec import plotting
from modspec.errors import InputError
from modspec.plotstyle import LANGUAGES, language_colour

REPOSITORY = Path(__file__).parents[1]
CODES = "de en es fr ru ko zh ja pl it".split()
STUDIES = [(2, 1), (5, 2), (10, 5)]  # languages, seeds
CONDITIONS = ["full", "sft", "sft_random"]
KINDS = ["none", "own", "other_language", "other_seed", "random"]


def synthetic(languages: int, seeds: int) -> dict[str, pd.DataFrame]:
    """Frames with the columns and rough numbers of a real study, the same on every call."""
    rng = np.random.default_rng(languages * 100 + seeds)
    codes, ids = sorted(CODES[:languages]), range(seeds)
    chance = 1 / languages
    base = rng.random((12, 12))
    masks = {}
    for language, seed in itertools.product(codes, ids):
        order = np.argsort((base + 0.8 * rng.random((12, 12))).ravel())
        masks[language, seed] = order[: rng.integers(50, 100)]
    heads = [(s, t, h // 12 + 1, h % 12 + 1, h in kept) for (t, s), kept in masks.items() for h in range(144)]
    overlap = []
    for (a, i), (b, j) in itertools.combinations(masks, 2):
        x, y = set(masks[a, i]), set(masks[b, j])
        both = len(x) * len(y) / 144
        jaccard = len(x & y) / len(x | y)
        overlap.append((i, a, j, b, len(x), len(y), 144, jaccard, both / (len(x) + len(y) - both)))
    steps = []
    for (language, seed), kept in masks.items():
        unpruned = 0.7 + 0.1 * rng.random()
        left = [n for n in range(144, 0, -14) if n > len(kept) - 14]
        drop = np.append(np.sort(rng.random(len(left) - 2)) * 0.05, 0.07 + 0.1 * rng.random())
        for step, (n, lost) in enumerate(zip(left, [0, *drop], strict=True)):
            score = unpruned * (1 - lost)
            steps.append((seed, language, step, n, 144, score, 0.95 * unpruned, lost <= 0.05))
    rows = [("none", "")] + [(kind, t) for kind in ("language", "random") for t in codes]
    accuracies = [
        (s, c, kind, mask, t, split, 0.6 + 0.1 * (mask in ("", t)) + 0.05 * rng.random(), 500)
        for s, c, (kind, mask), t, split in itertools.product(ids, CONDITIONS, rows, codes, ["dev", "test"])
    ]
    shares, changes, deltas, influences = [], [], [], []
    for c, kind, g, t in itertools.product(CONDITIONS, KINDS, ["evaluation", "own"], codes):
        gain = 0.1 * (kind == "own") + 0.05 * rng.random()
        for seed, measure, score in itertools.product(
            [*ids, "all"], ["proponents", "opponents", "auc"], ["cosine", "dot"]
        ):
            value = chance + 0.15 + gain + 0.02 * rng.random()
            row = (seed, c, kind, g, score, t, measure, value, value - 0.03, value + 0.03)
            shares.append((*row, 0.5 if measure == "auc" else chance, 100))
        if kind != "none":
            for score in ["cosine", "dot"]:
                deltas.append(("all", c, kind, t, g, score, gain, gain - 0.03, gain + 0.03))
        for seed, score in itertools.product(ids, ["cosine", "dot"]):
            share = rng.dirichlet([8.0 if u == t else 2.0 for u in codes])
            influences += [
                (seed, c, kind, g, score, t, u, p, 1e-5 * p, chance)
                for u, p in zip(codes, share, strict=True)
            ]
    for c, g, t, b in itertools.product(
        CONDITIONS[1:], ["evaluation", "own"], codes, ["full, no mask", "full, own mask"]
    ):
        value = 0.1 * rng.standard_normal()
        changes.append((c, g, t, b, value, value - 0.04, value + 0.04, 100))
    columns = {
        "head_masks": "seed language layer head kept",
        "mask_overlap": "seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance",
        "pruning_trajectories": "seed language step heads_left heads dev_score threshold_score accepted",
        "accuracy": "seed condition mask_kind mask_language language split accuracy examples",
        "in_language_share": "seed condition mask_kind train_gradient score language measure "
        "value low high chance examples",
        "influence_matrix": "seed condition mask_kind train_gradient score language "
        "train_language share influence chance",
        "share_change": "condition train_gradient language baseline value low high examples",
        "specialization": "seed condition mask_kind language train_gradient score value low high",
    }
    rows = [heads, overlap, steps, accuracies, shares, influences, changes, deltas]
    return {
        name: pd.DataFrame(found, columns=listed.split())
        for (name, listed), found in zip(columns.items(), rows, strict=True)
    }


FRAMES = {study: synthetic(*study) for study in STUDIES}
SMALL = FRAMES[2, 1]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every figure of the smallest study, with one condition, as :func:`save` leaves it."""
    directory = tmp_path_factory.mktemp("figures")
    for name, frame in SMALL.items():
        if "condition" in frame:
            frame = frame[frame["condition"] == "sft"]
        plotting.save(name, frame, directory / "tiny" / "seed0")
    return directory


@functools.cache
def drawn(study: tuple[int, int], name: str) -> Figure:
    return plotting.FIGURES[name](FRAMES[study][name])


def shown(fig: Figure) -> list[Text]:
    """Every text that a reader sees: neither empty, hidden, nor of a tick outside its axis."""
    outside = set()
    for axis in (axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
        outside |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    texts = fig.findobj(Text)
    return [t for t in texts if t.get_text() and t.get_visible() and t not in outside]


def cells(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_every_figure_of_the_study_is_registered() -> None:
    assert list(SMALL) and set(SMALL) == set(plotting.FIGURES)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("study", STUDIES, ids=str)
def test_legible(study: tuple[int, int], name: str) -> None:
    fig = drawn(study, name)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    assert round(fig.get_figwidth(), 1) in (3.3, 6.8)
    assert fig.get_figheight() <= 9  # a page
    texts = shown(fig)
    assert min(text.get_size() for text in texts) >= 7
    boxes = np.array([text.get_window_extent(canvas.get_renderer()).extents for text in texts])
    width, height = canvas.get_width_height()
    inside = (boxes[:, :2] >= -0.5).all(1) & (boxes[:, 2:] <= (width + 0.5, height + 0.5)).all(1)
    assert inside.all(), [t.get_text() for t, ok in zip(texts, inside, strict=True) if not ok]
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlapping = np.triu((high - low > 0.5).all(2), 1)
    assert not overlapping.any(), [
        (texts[i].get_text(), texts[j].get_text()) for i, j in np.argwhere(overlapping)
    ]


def test_saved_files_are_complete_and_leave_no_temporary_ones(saved: Path) -> None:
    found = {path.name for path in saved.rglob("*") if path.is_file()}
    assert found == {name + suffix for name in SMALL for suffix in (".csv", ".pdf", ".png")}
    for path in saved.rglob("*.pdf"):
        pdf = path.read_bytes()
        assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"/CreationDate" not in pdf


def test_redraw_without_torch_gives_the_same_bytes(saved: Path) -> None:
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    figures = [path for path in before if path.suffix != ".csv"]
    for path in figures:
        path.unlink()
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'datasets'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent)\n"
        "from modspec.plotting import main\n"
        f"main([{str(saved)!r}])\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    # Another hash seed, another matplotlibrc: neither may show.
    (saved / "matplotlibrc").write_text("font.size: 20\nsavefig.dpi: 30\n", encoding="utf-8")
    environment = {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONHASHSEED": "77",
        "MATPLOTLIBRC": str(saved),
        "MPLCONFIGDIR": str(saved / "cache"),
    }
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPOSITORY)
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) == {str(path) for path in figures}
    assert [str(path) for path, content in before.items() if path.read_bytes() != content] == []


def test_save_draws_what_the_csv_says(tmp_path: Path) -> None:
    """Digits that the CSV does not keep are not drawn; a language may be called ``nan``."""
    frame = SMALL["share_change"].replace({"language": {"de": "nan"}})
    frame["value"] += 1 / 3e9
    fig = plotting.save("share_change", frame, tmp_path)
    kept = pd.read_csv(tmp_path / "share_change.csv", keep_default_na=False)
    first = kept[(kept["condition"] == "sft") & (kept["train_gradient"] == "evaluation")]
    first = first[first["baseline"] == "full, no mask"].set_index("language")
    assert [t.get_text() for t in fig.axes[2].get_xticklabels()] == ["en", "nan"]
    points = next(line for line in fig.axes[0].lines if line.get_marker() == "s")
    heights = dict(zip(np.round(points.get_xdata()), points.get_ydata(), strict=True))
    assert heights == {0: 100 * first["value"]["en"], 1: 100 * first["value"]["nan"]}


def test_colours_do_not_depend_on_what_else_is_drawn() -> None:
    assert len({language_colour(code) for code in LANGUAGES[:10]}) == 10
    assert language_colour("xx-new") == language_colour("xx-new")
    frame = FRAMES[5, 2]["pruning_trajectories"]
    for kept in (["fr"], ["de", "fr"], ["de", "en", "es", "fr", "ru"]):
        fig = plotting.pruning_trajectories(frame[frame["language"].isin(kept)])
        ax = next(ax for ax in fig.axes if ax.get_title() == "fr")
        dots = {line.get_color() for line in ax.lines if line.get_marker() == "."}
        assert dots == {language_colour("fr")}
    frame = SMALL["specialization"]
    for kinds in (["random"], ["own", "random"]):
        fig = plotting.specialization(frame[frame["mask_kind"].isin(kinds)])
        lines = [line for line in fig.axes[0].lines if line.get_marker() == "D"]
        assert {to_hex(line.get_color()) for line in lines} == {"#cc79a7"}


def test_head_masks_count_kept_heads() -> None:
    frame = FRAMES[5, 2]["head_masks"]
    fig = drawn((5, 2), "head_masks")
    for ax, (language, rows) in zip(fig.axes, frame.groupby("language"), strict=False):
        assert ax.get_title() == f"{language}: {rows['kept'].sum() / 2:.4g} of 144 kept"
        counts = np.asarray(ax.collections[0].get_array()).reshape(12, 12)
        row = rows[(rows["layer"] == 3) & (rows["head"] == 7)]
        assert counts[2, 6] == row["kept"].sum()


def test_overlap_matrix_compares_different_seeds_only() -> None:
    columns = "seed_a language_a seed_b language_b kept_a kept_b heads jaccard chance".split()
    pairs = [
        (0, "de", 0, "en", 8, 8, 16, 0.95, 0.30),  # one seed: only in the right panel
        (0, "de", 1, "en", 8, 8, 16, 0.50, 0.30),
        (0, "en", 1, "de", 8, 8, 16, 0.60, 0.30),
        (0, "de", 1, "de", 8, 8, 16, 0.70, 0.30),
        (0, "en", 1, "en", 8, 8, 16, 0.25, 0.30),
    ]
    fig = plotting.mask_overlap(pd.DataFrame(pairs, columns=columns))
    assert cells(fig.axes[0]) == [".40", ".25", ".25", "-.05"]
    heights = [points.get_offsets()[:, 1].tolist() for points in fig.axes[1].collections[::3]]
    assert heights == [[0.70, 0.25], [0.95], [0.50, 0.60]]


def test_the_chosen_mask_is_the_last_that_passed() -> None:
    frame = SMALL["pruning_trajectories"]
    fig = plotting.pruning_trajectories(frame)
    for ax, (_, run) in zip(fig.axes, frame.groupby("language"), strict=True):
        passed = run[run["accepted"]].iloc[-1]
        (chosen,) = [line for line in ax.lines if line.get_marker() == "D"]
        share = passed["dev_score"] / run["dev_score"].iloc[0]
        assert chosen.get_xdata() == pytest.approx([100 * passed["heads_left"] / 144])
        assert chosen.get_ydata() == pytest.approx([100 * share])


def test_accuracy_is_the_mean_over_seeds_of_test_examples() -> None:
    frame = FRAMES[5, 2]["accuracy"]
    fig = drawn((5, 2), "accuracy")
    rows = frame[(frame["condition"] == "sft") & (frame["split"] == "test")]
    expected = []
    for kind, masks in (("none", [""]), ("language", sorted(CODES[:5])), ("random", None)):
        for mask in masks or sorted(CODES[:5]):
            for language in sorted(CODES[:5]):
                cell = rows[(rows["mask_kind"] == kind) & (rows["mask_language"] == mask)]
                values = cell.loc[cell["language"] == language, "accuracy"]
                expected.append(f"{100 * (values.iloc[0] + values.iloc[1]) / 2:.1f}")
    assert fig.axes[1].get_title() == "sparse (SFT)" and cells(fig.axes[1]) == expected


def test_influence_matrix_rows_are_evaluation_languages() -> None:
    frame = FRAMES[5, 2]["influence_matrix"]
    chosen = frame[(frame["score"] == "cosine") & (frame["condition"] == "full")]
    chosen = chosen[(chosen["mask_kind"] == "own") & (chosen["train_gradient"] == "evaluation")]
    fig = drawn((5, 2), "influence_matrix")
    title = "full fine-tuning\nown mask\ntrain gradients: same mask"
    ax = next(ax for ax in fig.axes if ax.get_title() == title)
    cell = chosen[(chosen["language"] == "en") & (chosen["train_language"] == "ru")]
    assert cells(ax)[1 * 5 + 4] == f"{100 * cell['share'].mean():.0f}"


def test_blank_intervals_are_left_out_and_chance_is_drawn() -> None:
    frame = SMALL["in_language_share"].assign(low=np.nan, high=np.nan)
    ax = plotting.in_language_share(frame).axes[0]
    (chance,) = [lines for lines in ax.collections if lines.get_linestyle()[0][1]]
    assert {y for segment in chance.get_segments() for y in segment[:, 1]} == {50.0}


def test_panels_beside_a_gap_keep_their_tick_labels() -> None:
    frame = SMALL["specialization"]
    own = frame["train_gradient"] == "own"
    fig = plotting.specialization(frame[~own | (frame["condition"] == "sft")])
    titles = [ax.get_title().split("\n") for ax in fig.axes]
    assert len(titles) == 4 and titles[3] == ["sparse (SFT)", "train gradients: own masks"]
    labelled = [ax.yaxis.get_major_ticks()[0].label1.get_visible() for ax in fig.axes]
    assert labelled == [True, False, False, True]
    labelled = [ax.xaxis.get_major_ticks()[0].label1.get_visible() for ax in fig.axes]
    assert labelled == [True, False, True, True]


def test_a_search_that_starts_at_zero_has_no_line() -> None:
    frame = SMALL["pruning_trajectories"].assign(dev_score=0.0, threshold_score=0.0)
    fig = plotting.pruning_trajectories(frame)
    assert all(np.isnan(line.get_ydata()).all() for ax in fig.axes for line in ax.lines)


@pytest.mark.parametrize("name", SMALL)
def test_a_missing_column_is_named(name: str, tmp_path: Path) -> None:
    column = SMALL[name].columns[-1]
    path = tmp_path / f"{name}.csv"
    SMALL[name].drop(columns=column).to_csv(path, index=False)
    with pytest.raises(InputError, match=f"^{path}: column {column} is missing; needed: .*"):
        plotting.redraw(tmp_path)
    with pytest.raises(InputError, match=f"column {column} is missing"):
        plotting.save(name, SMALL[name].drop(columns=column), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "column condition is missing"),
        (b"HEADER\n", "column condition is empty"),
        (b"HEADER\nsft,own,de,BASE,1,0,2,9\nsft,own,de,BASE,x,0,2,9\n", ":3: value is 'x', not"),
        (b"HEADER\nsft,own,de,BASE,inf,0,2,9\n", ":2: value is 'inf', not a finite number"),
        (b"HEADER\nsft,own,de,BASE,1,0,2,\n", ":2: examples is '', not a finite number"),
        (b"HEADER\nSFT,own,de,BASE,1,0,2,9\n", ":2: condition is 'SFT', not one of full; sft; "),
        (b"HEADER\nsft,own,de,BASE,1,0,2,9\nsft,own,de,BASE,1,0,2,9\n", "more than one row for"),
        (b"HEADER\nsft,own,de,BASE,1,0,2,9,7,7\n", "more cells than its header"),
        (b"HEADER\nsft,own,de,BASE,1,0,2,9\nsft,own,de,BASE,1,0,2,9,7\n", "not a CSV in UTF-8"),
        (b"HEADER\nsft,own,\xff,BASE,1,0,2,9\n", "not a CSV in UTF-8"),
    ],
)
def test_bad_csv_is_one_line_with_file_and_place(content: bytes, message: str, tmp_path: Path) -> None:
    header = b"condition,train_gradient,language,baseline,value,low,high,examples"
    path = tmp_path / "share_change.csv"
    path.write_bytes(content.replace(b"HEADER", header).replace(b"BASE", b'"full, no mask"'))
    with pytest.raises(SystemExit) as stopped:
        plotting.main([str(tmp_path)])
    text = str(stopped.value)
    assert text.startswith(f"error: {path}") and message in text and "\n" not in text
    assert [found.name for found in tmp_path.iterdir()] == ["share_change.csv"]


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds none of head_masks, "):
        plotting.redraw(tmp_path)
    with pytest.raises(InputError, match="name: 'heads' is no figure; allowed: head_masks, "):
        plotting.save("heads", SMALL["head_masks"], tmp_path)
    dot = SMALL["specialization"].assign(score="dot")
    with pytest.raises(InputError, match="specialization.csv: column score has no 'cosine'"):
        plotting.specialization(dot)
