"""The drawings of how-it-is-fast.md: boxes and arrows, nothing that is computed. One function draws one of them."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

PIXEL, WEIGHT, SUM, PALE, DARK = "#9ecae9", "#f5b87c", "#a5d6a7", "#f2f2f2", "#333333"


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return axes on which a unit is as long in both directions, and y grows downwards."""
    figure = Figure(figsize=(width / 2.2, height / 2.2), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.axis("off")
    return figure, axes


def _box(axes: Axes, x: float, y: float, w: float, h: float, colour: str, text: str = "", size: float = 8) -> None:
    axes.add_patch(Rectangle((x, y), w, h, facecolor=colour, edgecolor=DARK, linewidth=0.6))
    axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", fontsize=size, color=DARK)


def _grid(axes: Axes, x: float, y: float, rows: int, columns: int, marked: Iterable[tuple[int, int]], colour: str,
          size: float = 0.7) -> None:  # fmt: skip
    chosen = set(marked)
    for i in range(rows):
        for j in range(columns):
            _box(axes, x + j * size, y + i * size, size, size, colour if (i, j) in chosen else PALE)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    style = f"arc3,rad={bend}"
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=DARK, lw=0.7, connectionstyle=style)
    )


def _label(axes: Axes, x: float, y: float, text: str, size: float = 8.5, ha: str = "center") -> None:
    axes.text(x, y, text, ha=ha, va="center", fontsize=size, color=DARK)


def rows() -> Figure:
    """Draw the pointers of two neighbouring outputs to the pixels that they see."""
    figure, axes = _canvas(19, 7.6)
    _label(axes, 0.7, 0.5, "input: a pixel is a row of C values", ha="left")
    window = {(i, j) for i in (1, 2, 3) for j in (2, 3, 4)}
    _grid(axes, 0.7, 1.0, 5, 5, window, PIXEL)
    _label(axes, 2.45, 5.0, "the window of one output, 3×3")

    _label(axes, 8.1, 0.5, "row pointers")
    for tap in range(9):
        _box(axes, 7.3, 1.0 + 0.6 * tap, 1.6, 0.6, PALE, f"tap {tap}", 7)
    for tap, (i, j) in enumerate(sorted(window)):
        _arrow(axes, (7.3, 1.3 + 0.6 * tap), (0.7 + 0.7 * j + 0.4, 1.0 + 0.7 * i + 0.35), 0.05)

    _label(axes, 13.0, 0.5, "weight, packed: 9 · C rows of K")
    for tap in range(9):
        _box(axes, 11.2, 1.0 + 0.6 * tap, 3.6, 0.6, WEIGHT, "C × K", 7)
        _arrow(axes, (8.95, 1.3 + 0.6 * tap), (11.15, 1.3 + 0.6 * tap))
    _box(axes, 16.0, 3.4, 2.6, 0.6, SUM, "K sums", 7)
    _arrow(axes, (14.85, 3.7), (15.95, 3.7))
    _label(axes, 17.3, 2.9, "one output pixel")
    _label(axes, 9.5, 7.1, "The matrix of patches, 9 · C values for each output, is never written; only pointers are.")
    return figure


def tile() -> Figure:
    """Draw the register tile of AVX-512: 8 rows times 3 vectors of sums."""
    figure, axes = _canvas(19, 8.2)
    _label(axes, 12.6, 0.5, "panel: 48 columns of the weight, 3 vectors of 16 for each c")
    for v in range(3):
        _box(axes, 7.6 + 3.4 * v, 1.0, 3.3, 0.65, WEIGHT, f"w[c, {16 * v} … {16 * v + 15}]", 7)
        _arrow(axes, (9.25 + 3.4 * v, 1.7), (9.25 + 3.4 * v, 2.35))
    _label(axes, 3.4, 1.9, "8 rows: pixels of the input")
    for r in range(8):
        y = 2.4 + 0.65 * r
        _box(axes, 0.4, y, 4.6, 0.65, PALE)
        _box(axes, 2.4, y, 0.7, 0.65, PIXEL, "x", 7)
        _arrow(axes, (3.15, y + 0.325), (7.5, y + 0.325))
        for v in range(3):
            _box(axes, 7.6 + 3.4 * v, y, 3.3, 0.65, SUM)
    _label(axes, 2.75, 7.95, "c →")
    _label(axes, 6.2, 1.95, "broadcast", 7.5)
    _label(axes, 12.6, 7.95, "24 registers of sums: in each step 24 multiply-adds for 3 + 8 loads")
    return figure


