"""The named geometries: the ONE list that tests of convolution, patch matrix and pooling go through.

Each case is here because some code could get it wrong while getting all its neighbours right: a remainder of a tile, a
second panel or reduction block, a window without input, an axis of length one. All are small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import oracle


@dataclass(frozen=True)
class ConvCase:
    name: str
    input: tuple  # (N, *spatial, C)
    kernel: tuple
    filters: int  # output channels
    stride: object = 1
    padding: object = 0
    dilation: object = 1
    groups: int = 1

    def __str__(self):
        return self.name

    @property
    def rank(self):
        return len(self.kernel)

    @property
    def weight(self):
        return (*self.kernel, self.input[-1] // self.groups, self.filters)

    @property
    def sliding(self):
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @property
    def keywords(self):
        return {**self.sliding, "groups": self.groups}

    @property
    def output(self):
        spatial = oracle.Sliding(self.input, self.kernel, **self.sliding).output
        return (self.input[0], *spatial, self.filters)

    @property
    def multiplications(self):
        return math.prod(self.output[:-1]) * math.prod(self.weight)


@dataclass(frozen=True)
class PoolCase:
    name: str
    input: tuple  # (N, *spatial, C)
    kernel: object
    stride: object = None
    padding: object = 0
    dilation: object = 1
    ceil_mode: bool = False

    def __str__(self):
        return self.name

    @property
    def rank(self):
        return len(self.input) - 2

    @property
    def keywords(self):
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "ceil_mode": self.ceil_mode}


CONV_1D = [
    ConvCase("1d_single_number", (1, 1, 1), (1,), 1),
    ConvCase("1d_plain", (2, 20, 3), (3,), 5),
    ConvCase("1d_pointwise_97_samples", (1, 97, 7), (1,), 13),
    ConvCase("1d_speech_first_layer", (1, 400, 1), (10,), 33, stride=5),
    ConvCase("1d_long_kernel_one_filter", (2, 97, 1), (31,), 1, padding=15),
    ConvCase("1d_1500_samples", (3, 500, 3), (5,), 7, padding=(2,)),
    ConvCase("1d_causal_dilated", (2, 30, 7), (3,), 13, padding="causal", dilation=4),
    ConvCase("1d_causal_stride_2", (1, 31, 3), (4,), 5, stride=2, padding="causal"),
    ConvCase("1d_full_even_kernel", (1, 9, 5), (4,), 3, padding="full"),
    ConvCase("1d_same_even_kernel", (2, 11, 3), (4,), 5, padding="same"),
    ConvCase("1d_same_lower_even_kernel", (2, 11, 3), (4,), 5, padding="same_lower"),
    ConvCase("1d_same_stride_3", (2, 17, 5), (5,), 3, stride=3, padding="same"),
    ConvCase("1d_asymmetric", (1, 13, 3), (4,), 17, padding=((5, 1),)),
    ConvCase("1d_stride_over_kernel", (2, 23, 5), (2,), 7, stride=(5,)),
    ConvCase("1d_stride_2_dilation_2", (1, 29, 3), (3,), 5, stride=2, padding=2, dilation=2),
    ConvCase("1d_300_channels", (1, 19, 300), (3,), 10, padding=1),
    ConvCase("1d_enough_for_threads", (2, 700, 8), (5,), 20, padding="same"),
    ConvCase("1d_groups_3", (2, 23, 9), (3,), 6, padding=1, groups=3),
    ConvCase("1d_depthwise_31_taps", (1, 60, 17), (31,), 17, padding="same", groups=17),
    ConvCase("1d_depthwise_12_taps", (2, 37, 20), (12,), 20, padding=5, groups=20),
    ConvCase("1d_depthwise_11_taps_stride_2", (1, 61, 36), (11,), 36, stride=2, padding=5, groups=36),
    ConvCase("1d_depthwise_7_taps_68_channels", (1, 40, 68), (7,), 68, padding=3, groups=68),
    ConvCase("1d_depthwise_10_taps_stride_2_dilation_3", (1, 83, 100), (10,), 100, 2, 9, 3, 100),
    ConvCase("1d_257_taps", (2, 700, 3), (257,), 5, padding=128),
    ConvCase("1d_257_taps_16_channels", (2, 400, 16), (257,), 16, padding=((3, 200),)),
    ConvCase("1d_40_taps_groups_of_32_to_23", (2, 90, 64), (40,), 46, padding=11, groups=2),
    ConvCase("1d_40_taps_8_groups_of_12_to_10", (1, 70, 96), (40,), 80, padding=20, groups=8),
    ConvCase("1d_40_taps_35_to_61", (1, 80, 35), (40,), 61, padding=((7, 30),)),
    ConvCase("1d_1000_taps", (1, 1301, 1), (1000,), 1),
    ConvCase("1d_100_taps_many_blocks", (1, 9001, 1), (100,), 1, padding="same"),
    ConvCase("1d_depthwise_31_taps_power_of_two", (1, 45, 128), (31,), 128, padding="same", groups=128),
    ConvCase("1d_27_taps_groups_of_4_power_of_two", (1, 41, 128), (27,), 128, padding=9, stride=2, groups=32),
    ConvCase("1d_2_channels_stride_over_kernel", (1, 211, 2), (3,), 9, padding=2, stride=17),
    ConvCase("1d_depthwise_31_taps_long_line", (1, 16500, 128), (31,), 128, padding=15, stride=5, groups=128),
    ConvCase("1d_70_taps_depthwise", (1, 500, 17), (70,), 17, padding="causal", groups=17),
    ConvCase("1d_66_taps_groups_2_dilation_3", (2, 555, 6), (66,), 10, padding=7, dilation=3, groups=2),
    ConvCase("1d_65_taps_many_channels_to_one", (1, 333, 33), (65,), 1, padding=9),
    ConvCase("1d_1500_taps_over_input", (2, 33, 3), (1500,), 7, padding=((740, 750),)),
    ConvCase("1d_batch_of_none", (0, 8, 3), (3,), 5),
    ConvCase("1d_one_sample_in_padding", (2, 1, 3), (5,), 7, padding=4),
]

# So many channels that a few pixels of them fill a cache; transforms round their sums by more than one half.
CONV_WIDE = [
    ConvCase("1d_523_channels_depthwise_dilation_2", (2, 333, 523), (4,), 523, padding=5, dilation=2, groups=523),
    ConvCase("1d_131_channels_stride_2_dilation_3", (1, 772, 131), (4,), 131, 2, 4, 3, 131),
    ConvCase("1d_131_channels_dilation_64", (1, 1158, 131), (3,), 131, dilation=64, groups=131),
    ConvCase("1d_131_channels_in_padding", (1, 40, 131), (3,), 131, padding=700, groups=131),
    ConvCase("1d_520_channels_groups_of_4", (1, 300, 520), (3,), 520, padding=1, groups=130),
    ConvCase("2d_dilation_3_530_channels", (1, 5, 6, 530), (3, 3), 33, padding=3, dilation=3),
]

CONV_2D = [
    ConvCase("2d_dilation_5_much_padding", (2, 9, 13, 9), (3, 3), 17, padding=5, dilation=5),
    ConvCase("2d_dilation_4_stride_2_uneven_padding", (2, 9, 19, 6), (3, 4), 10, 2, ((4, 0), (9, 5)), 4),
    ConvCase("2d_windows_in_padding_alone", (1, 3, 4, 5), (3, 3), 8, padding=9, dilation=6),
    ConvCase("2d_exercise_by_hand", (1, 5, 5, 1), (3, 3), 1),
    ConvCase("2d_single_pixel", (1, 1, 1, 5), (1, 1), 3),
    ConvCase("2d_pointwise_145_pixels", (1, 5, 29, 13), (1, 1), 17),
    ConvCase("2d_pointwise_stride_2", (2, 9, 10, 7), (1, 1), 13, stride=2),
    ConvCase("2d_pointwise_padded", (1, 4, 5, 3), (1, 1), 5, padding=2),
    ConvCase("2d_pointwise_260_channels", (1, 5, 7, 260), (1, 1), 33),
    ConvCase("2d_pointwise_to_530_filters", (1, 5, 8, 7), (1, 1), 530),
    ConvCase("2d_pointwise_to_one_filter", (1, 10, 10, 33), (1, 1), 1),
    ConvCase("2d_3x3_to_two_panels", (1, 12, 11, 17), (3, 3), 65, padding=1),
    ConvCase("2d_3x3_to_50_filters", (2, 8, 7, 33), (3, 3), 50, padding="same"),
    ConvCase("2d_3x3_to_100_filters", (1, 6, 9, 20), (3, 3), 100),
    ConvCase("2d_3x3_585_terms", (1, 9, 8, 65), (3, 3), 10, padding=1),
    ConvCase("2d_3x3_530_channels", (1, 4, 7, 530), (3, 3), 5, padding=1),
    ConvCase("2d_3x3_1089_pixels", (1, 33, 33, 5), (3, 3), 7, padding=1),
    ConvCase("2d_3x3_3280_pixels_of_two_images", (2, 41, 40, 3), (3, 3), 7, padding=1),
    ConvCase("2d_3x3_200_pixels_of_two_images", (2, 10, 10, 16), (3, 3), 24, padding=1),
    ConvCase("2d_3x3_many_tiny_images", (13, 3, 3, 3), (3, 3), 8, padding=1),
    ConvCase("2d_3x3_five_pixels", (1, 3, 7, 13), (3, 3), 33),
    ConvCase("2d_3x3_seven_pixels", (7, 3, 3, 7), (3, 3), 16),
    ConvCase("2d_first_layer_7x7", (1, 29, 28, 3), (7, 7), 8, stride=2, padding=3),
    ConvCase("2d_first_layer_grey", (1, 28, 28, 1), (3, 3), 32, padding="same"),
    ConvCase("2d_last_layer_9x9", (1, 12, 13, 5), (9, 9), 3, padding="same"),
    ConvCase("2d_even_2x2", (2, 7, 8, 5), (2, 2), 7),
    ConvCase("2d_even_2x2_stride_2", (1, 9, 8, 3), (2, 2), 17, stride=2),
    ConvCase("2d_even_4x4_stride_2", (1, 11, 10, 6), (4, 4), 9, stride=2, padding=1),
    ConvCase("2d_even_4x4_same", (1, 6, 7, 3), (4, 4), 5, padding="same"),
    ConvCase("2d_even_4x4_same_lower", (1, 6, 7, 3), (4, 4), 5, padding="same_lower"),
    ConvCase("2d_valid_by_name", (1, 6, 5, 3), (3, 2), 5, padding="valid"),
    ConvCase("2d_full", (1, 4, 5, 3), (3, 2), 7, padding="full", dilation=(1, 2)),
    ConvCase("2d_same_stride_2", (2, 8, 9, 3), (3, 3), 13, stride=2, padding="same"),
    ConvCase("2d_same_stride_over_kernel", (1, 10, 11, 3), (2, 1), 5, stride=3, padding="same"),
    ConvCase("2d_asymmetric", (1, 6, 5, 3), (3, 3), 7, padding=((0, 2), (3, 1))),
    ConvCase("2d_padding_per_axis", (1, 6, 5, 7), (3, 5), 3, padding=(0, 2)),
    ConvCase("2d_kernel_over_input", (1, 3, 2, 5), (5, 5), 7, padding=2),
    ConvCase("2d_one_pixel_in_padding", (2, 1, 1, 3), (5, 5), 13, padding=2),
    ConvCase("2d_padding_over_kernel", (1, 3, 4, 3), (2, 2), 5, padding=3),
    ConvCase("2d_padding_over_kernel_stride_2", (1, 4, 3, 3), (2, 3), 5, stride=2, padding=4),
    ConvCase("2d_batch_of_none", (0, 6, 5, 3), (3, 3), 7, padding=1),
    ConvCase("2d_one_row", (2, 1, 9, 5), (3, 3), 7, padding=1),
    ConvCase("2d_one_column", (2, 9, 1, 5), (3, 3), 7, padding=1),
    ConvCase("2d_flat_kernel", (1, 7, 9, 3), (1, 5), 17, padding=(0, 2)),
    ConvCase("2d_flat_kernel_of_129_taps", (2, 3, 300, 4), (1, 129), 6, padding=((0, 0), (60, 5))),
    ConvCase("2d_tall_kernel", (1, 9, 7, 3), (5, 1), 17, padding=(2, 0)),
    ConvCase("2d_stride_over_kernel", (1, 13, 12, 3), (2, 2), 7, stride=5),
    ConvCase("2d_stride_leaves_input_unseen", (1, 12, 9, 3), (3, 3), 5, stride=(4, 5)),
    ConvCase("2d_stride_2_dilation_3", (1, 14, 13, 3), (3, 3), 7, stride=2, padding=3, dilation=3),
    ConvCase("2d_stride_3_dilation_2", (1, 14, 13, 5), (3, 3), 7, stride=3, padding=2, dilation=2),
    ConvCase("2d_stride_2_dilation_2", (1, 12, 13, 3), (3, 3), 7, stride=2, padding=2, dilation=2),
    ConvCase("2d_stride_3_dilation_3", (1, 12, 14, 3), (3, 2), 7, stride=3, padding=3, dilation=3),
    ConvCase("2d_stride_4_dilation_6", (1, 21, 20, 3), (3, 3), 5, stride=4, padding=5, dilation=6),
    ConvCase("2d_stride_6_dilation_4", (1, 21, 20, 3), (3, 3), 5, stride=6, padding=5, dilation=4),
    ConvCase("2d_mixed_per_axis", (2, 11, 12, 5), (3, 2), 7, stride=(2, 1), padding=(1, 3), dilation=(1, 3)),
    ConvCase("2d_groups_2", (2, 7, 8, 6), (3, 3), 10, padding=1, groups=2),
    ConvCase("2d_groups_3_stride_2", (1, 9, 10, 9), (3, 3), 15, stride=2, padding=1, groups=3),
    ConvCase("2d_groups_2_wide", (1, 5, 6, 34), (3, 3), 66, padding=1, groups=2),
    ConvCase("2d_groups_of_4_channels", (1, 6, 7, 20), (3, 3), 20, padding=1, groups=5),
    ConvCase("2d_3_channels_many_lines", (2, 19, 23, 3), (3, 3), 17, padding=1),
    ConvCase("2d_1_channel_whole_vectors", (1, 33, 21, 1), (3, 5), 32, stride=(1, 2), padding=(1, 2)),
    ConvCase("2d_groups_of_2_channels", (1, 5, 11, 38), (3, 3), 38, padding=1, groups=19),
    ConvCase("2d_groups_of_8_channels", (1, 7, 21, 40), (3, 3), 40, stride=2, padding=1, groups=5),
    ConvCase("2d_groups_of_4_channels_dilated", (1, 6, 19, 20), (3, 3), 20, padding=2, dilation=2, groups=5),
    ConvCase("2d_groups_of_3_to_4_channels", (1, 6, 12, 15), (2, 3), 20, padding=1, groups=5),
    ConvCase("2d_groups_of_5_to_7_channels", (1, 6, 23, 25), (3, 3), 35, padding=1, groups=5),
    ConvCase("2d_groups_of_6_channels_stride_2", (2, 9, 25, 42), (3, 3), 42, stride=2, padding=1, groups=7),
    ConvCase("2d_depthwise_multiplier_3", (1, 5, 21, 19), (3, 3), 57, padding=1, groups=19),
    ConvCase("2d_groups_of_3_more_than_vectors", (1, 4, 13, 201), (3, 3), 201, padding=1, groups=67),
    ConvCase("2d_5x5_3_groups_of_18_to_22", (2, 14, 13, 54), (5, 5), 66, padding=2, groups=3),
    ConvCase("2d_3_groups_of_19_to_26_stride_2", (1, 37, 29, 57), (3, 3), 78, stride=2, padding=1, groups=3),
    ConvCase("2d_2_groups_of_49_to_67", (1, 17, 19, 98), (3, 2), 134, padding=1, groups=2),
    ConvCase("2d_depthwise", (2, 7, 9, 13), (3, 3), 13, padding=1, groups=13),
    ConvCase("2d_depthwise_33_stride_2", (1, 9, 8, 33), (3, 3), 33, stride=2, padding=1, groups=33),
    ConvCase("2d_depthwise_stride_over_kernel", (2, 17, 19, 20), (2, 3), 20, padding=1, stride=(5, 4), groups=20),
    ConvCase("2d_depthwise_multiplier_2", (1, 6, 7, 7), (5, 5), 14, padding=2, groups=7),
    ConvCase("2d_patch_matrix_of_1520_by_720", (1, 40, 38, 80), (3, 3), 2, padding=1),
    ConvCase("2d_depthwise_multiplier_2_more_than_vectors", (1, 4, 5, 25), (3, 3), 50, padding=1, groups=25),
    ConvCase("2d_depthwise_multiplier_4", (1, 5, 13, 9), (3, 3), 36, padding=1, groups=9),
    ConvCase("2d_depthwise_multiplier_4_more_than_vectors", (1, 3, 5, 21), (3, 2), 84, stride=2, groups=21),
    ConvCase("2d_groups_for_threads", (2, 17, 19, 24), (3, 3), 36, padding=1, groups=3),
    ConvCase("2d_depthwise_for_threads", (2, 23, 21, 40), (5, 5), 40, padding=2, groups=40),
    ConvCase("2d_depthwise_7x7_of_5_channels", (2, 9, 13, 5), (7, 7), 5, padding=3, groups=5),
    ConvCase("2d_depthwise_7x7_few_lines_for_threads", (1, 5, 43, 100), (7, 7), 100, padding=3, groups=100),
    ConvCase("2d_stride_2_dilation_3_for_threads", (2, 33, 31, 12), (3, 3), 20, stride=2, padding=3, dilation=3),
    ConvCase("2d_enough_for_threads", (2, 24, 23, 24), (3, 3), 40, padding=1),
    ConvCase("2d_one_output_for_threads", (1, 5, 5, 96), (5, 5), 290),
]

CONV_3D = [
    ConvCase("3d_plain", (1, 5, 6, 7, 3), (3, 3, 3), 5, padding=1),
    ConvCase("3d_first_layer", (1, 6, 9, 8, 3), (3, 3, 3), 8, padding="same"),
    ConvCase("3d_pointwise", (2, 3, 4, 5, 7), (1, 1, 1), 17),
    ConvCase("3d_even_2x2x2_stride_2", (1, 4, 5, 6, 5), (2, 2, 2), 13, stride=2),
    ConvCase(
        "3d_mixed_per_axis", (1, 7, 6, 9, 3), (2, 3, 2), 7, stride=(2, 1, 3), padding=(0, 1, 2), dilation=(1, 2, 1)
    ),
    ConvCase("3d_stride_2_dilation_2", (1, 7, 8, 6, 3), (2, 3, 2), 5, stride=2, padding=1, dilation=2),
    ConvCase("3d_asymmetric", (1, 4, 3, 5, 3), (3, 2, 3), 5, padding=((1, 0), (0, 2), (2, 1))),
    ConvCase("3d_full", (1, 2, 3, 2, 3), (2, 3, 2), 5, padding="full"),
    ConvCase("3d_kernel_over_input", (1, 2, 1, 3, 3), (3, 3, 5), 7, padding=2),
    ConvCase("3d_flat_axes", (2, 1, 5, 1, 13), (1, 3, 1), 7, padding=(0, 1, 0)),
    ConvCase("3d_13_channels_351_terms", (1, 4, 4, 5, 13), (3, 3, 3), 17, padding=1),
    ConvCase("3d_groups_2", (1, 3, 5, 4, 6), (3, 2, 3), 10, padding=1, groups=2),
    ConvCase("3d_depthwise", (1, 4, 5, 6, 17), (3, 3, 3), 17, padding=1, groups=17),
    ConvCase("3d_enough_for_threads", (1, 6, 9, 8, 8), (3, 3, 3), 12, padding=1),
    ConvCase("3d_batch_of_none", (0, 3, 4, 5, 3), (2, 2, 2), 5),
]

CONV = CONV_1D + CONV_2D + CONV_3D

POOL = [
    PoolCase("1d_plain", (2, 10, 3), 2),
    PoolCase("1d_overlapping", (2, 17, 5), (3,), stride=1, padding=(1,)),
    PoolCase("1d_stride_over_kernel", (1, 23, 7), 2, stride=5),
    PoolCase("1d_ceil", (2, 10, 3), 3, stride=2, ceil_mode=True),
    PoolCase("1d_ceil_window_in_far_padding_dropped", (1, 5, 3), 2, stride=3, padding=1, ceil_mode=True),
    PoolCase("1d_ceil_stride_over_kernel", (1, 9, 3), 2, stride=4, ceil_mode=True),
    PoolCase("1d_dilated", (1, 19, 13), 3, stride=2, padding=1, dilation=4),
    PoolCase("1d_windows_of_padding_alone", (2, 3, 5), 2, stride=1, padding=4),
    PoolCase("1d_1000_samples", (2, 500, 1), 3, stride=1, padding=1),
    PoolCase("2d_plain", (2, 8, 6, 16), 2),
    PoolCase("2d_input_not_a_multiple", (2, 9, 7, 7), 2),
    PoolCase("2d_resnet", (1, 15, 14, 17), 3, stride=2, padding=1),
    PoolCase("2d_alexnet", (1, 13, 13, 33), 3, stride=2),
    PoolCase("2d_overlapping_same", (1, 7, 8, 3), 3, stride=1, padding=1),
    PoolCase("2d_one_channel", (3, 9, 9, 1), (3, 2), stride=(2, 1)),
    PoolCase("2d_65_channels", (1, 5, 6, 65), 2, stride=1),
    PoolCase("2d_300_channels", (1, 4, 5, 300), (2, 3), stride=1),
    PoolCase("2d_asymmetric", (1, 6, 5, 3), 3, stride=2, padding=((0, 2), (1, 0))),
    PoolCase("2d_mixed_per_axis", (1, 11, 12, 5), (3, 2), stride=(2, 1), padding=(1, 0), dilation=(2, 3)),
    PoolCase("2d_stride_2_dilation_4", (1, 13, 15, 17), (3, 4), stride=2, padding=3, dilation=(4, 2)),
    PoolCase("2d_stride_6_dilation_4", (2, 23, 21, 8), 3, stride=(6, 4), padding=5, dilation=(4, 6)),
    PoolCase("2d_stride_2_dilation_3_ceil", (1, 14, 15, 33), (2, 3), stride=2, padding=4, dilation=3, ceil_mode=True),
    PoolCase("2d_padding_over_kernel", (2, 4, 5, 9), (2, 3), stride=1, padding=((5, 1), (0, 7))),
    PoolCase("2d_ceil", (1, 8, 11, 5), 3, stride=2, ceil_mode=True),
    PoolCase("2d_ceil_padded", (2, 7, 6, 3), (3, 2), stride=(2, 3), padding=1, ceil_mode=True),
    PoolCase("2d_windows_of_padding_alone", (1, 3, 2, 5), 2, stride=2, padding=4),
    PoolCase("2d_kernel_over_input", (1, 3, 4, 7), 5, stride=1, padding=2),
    PoolCase("2d_whole_plane", (2, 5, 6, 13), (5, 6)),
    PoolCase("2d_single_pixel", (1, 1, 1, 3), 1),
    PoolCase("2d_one_row", (1, 1, 9, 5), (1, 3), stride=2),
    PoolCase("2d_batch_of_none", (0, 6, 5, 3), 2),
    PoolCase("2d_no_channels", (2, 6, 5, 0), 2),
    PoolCase("2d_enough_for_threads", (2, 40, 41, 40), 3, stride=2, padding=1),
    PoolCase("3d_plain", (1, 4, 6, 5, 7), 2),
    PoolCase("3d_padded", (1, 5, 4, 6, 3), 3, stride=2, padding=1),
    PoolCase("3d_mixed_per_axis", (1, 5, 6, 7, 13), (1, 2, 3), stride=(1, 2, 2), padding=(0, 1, 1), dilation=(1, 2, 1)),
    PoolCase("3d_dilated", (1, 6, 5, 7, 9), 2, stride=(1, 2, 3), padding=2, dilation=(3, 4, 2)),
    PoolCase("3d_ceil", (1, 5, 4, 6, 3), (2, 3, 2), stride=2, padding=(0, 1, 1), ceil_mode=True),
]

assert all(len(names) == len(set(names)) for names in ([c.name for c in CONV], [c.name for c in POOL]))


def named(*names):
    """A few of the convolutions, by name."""
    return [next(case for case in CONV if case.name == name) for name in names]
