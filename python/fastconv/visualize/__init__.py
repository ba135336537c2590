"""Pictures: of a training run, of models and convolutions, and of what a network sees.

What looks inside a network comes in pairs: a function that returns arrays, and one that draws them.
"""

from fastconv.visualize.architecture import Block, architecture, draw_architecture
from fastconv.visualize.field import Seen, draw_receptive_field, receptive_field_of
from fastconv.visualize.inversion import Inverted, draw_inversion, invert
from fastconv.visualize.layers import activations, draw_activations, draw_filters, filters
from fastconv.visualize.maximization import Maximized, draw_maximization, maximize
from fastconv.visualize.results import confusion_matrix, learning_curves, misclassified
from fastconv.visualize.saliency import draw_grad_cam, draw_saliency, grad_cam, saliency
from fastconv.visualize.steps import ConvolutionSteps, convolution_steps, draw_convolution

__all__ = [
    "Block",
    "ConvolutionSteps",
    "Inverted",
    "Maximized",
    "Seen",
    "activations",
    "architecture",
    "confusion_matrix",
    "convolution_steps",
    "draw_activations",
    "draw_architecture",
    "draw_convolution",
    "draw_filters",
    "draw_grad_cam",
    "draw_inversion",
    "draw_maximization",
    "draw_receptive_field",
    "draw_saliency",
    "filters",
    "grad_cam",
    "invert",
    "learning_curves",
    "maximize",
    "misclassified",
    "receptive_field_of",
    "saliency",
]
