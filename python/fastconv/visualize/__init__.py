"""Pictures: of a training run, and of what a network sees.

What looks inside a network comes in pairs: a function that returns arrays, and one that draws them.
"""

from fastconv.visualize.layers import activations, draw_activations, draw_filters, filters
from fastconv.visualize.results import confusion_matrix, learning_curves, misclassified

__all__ = [
    "activations",
    "confusion_matrix",
    "draw_activations",
    "draw_filters",
    "filters",
    "learning_curves",
    "misclassified",
]
