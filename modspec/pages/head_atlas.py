"""The head atlas: one HTML page with every attention head of a study, by language and seed.

Three maps: a head's importance for a language, whether the language's mask keeps it, and the in-language
share by its contributions alone. They are Vega-Lite charts, made with Altair; the page holds their library.
"""

from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from modspec.analysis.by_part import head_share
from modspec.analysis.exploration import PARTS
from modspec.analysis.language_specificity import UNPRUNED
from modspec.analysis.study_tables import concatenated, head_masks, optional_table, searched_masks
from modspec.errors import InputError
from modspec.pages.explorer import study_name
from modspec.pages.rendering import compressed, rendered
from modspec.workflow import artifacts

HEAD = ["seed", "language", "layer", "head"]
CELL = 12  # pixels of a head's square
NAMED = "datum.language + ', seed ' + datum.seed + ', layer ' + datum.layer + ', head ' + datum.head + ': '"
# Map -> what a screen reader says of a head (a Vega expression), columns that are shown, and colours.
MAPS: dict[str, tuple[str, tuple[str, ...], alt.Color]] = {
    "importance": (
        "'importance ' + format(datum.importance, '.3f')",
        ("importance",),
        alt.Color("importance:Q", scale=alt.Scale(scheme="viridis")),
    ),
    "mask": (
        "datum.mask",
        ("mask",),
        alt.Color(
            "mask:N", scale=alt.Scale(domain=["kept", "dropped"], range=["#0b57a4", "#d9dde3"]), title="mask"
        ),
    ),
    "share": (
        "'in-language share ' + format(datum.share, '.1f') + ' %, chance '"
        " + format(datum.chance, '.1f') + ' %'",
        ("share", "chance", "excess"),
        alt.Color(
            "excess:Q", title="points above chance", scale=alt.Scale(scheme="purpleorange", domainMid=0)
        ),
    ),
}


def head_atlas(study_directory: Path) -> str:
    """Return the head atlas of a study: one HTML page without any request to the network.

    Args:
        study_directory: its artefacts by stage: ``runs/<study>``, or ``figures/<study>/artefacts``.

    Raises:
        InputError: there is no search, or an artefact is damaged.
    """
    heads = head_table(study_directory)
    drawn = {
        name: chart(heads, name) for name in MAPS if not (name == "share" and heads["share"].isna().all())
    }
    major, minor = alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2]
    return rendered(
        "head_atlas.html",
        study=study_name(study_directory),
        maps=list(drawn),
        charts=compressed(drawn),
        library=compressed(vl_convert.javascript_bundle(vl_version=f"{major}.{minor}")),
    )


def head_table(study_directory: Path) -> pd.DataFrame:
    """Return what the atlas shows: one row per seed, language and head; layers and heads count from 1.

    Columns: ``importance``, of the unpruned encoder that was fine-tuned on the language, ℓ2-normalised within
    a layer; ``mask``, "kept" or "dropped"; ``share`` and ``chance``, in per cent, of full fine-tuning without
    a mask; NaN where parts were not scored.

    Raises:
        InputError: there is no search, or an artefact is damaged.
    """
    study = Path(study_directory)
    searches = artifacts.finished(study / "search")
    if not searches:
        raise InputError(f"{study}: has no search; run the study first")
    parameters = artifacts.read_manifest(searches[0])["made_by"]["parameters"]
    masks = head_masks(searched_masks(searches))
    in_order = pd.CategoricalIndex(masks["language"], parameters["languages"])
    masks = masks.iloc[np.lexsort([masks["seed"], in_order.codes])]
    masks["mask"] = masks.pop("kept").map({True: "kept", False: "dropped"})
    importance = concatenated(searches, "importance").query(UNPRUNED).set_index(HEAD)["weight"]
    heads = masks.join(importance.rename("importance"), on=HEAD, validate="one_to_one")
    scored = artifacts.finished(study / "influence")
    for run in scored:
        artifacts.read_manifest(run)
    shares = head_share(optional_table(scored, "parts", PARTS))
    shares[["share", "chance"]] *= 100
    return heads.merge(shares.astype(dict.fromkeys(["share", "chance"], float)), on=HEAD, how="left")


def chart(heads: pd.DataFrame, name: str) -> dict[str, Any]:
    """Return a map of ``MAPS`` as a Vega-Lite specification: a row of panels per language, a column per seed.

    Heads without a value are left out, as of a seed that is not scored yet.

    Args:
        heads: :func:`head_table`.
        name: of the map.
    """
    said, values, colour = MAPS[name]
    rows = heads.assign(excess=heads["share"] - heads["chance"])[[*HEAD, *values]].dropna().round(4)
    layers, numbers = heads["layer"].max(), heads["head"].max()
    ticks = alt.Axis(labelAngle=0, values=[1, *range(4, numbers + 1, 4)], grid=False)
    upright = alt.Header(labelAngle=0, labelAlign="left", labelFontWeight="bold")
    squares = (
        alt.Chart(alt.Data(values=rows.to_dict("records")))
        .transform_calculate(said=f"{NAMED} + {said}")
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("head:O", axis=ticks),
            y=alt.Y("layer:O", sort="descending", axis=alt.Axis(values=[1, *range(4, layers + 1, 4)])),
            color=colour,
            description="said:N",
            tooltip=[
                alt.Tooltip(f"{field}:{'N' if field in ('language', 'mask') else 'Q'}") for field in rows
            ],
        )
        .properties(width=CELL * int(numbers), height=CELL * int(layers))
        .facet(
            row=alt.Row("language:N", sort=[*dict.fromkeys(heads["language"])], title=None, header=upright),
            column=alt.Column("seed:O", header=alt.Header(labelExpr="'seed ' + datum.value", title=None)),
        )
    )
    return squares.configure_legend(orient="top", gradientLength=200).to_dict()