def winograd_tiles() -> Figure:
    """Draw overlapping tiles of the input and the tiles of the output that come from them."""
    figure, axes = _canvas(19, 7.4)
    size = 0.5
    _label(axes, 3.2, 0.5, "input: tiles of 6×6, every 4 pixels")
    _grid(axes, 0.7, 1.0, 10, 10, (), PIXEL, size)
    for x, y, colour in ((0, 0, "#1b6ca8"), (4, 0, "#d95f02"), (0, 4, "#3a9d5d"), (4, 4, "#7b4fa3")):
        inset = 0.06 + 0.04 * (x + y) / 4
        place = (0.7 + size * x + inset, 1.0 + size * y + inset)
        side = 6 * size - 2 * inset
        axes.add_patch(Rectangle(place, side, side, fill=False, edgecolor=colour, lw=1.8))
        _box(axes, 14.6 + size * x, 1.5 + size * y, 4 * size, 4 * size, SUM)
        edge = Rectangle((14.6 + size * x + 0.06, 1.5 + size * y + 0.06), 4 * size - 0.12, 4 * size - 0.12)
        edge.set(fill=False, edgecolor=colour, linewidth=1.8)
        axes.add_patch(edge)
    for step in range(3):
        _box(axes, 8.0 + 0.25 * step, 2.2 + 0.25 * step, 3.2, 2.2, "white")
    _box(axes, 8.75, 2.95, 3.2, 2.2, WEIGHT, "tiles × C\ntimes\nC × K", 8)
    _label(axes, 10.0, 1.7, "36 matrix products")
    _arrow(axes, (5.9, 3.6), (7.9, 3.6))
    _label(axes, 6.9, 3.1, "transform", 8)
    _arrow(axes, (12.05, 3.6), (14.5, 3.6))
    _label(axes, 13.3, 3.1, "and back", 8)
    _label(axes, 16.6, 1.0, "output: tiles of 4×4")
    _label(axes, 9.5, 6.8, "For each of the 36 points of a tile, all channels of all tiles are one matrix product.")
    return figure


def lanes() -> Figure:
    """Draw a line of pixels of a depthwise convolution, whose vectors run across the channels."""
    figure, axes = _canvas(19, 7.4)
    _label(axes, 9.5, 0.5, "a line of the input; a vector holds 16 channels of one pixel")
    for pixel in range(10):
        for lane in range(4):
            _box(axes, 1.6 + 1.6 * pixel, 1.0 + 0.4 * lane, 1.4, 0.4, PIXEL if pixel == 4 else PALE)
        _label(axes, 2.3 + 1.6 * pixel, 2.85, f"x[{pixel}]", 7.5)
    for tap, target in enumerate((4, 3, 2)):
        _arrow(axes, (8.7, 3.1), (2.3 + 1.6 * target, 4.6), 0.0)
        _label(axes, 10.6, 3.55 + 0.4 * tap, f"· w[{tap}]  to  y[{target}]", 7.5, ha="left")
    for pixel in range(8):
        for lane in range(4):
            _box(axes, 1.6 + 1.6 * pixel, 4.7 + 0.4 * lane, 1.4, 0.4, SUM if pixel in (2, 3, 4) else PALE)
        _label(axes, 2.3 + 1.6 * pixel, 6.55, f"y[{pixel}]", 7.5)
    _label(axes, 9.5, 7.1, "8 sums and 3 weights stay in registers: 10 values are loaded once, for 24 multiply-adds.")
    return figure
