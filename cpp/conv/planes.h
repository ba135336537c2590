// Lines of pixels as planes, one of each channel, for products whose vectors run along the width (planar.cpp).
#pragma once

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/row_map.h"
#include "core/threads.h"
#include "kernels/table.h"

namespace fastconv {

// The lowest of the source's positions that `count` targets meet, and how many there are from it to the highest.
inline Span reach(const AxisMap& axis, index_t count) {
    const index_t taps = std::max<index_t>(axis.taps - 1, 0) * axis.tap_step;
    return {axis.source_start + std::min<index_t>(taps, 0), (count - 1) * axis.source_step + std::abs(taps) + 1};
}

// The taps that lie inside the source for one of the targets [q, q + count), from the first to the last.
inline Span taps_inside(const AxisMap& axis, index_t q, index_t count) {
    Span span{0, 0};
    for (index_t tap = 0; tap < axis.taps; ++tap) {
        const index_t first = axis.source_start + q * axis.source_step + tap * axis.tap_step;
        if (first + (count - 1) * axis.source_step < 0 || first >= axis.extent) continue;
        if (span.count == 0) span.first = tap;
        span.count = tap - span.first + 1;
    }
    return span;
}

// Some target lines: [first, first + count) along the height, of one image and depth; of long ones a piece, the targets
// [left, left + width).
struct LineBlock {
    index_t n, d, first, count, left, width;
};

// How targets are cut into blocks, and where the planes lie that a block meets: by tap of the depth, line, channel, and
// phase of the width's stride.
struct PlaneLayout {
    RowMap map;
    index_t channels, columns, vector;  // of one group
    index_t lines_per_block, blocks;    // target lines of a block, and blocks along the height
    index_t lines;                      // that a block meets
    index_t width_per_block, pieces;    // targets of a block along the width, and blocks
    index_t phases, low, pitch;         // position i of the plane of phase r is pixel (low + left + i) * phases + r

    // Values of a block's planes: in L1 with the targets, or in L2. Measured, 8 lines instead of 1: 512x512, 3 -> 3
    // 3x3, 1.25 to 1.35 times as fast, 8x256x256, 1 -> 6 5x5, 1.05, the gradient of its input 1.8; 16 as fast as 8.
    static constexpr index_t kInL1 = 6 << 10, kInL2 = 64 << 10;
    static constexpr index_t kLinesOfBlock = 8, kMostLines = 64, kEnoughTasks = 64;

    PlaneLayout(const RowMap& row_map, index_t source_channels, index_t target_channels, index_t vector_width)
        : map(row_map), channels(source_channels), columns(target_channels), vector(vector_width) {
        const AxisMap &height = map.axes[1], &width = map.axes[2];
        phases = width.source_step;
        const Span first = reach(width, 1);  // what the first pixel meets; whole vectors of them are read
        low = floor_div(first.first, phases);
        const index_t beyond = floor_div(first.first + first.count - 1, phases) - low;
        // Few long lines are cut for all threads to have some. Pieces overlap by what is beyond: that is to be little.
        const index_t lines_in_all = std::max<index_t>(map.batch * map.axes[0].count * height.count, 1);
        const index_t longest = std::max({kInL1 / std::max<index_t>(channels * phases, 1), 16 * vector, 8 * beyond});
        pieces = std::clamp<index_t>(width.count / longest, 1, ceil_div(kEnoughTasks, lines_in_all));
        width_per_block = pieces == 1 ? width.count : round_up(ceil_div(width.count, pieces), vector);
        pieces = ceil_div(width.count, std::max<index_t>(width_per_block, 1));
        pitch = beyond + round_up(width_per_block, vector);
        const index_t values = map.axes[0].taps * line_size();
        const auto affordable = [&](index_t most) {
            return (most / std::max<index_t>(values, 1) - reach(height, 1).count) / height.source_step + 1;
        };
        // Neighbouring lines meet mostly the same ones, which are laid out once for all of a block.
        const index_t together = std::max(affordable(kInL1), std::min(affordable(kInL2), kLinesOfBlock));
        const index_t most = std::clamp<index_t>(together, 1, kMostLines);
        blocks = ceil_div(height.count, most);
        lines_per_block = ceil_div(height.count, std::max<index_t>(blocks, 1));
        lines = reach(height, std::max<index_t>(lines_per_block, 1)).count;
    }

    index_t line_size() const { return channels * phases * pitch; }
    index_t size() const { return map.axes[0].taps * lines * line_size(); }
    index_t terms() const { return map.taps() * channels; }
    index_t target_pitch() const { return round_up(width_per_block, vector); }
    index_t tasks() const { return map.batch * map.axes[0].count * blocks * pieces; }
    int threads(index_t cuts) const {
        const auto products = static_cast<double>(map.rows()) * static_cast<double>(terms() * columns);
        return worthwhile_threads(2 * products, cuts);
    }

    LineBlock block(index_t task) const {
        const index_t left = task % pieces * width_per_block, above = task / pieces;
        const index_t first = above % blocks * lines_per_block, lines_of = above / blocks;
        return {lines_of / map.axes[0].count,
                lines_of % map.axes[0].count,
                first,
                std::min(lines_per_block, map.axes[1].count - first),
                left,
                std::min(width_per_block, map.axes[2].count - left)};
    }

    // Where the first target of a block meets each term, in the order of the map's taps.
    template <class T>
    void place_terms(const T* planes, const T** sources) const {
        const AxisMap &height = map.axes[1], &width = map.axes[2];
        const index_t lowest = reach(height, 1).first - height.source_start;
        for (index_t jd = 0; jd < map.axes[0].taps; ++jd)
            for (index_t jh = 0; jh < height.taps; ++jh)
                for (index_t jw = 0; jw < width.taps; ++jw) {
                    const index_t position = width.source_start + jw * width.tap_step;
                    const index_t at = floor_div(position, phases), phase = position - at * phases;
                    const T* line = planes + (jd * lines + jh * height.tap_step - lowest) * line_size();
                    for (index_t c = 0; c < channels; ++c) *sources++ = line + (c * phases + phase) * pitch + at - low;
                }
    }

    // Lays out what a block meets; what lies in the padding is zero.
    template <class T>
    void fill(const TensorView<const T>& source, const LineBlock& block, T* planes) const {
        const AxisMap &depth = map.axes[0], &height = map.axes[1], &width = map.axes[2];
        std::fill_n(planes, size(), T(0));
        const index_t top = reach(height, 1).first + block.first * height.source_step;
        const Span inside = taps_inside(depth, block.d, 1);
        for (index_t jd = inside.first; jd < inside.first + inside.count; ++jd) {
            const index_t d = depth.source_start + block.d * depth.source_step + jd * depth.tap_step;
            for (index_t i = std::max<index_t>(-top, 0); i < std::min(lines, height.extent - top); ++i) {
                const T* line =
                    source.data + block.n * source.batch_stride + d * source.strides[0] + (top + i) * source.strides[1];
                for (index_t phase = 0; phase < phases; ++phase) {
                    const index_t lowest = low + block.left, first = std::max<index_t>(lowest, 0);
                    const index_t last = std::min(ceil_div(width.extent - phase, phases), lowest + pitch);
                    if (last <= first) continue;
                    kernels<T>().copy_block({line + (first * phases + phase) * source.strides[2],
                                             phases * source.strides[2], 1, last - first, channels,
                                             planes + (jd * lines + i) * line_size() + phase * pitch + first - lowest,
                                             phases * pitch, false});
                }
            }
        }
    }
};

}  // namespace fastconv
