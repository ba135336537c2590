// The gradient of the input at a stride, as products: input pixels that are equal modulo the stride form a phase, which
// has taps of its own (core/row_map.h), so that there is one product for each combination of phases.
//
// Along the width all phases may be one product: `stride` neighbouring pixels, one of each phase, meet the same
// outputs, and are the columns of one row (Shi et al., "Real-time single image and video super-resolution using an
// efficient sub-pixel convolutional neural network", 2016, section 3.2, reads it as a convolution to stride *
// channels). The output's gradient is then read once instead of once per phase, few channels make many columns, and
// hundreds of phases are one product. It takes a kernel that is a multiple of the stride, so that all phases have as
// many taps.
#pragma once

#include <array>

#include "core/arithmetic.h"
#include "core/row_map.h"

namespace fastconv {

// Some neighbouring blocks of `stride` pixels on each line of the input, with the outputs that they meet.
struct PixelBlocks {
    index_t first = 0;  // the first one's first pixel; where that or its last pixel lies outside, there is one block
    index_t count = 0;
    index_t output = 0;  // what the first block's first tap meets
};

// How the lines are cut into blocks: those that lie inside, and one that is cut off at either end.
struct JoinedWidth {
    index_t stride = 1;
    index_t taps = 0;  // of a block; 0 where the phases stay apart
    PixelBlocks inside;
    std::array<PixelBlocks, 2> edges;

    explicit JoinedWidth(const ConvGeometry& g) {
        const Axis& width = g.axes[kAxes - 1];
        stride = width.stride;
        if (g.groups > 1 || width.dilation > 1 || stride == 1 || width.kernel % stride != 0) return;
        if (width.input < stride) return;  // blocks at the edges would take more memory than the result
        taps = width.kernel / stride;
        inside.output = ceil_div(width.pad_before, stride);
        inside.first = inside.output * stride - width.pad_before;
        inside.count = inside.first < width.input ? (width.input - inside.first) / stride : 0;
        const index_t end = inside.first + inside.count * stride;
        if (inside.first > 0) edges[0] = {inside.first - stride, 1, inside.output - 1};
        if (end < width.input) edges[1] = {end, 1, inside.output + inside.count};
    }

    AxisMap map_of(const Axis& width, const PixelBlocks& blocks) const {
        AxisMap map;
        map.count = blocks.count;
        map.target_start = blocks.first;
        map.target_step = stride;
        map.source_start = blocks.output;
        map.tap_step = -1;
        map.extent = width.output;
        map.taps = taps;
        map.kernel_step = stride;
        map.kernel = width.kernel;
        return map;
    }
};

}  // namespace fastconv
