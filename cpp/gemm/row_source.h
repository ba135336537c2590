// The rows of an implicit left matrix: pointers into an activation, one for each (tap, pixel).
//
// Where the width isn't dilated, the taps of a line of the kernel are neighbours
// in memory as well: joined, they are one long tap, and the inner loop of a product runs over
// kernel_w * channels values instead of a few channels. Rows that reach into the padding then are copied,
// with zeros, to scratch memory; all others stay where they are. Short rows, of few channels, come as pieces of lines
// instead, whose rows are evenly spaced: pointers to each would cost as much as the products.
#pragma once

#include "core/isa.h"
#include "core/row_map.h"
#include "kernels/table.h"

namespace fastconv {

// Whether vectors should run along rows of `depth` values instead of across so few columns: where they are fuller.
inline bool is_narrow(index_t depth, index_t columns, index_t vector_width) {
    return columns <= kNarrowColumns && columns <= vector_width &&
           depth * round_up(columns, vector_width) > columns * round_up(depth, vector_width);
}

template <class T>
struct RowSource {
    RowMap map;  // with a single tap along the width where taps are joined
    TensorView<const T> tensor;
    index_t joined = 1;       // taps of a line in one row, in the order of memory
    index_t kernel_step = 0;  // from one of them to the next in the kernel; negative where memory runs backwards
    bool copies = false;      // whether some rows may have to be copied

    // The rows under a map, with the taps of a line joined where they are neighbours in memory, the rows hold all
    // channels, and aren't so long that copies of them, where they reach into the padding, take much memory.
    static RowSource of_map(const RowMap& map, const TensorView<const T>& tensor, bool all_channels,
                            index_t longest_copy) {
        RowSource source{map, tensor};
        AxisMap& width = source.map.axes[kAxes - 1];
        const bool adjacent = all_channels && width.taps > 1 && std::abs(width.tap_step) == 1 &&
                              tensor.strides[kAxes - 1] == tensor.channels;
        const index_t lowest = width.source_start + std::min<index_t>((width.taps - 1) * width.tap_step, 0);
        const index_t highest = lowest + (width.count - 1) * width.source_step + width.taps - 1;
        const bool padded = lowest < 0 || highest >= width.extent;
        if (!adjacent || (padded && width.taps * tensor.channels > longest_copy)) return source;
        source.joined = width.taps;
        source.kernel_step = width.tap_step * width.kernel_step;
        source.copies = padded;
        if (width.tap_step < 0) width.kernel_start += (width.taps - 1) * width.kernel_step;
        width.source_start = lowest;
        width.taps = 1;
        return source;
    }

    index_t row_length() const { return joined * tensor.channels; }

    // Values of scratch memory that gather() needs for so many rows and taps.
    index_t scratch_size(index_t rows, index_t taps) const {
        return copies || in_planes(tensor) ? rows * taps * row_length() : 0;
    }

    // out[t * rows + r] is the row of pixel first_row + r under tap first_tap + t; `zeros` is a row of padding.
    void gather(index_t first_row, index_t rows, index_t first_tap, index_t taps, const T* zeros, T* scratch,
                const T** out) const {
        if (in_planes(tensor)) return lay_out(first_row, rows, scratch, out);
        if (joined == 1) {
            source_rows<const T>(tensor, zeros).gather(map, first_row, rows, first_tap, taps, out, rows);
            return;
        }
        const AxisMap &depth = map.axes[0], &height = map.axes[1], &width = map.axes[2];
        for_each_run(map, first_row, rows, [&](const Run& run) {
            for (index_t t = 0; t < taps; ++t) {
                const index_t jh = (first_tap + t) % height.taps, jd = (first_tap + t) / height.taps;
                const index_t d = depth.source_start + run.d * depth.source_step + jd * depth.tap_step;
                const index_t h = height.source_start + run.h * height.source_step + jh * height.tap_step;
                const T** line = out + t * rows + run.first;
                if (d < 0 || d >= depth.extent || h < 0 || h >= height.extent) {
                    std::fill(line, line + run.count, zeros);
                    continue;
                }
                const T* start =
                    tensor.data + run.n * tensor.batch_stride + d * tensor.strides[0] + h * tensor.strides[1];
                T* copies = scratch + (t * rows + run.first) * row_length();
                for (index_t i = 0; i < run.count; ++i) {
                    const index_t w = width.source_start + (run.w + i) * width.source_step;
                    const bool inside = w >= 0 && w + joined <= width.extent;
                    line[i] = inside ? start + w * tensor.channels
                                     : copy_with_zeros(start, w, joined, copies + i * row_length());
                }
            }
        });
    }

    // Values from a row to the next on a line, and of scratch memory that lines() needs.
    index_t row_step() const { return map.axes[kAxes - 1].source_step * tensor.channels; }
    index_t lines_size(index_t rows) const { return map.taps() * ((rows - 1) * row_step() + row_length()); }

    // Whether the rows are short, and near enough to each other for pieces of lines that may have to be copied.
    bool has_short_rows(index_t longest) const {
        constexpr index_t kFarthest = 4;  // rows
        return joined > 1 && row_length() <= longest && row_step() <= kFarthest * row_length();
    }

    // Where joined: out[t] is row 0 of a run under tap t, or `zeros` if all of them lie in the padding.
    void lines(const Run& run, const T* zeros, T* scratch, const T** out) const {
        const AxisMap &depth = map.axes[0], &height = map.axes[1], &width = map.axes[2];
        const index_t first = width.source_start + run.w * width.source_step;
        const index_t positions = (run.count - 1) * width.source_step + joined;
        for (index_t jd = 0; jd < depth.taps; ++jd) {
            const index_t d = depth.source_start + run.d * depth.source_step + jd * depth.tap_step;
            for (index_t jh = 0; jh < height.taps; ++jh, ++out) {
                const index_t h = height.source_start + run.h * height.source_step + jh * height.tap_step;
                *out = zeros;
                if (d < 0 || d >= depth.extent || h < 0 || h >= height.extent) continue;
                const T* line =
                    tensor.data + run.n * tensor.batch_stride + d * tensor.strides[0] + h * tensor.strides[1];
                *out = line + first * tensor.channels;
                if (first >= 0 && first + positions <= width.extent) continue;
                *out = copy_with_zeros(line, first, positions, scratch);
                scratch += positions * tensor.channels;
            }
        }
    }

  private:
    // The map has one tap, which stays on its pixel. What was planes is laid out pixel by pixel.
    void lay_out(index_t first_row, index_t rows, T* scratch, const T** out) const {
        for_each_image_part(map.pixels(), first_row, rows,
                            [&](index_t first, index_t image, index_t pixel, index_t count) {
            kernels<T>().copy_block({tensor.data + image * tensor.batch_stride + pixel, tensor.channel_stride, 1,
                                     tensor.channels, count, scratch + first * tensor.channels, tensor.channels,
                                     false});
        });
        for (index_t row = 0; row < rows; ++row) out[row] = scratch + row * tensor.channels;
    }

    const T* copy_with_zeros(const T* line, index_t first, index_t positions, T* copy) const {
        const index_t extent = map.axes[kAxes - 1].extent;
        const index_t begin = std::clamp<index_t>(-first, 0, positions);
        const index_t end = std::clamp<index_t>(extent - first, begin, positions);
        std::fill(copy, copy + begin * tensor.channels, T(0));
        std::copy(line + (first + begin) * tensor.channels, line + (first + end) * tensor.channels,
                  copy + begin * tensor.channels);
        std::fill(copy + end * tensor.channels, copy + positions * tensor.channels, T(0));
        return copy;
    }
};

}  // namespace fastconv
