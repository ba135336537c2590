"""Pictures: of a training run, and of what a network sees.

What looks inside a network comes in pairs: a function that returns arrays, and one that draws them.
"""

from fastconv.visualize.field import Seen, draw_receptive_field, receptive_field_of
from fastconv.visualize.layers import activations, draw_activations, draw_filters, filters
from fastconv.visualize.results import confusion_matrix, learning_curves, misclassified
from fastconv.visualize.saliency import draw_grad_cam, draw_saliency, grad_cam, saliency

__all__ = [
    "Seen",
    "activations",
    "confusion_matrix",
    "draw_activations",
    "draw_filters",
    "draw_grad_cam",
    "draw_receptive_field",
    "draw_saliency",
    "filters",
    "grad_cam",
    "learning_curves",
    "misclassified",
    "receptive_field_of",
    "saliency",
]
