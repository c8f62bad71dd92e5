"""Can a figure be read at print size? What is asked of every figure that the study draws."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

WIDTHS = (3.03, 6.3)  # inches: one column of an ACL paper, or both
HEIGHT, SIZE = 9, 7  # inches and points


def shown(fig: Figure) -> list[Text]:
    """Every text that a reader sees: neither empty, hidden, nor of a tick outside its axis."""
    outside = set()
    for axis in (axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
        outside |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    texts = fig.findobj(Text)
    return [t for t in texts if t.get_text() and t.get_visible() and t not in outside]


def assert_legible(fig: Figure) -> None:
    """It fits a page, and no text is small, cut off or over another."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    assert fig.get_figwidth() in WIDTHS and fig.get_figheight() <= HEIGHT
    texts = shown(fig)
    small = [text.get_text() for text in texts if text.get_size() < SIZE]
    assert not small
    boxes = np.array([text.get_window_extent(canvas.get_renderer()).extents for text in texts])
    end = np.add(canvas.get_width_height(), 0.5)
    inside = (boxes[:, :2] >= -0.5).all(1) & (boxes[:, 2:] <= end).all(1)
    cut_off = [text.get_text() for text, ok in zip(texts, inside, strict=True) if not ok]
    assert not cut_off
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    pairs = np.argwhere(np.triu((high - low > 0.5).all(2), 1))
    overlapping = [(texts[i].get_text(), texts[j].get_text()) for i, j in pairs]
    assert not overlapping
