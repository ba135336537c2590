// Which row of one tensor meets which row of another under a sliding window. All convolution and
// pooling passes read their operands through this map: a "row" is the contiguous channels of a pixel.
//
// Along one axis everything is affine. Output q of the forward pass meets, at tap j, the input position
// q * stride - pad + j * dilation. Seen from the input (the gradient of the input), positions that are
// equal modulo the stride form a phase; position phase + q * stride meets every (stride / g)-th tap, with
// g = gcd(stride, dilation), at output q + start - j * dilation / g. So no zeros are ever inserted.
#pragma once

#include <algorithm>
#include <numeric>

#include "core/arithmetic.h"
#include "core/geometry.h"
#include "core/tensor.h"

namespace fastconv {

struct AxisMap {
    index_t count = 1;                          // rows of the target side
    index_t target_start = 0, target_step = 1;  // row q is position target_start + q * target_step
    index_t source_start = 0, source_step = 1;  // and meets source_start + q * source_step + j * tap_step
    index_t tap_step = 0;
    index_t extent = 1;                         // valid source positions are [0, extent)
    index_t taps = 1;                           // j runs over [0, taps)
    index_t kernel_start = 0, kernel_step = 1;  // tap j is position kernel_start + j * kernel_step
    index_t kernel = 1;                         // of [0, kernel)
};

inline AxisMap forward_map(const Axis& axis) {
    return {axis.output, 0, 1, -axis.pad_before, axis.stride, axis.dilation, axis.input,
            axis.kernel, 0, 1, axis.kernel};
}

// The phase-th of axis.stride maps from input positions to output positions.
inline AxisMap backward_map(const Axis& axis, index_t phase) {
    AxisMap map;
    map.count = phase < axis.input ? ceil_div(axis.input - phase, axis.stride) : 0;
    map.target_start = phase;
    map.target_step = axis.stride;
    map.extent = axis.output;
    map.kernel = axis.kernel;
    const index_t common = std::gcd(axis.stride, axis.dilation);
    map.kernel_step = axis.stride / common;
    map.tap_step = -(axis.dilation / common);
    // The first tap t with phase + pad - t * dilation divisible by the stride, if there is one.
    for (index_t t = 0; t < std::min(map.kernel_step, axis.kernel); ++t) {
        const index_t shifted = phase + axis.pad_before - t * axis.dilation;
        if (shifted % axis.stride != 0) continue;
        map.kernel_start = t;
        map.source_start = shifted / axis.stride;
        map.taps = ceil_div(axis.kernel - t, map.kernel_step);
        return map;
    }
    map.taps = 0;
    return map;
}

struct RowMap {
    index_t batch = 1;
    std::array<AxisMap, kAxes> axes;
    // Rows go line by line; or along a stretch of each line first, then along the next. Positions where stretches end.
    static constexpr std::size_t kMostStretches = 16;
    std::array<index_t, kMostStretches> ends{};
    std::size_t stretches = 0;  // 0: whole lines

    // Cuts lines where a tap enters or leaves the padding, if there is much of it: so neighbouring rows lie in it
    // together, and products with it can be skipped.
    void cut_at_padding();

    index_t pixels() const { return axes[0].count * axes[1].count * axes[2].count; }
    index_t rows() const { return batch * pixels(); }
    index_t taps() const { return axes[0].taps * axes[1].taps * axes[2].taps; }
};

inline RowMap forward_map(const Window3d& window, index_t batch) {
    RowMap map;
    map.batch = batch;
    for (int i = 0; i < kAxes; ++i) map.axes[i] = forward_map(window.axes[i]);
    return map;
}

inline void RowMap::cut_at_padding() {
    constexpr index_t kLittle = 16;  // times as many products aren't with padding
    const AxisMap& width = axes[kAxes - 1];
    if (2 * width.taps >= static_cast<index_t>(kMostStretches) || width.count == 0) return;
    index_t padded = 0;
    std::array<index_t, kMostStretches> cuts{width.count};
    std::size_t size = 1;
    for (index_t j = 0; j < width.taps; ++j) {
        const index_t start = width.source_start + j * width.tap_step;
        const index_t first = std::clamp<index_t>(-floor_div(start, width.source_step), 0, width.count),
                      last = std::clamp<index_t>(-floor_div(start - width.extent, width.source_step), 0, width.count);
        padded += width.count - (last - first);
        for (const index_t cut : {first, last})
            if (cut > 0) cuts[size++] = cut;
    }
    if (padded * kLittle < width.count * width.taps) return;
    std::sort(cuts.begin(), cuts.begin() + size);
    stretches = static_cast<std::size_t>(std::unique(cuts.begin(), cuts.begin() + size) - cuts.begin());
    ends = cuts;
}

// Calls visit(map) for the maps from input to output positions, one for each combination of the axes' phases.
template <class Visit>
void for_each_backward_map(const Window3d& window, index_t batch, Visit visit) {
    const std::array<Axis, kAxes>& axes = window.axes;
    RowMap map;
    map.batch = batch;
    for (index_t d = 0; d < std::min(axes[0].stride, axes[0].input); ++d)
        for (index_t h = 0; h < std::min(axes[1].stride, axes[1].input); ++h)
            for (index_t w = 0; w < std::min(axes[2].stride, axes[2].input); ++w) {
                map.axes = {backward_map(axes[0], d), backward_map(axes[1], h), backward_map(axes[2], w)};
                visit(map);
            }
}

// Where the tap-th tap of the map stands in the kernel.
inline index_t kernel_position(const RowMap& map, index_t tap) {
    const AxisMap &d = map.axes[0], &h = map.axes[1], &w = map.axes[2];
    const index_t jw = tap % w.taps, jh = tap / w.taps % h.taps, jd = tap / w.taps / h.taps;
    return ((d.kernel_start + jd * d.kernel_step) * h.kernel + h.kernel_start + jh * h.kernel_step) * w.kernel +
           w.kernel_start + jw * w.kernel_step;
}

// The map of a plain matrix product: one tap, and row r meets row r.
inline RowMap matrix_map(index_t rows) {
    RowMap map;
    map.axes[2].count = map.axes[2].extent = rows;
    return map;
}

// Consecutive rows of the target side that lie on one line along the width: [first, first + count) of the
// rows asked for, which the map has, at (n, d, h) and width position w and following.
struct Run {
    index_t first, count;
    index_t n, d, h, w;
};

template <class Visit>
void for_each_run(const RowMap& map, index_t first_row, index_t rows, Visit visit) {
    const index_t height = map.axes[1].count, depth = map.axes[0].count, lines = map.batch * depth * height;
    index_t skipped = first_row, begin = 0;
    for (index_t done = 0, s = 0; done < rows; ++s) {
        const index_t end = map.stretches == 0 ? map.axes[2].count : map.ends[static_cast<std::size_t>(s)];
        const index_t width = end - begin;
        index_t line = std::min(skipped / width, lines), w = skipped % width;
        skipped = std::max<index_t>(skipped - lines * width, 0);
        for (; done < rows && line < lines; ++line, w = 0) {
            const index_t count = std::min(rows - done, width - w);
            visit(Run{done, count, line / height / depth, line / height % depth, line % height, begin + w});
            done += count;
        }
        begin = end;
    }
}

// Rows image by image, of so many pixels each: visit(first of the rows asked for, image, its first pixel, rows).
template <class Visit>
void for_each_image_part(index_t pixels, index_t first_row, index_t rows, Visit visit) {
    for (index_t done = 0, count; done < rows; done += count) {
        const index_t image = (first_row + done) / pixels, pixel = (first_row + done) % pixels;
        count = std::min(rows - done, pixels - pixel);
        visit(done, image, pixel, count);
    }
}

// out[tap * pitch + row] = inside(n, d, h, w) as an address, or `outside` where the window leaves the
// source. Address is a pointer (rows of a tensor) or an index (positions in a plane); the address of
// source position (n, d, h, w) is base + n * batch_stride + d * strides[0] + h * strides[1] + w * strides[2].
template <class Address>
struct RowAddresses {
    Address base;
    Address outside;
    index_t batch_stride;
    std::array<index_t, kAxes> strides;

    void gather(const RowMap& map, index_t first_row, index_t rows, index_t first_tap, index_t taps, Address* out,
                index_t pitch) const {
        const AxisMap &depth = map.axes[0], &height = map.axes[1], &width = map.axes[2];
        for_each_run(map, first_row, rows, [&](const Run& run) {
            for (index_t t = 0; t < taps; ++t) {
                const index_t tap = first_tap + t;
                const index_t jw = tap % width.taps, jh = tap / width.taps % height.taps;
                const index_t jd = tap / width.taps / height.taps;
                const index_t d = depth.source_start + run.d * depth.source_step + jd * depth.tap_step;
                const index_t h = height.source_start + run.h * height.source_step + jh * height.tap_step;
                Address* line = out + t * pitch + run.first;
                if (d < 0 || d >= depth.extent || h < 0 || h >= height.extent) {
                    std::fill(line, line + run.count, outside);
                    continue;
                }
                const index_t w = width.source_start + run.w * width.source_step + jw * width.tap_step;
                fill_line(line, run.count, run.n * batch_stride + d * strides[0] + h * strides[1], w, width);
            }
        });
    }

  private:
    // Positions start, start + step, ... of a line of the source: those inside form one interval.
    void fill_line(Address* line, index_t count, index_t offset, index_t start, const AxisMap& width) const {
        const index_t step = width.source_step;
        const index_t before = start < 0 ? std::min(ceil_div(-start, step), count) : 0;
        const index_t inside = width.extent > start ? ceil_div(width.extent - start, step) : 0;
        const index_t end = std::clamp(inside, before, count);
        std::fill(line, line + before, outside);
        for (index_t i = before; i < end; ++i) line[i] = base + (offset + (start + i * step) * strides[2]);
        std::fill(line + end, line + count, outside);
    }
};

// Rows of a tensor as a map's source, or as its target (where every position lies inside).
template <class T>
RowAddresses<T*> source_rows(const TensorView<T>& tensor, T* outside) {
    return {tensor.data, outside, tensor.batch_stride, tensor.strides};
}

template <class T>
void target_rows(const RowMap& map, const TensorView<T>& tensor, index_t first_row, index_t rows, T** out) {
    const AxisMap &depth = map.axes[0], &height = map.axes[1], &width = map.axes[2];
    for_each_run(map, first_row, rows, [&](const Run& run) {
        T* line = tensor.data + run.n * tensor.batch_stride +
                  (depth.target_start + run.d * depth.target_step) * tensor.strides[0] +
                  (height.target_start + run.h * height.target_step) * tensor.strides[1] +
                  (width.target_start + run.w * width.target_step) * tensor.strides[2];
        for (index_t i = 0; i < run.count; ++i) out[run.first + i] = line + i * width.target_step * tensor.strides[2];
    });
}

}  // namespace fastconv
