// How all poolings walk: over lines of targets, cut along the width and, where there are few lines, by channels.
// Every target is computed whole inside one call of a kernel, so the cutting may look at the number of threads.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "core/arithmetic.h"
#include "core/geometry.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/tensor.h"
#include "core/threads.h"
#include "pool/lanes.h"

namespace fastconv {

constexpr index_t kMostTargets = 256;  // of a line, at a time

// What the window of output `q` meets along an axis, `dilation` apart; and how many positions that lie in [low, high).
inline Span span_between(const Axis& axis, index_t q, index_t low, index_t high) {
    const index_t start = q * axis.stride - axis.pad_before;
    const index_t first = start < low ? ceil_div(low - start, axis.dilation) : 0;
    const index_t last = high > start ? std::min(ceil_div(high - start, axis.dilation), axis.kernel) : 0;
    if (last <= first) return {0, 0};
    return {start + first * axis.dilation, last - first};
}

inline Span input_span(const Axis& axis, index_t q) { return span_between(axis, q, 0, axis.input); }

// How far apart the outputs are whose windows hold the same position of the input.
inline index_t output_step(const Axis& axis) { return axis.dilation / std::gcd(axis.stride, axis.dilation); }

// The outputs, output_step() apart, whose windows hold position p of the input.
inline Span output_span(const Axis& axis, index_t p) {
    const index_t reach = p + axis.pad_before;  // from the start of window 0
    if (axis.dilation == 1) {
        const index_t first = reach < axis.kernel ? 0 : (reach - axis.kernel) / axis.stride + 1;
        const index_t last = std::min(reach / axis.stride + 1, axis.output);
        if (last <= first) return {0, 0};
        return {first, last - first};
    }
    // Every tap_step-th tap meets p from some output, the more distant a tap, the lower its output.
    const index_t step = output_step(axis), tap_step = step * axis.stride / axis.dilation;
    for (index_t tap = 0; tap < std::min(tap_step, axis.kernel); ++tap) {
        const index_t start = reach - tap * axis.dilation;
        if (start < 0) break;
        if (start % axis.stride != 0) continue;
        const index_t highest = start / axis.stride;
        const index_t skipped = highest < axis.output ? 0 : ceil_div(highest - axis.output + 1, step);
        const index_t taken = std::min(ceil_div(axis.kernel - tap, tap_step) - 1, highest / step);
        if (taken < skipped) break;
        return {highest - taken * step, taken - skipped + 1};
    }
    return {0, 0};
}

// What adaptive pooling's output q meets.
inline Span adaptive_span(const Axis& axis, index_t q) {
    const index_t first = q * axis.input / axis.output;
    return {first, ceil_div((q + 1) * axis.input, axis.output) - first};
}

// A piece of a line of targets.
struct WindowLine {
    index_t image, depth, height;  // which line
    index_t first, targets;        // which of its pixels
    index_t channel, channels;
    std::array<Span, 2> lines;  // the source's, along depth and height
    Span next;                  // those along height that the next piece of this task is the first one to meet
    const Span* spans;          // and its pixels, for each target
    const PoolLanes* lanes;     // the same by vectors of several targets, or null
};

// The targets of a call, and how they are cut.
struct LineGrid {
    LineGrid(index_t images, const std::array<index_t, kAxes>& target_extents, index_t all_channels,
             index_t element_bytes, double work)
        : batch(images), extents(target_extents), channels(all_channels) {
        lines = batch * extents[0] * extents[1];
        // A kernel's targets stay in L1 until they are streamed.
        constexpr index_t kBytes = 8192;
        targets = std::clamp<index_t>(kBytes / std::max<index_t>(channels * element_bytes, 1), 8, kMostTargets);
        pieces = ceil_div(extents[2], targets);
        threads = worthwhile_threads(work, lines * pieces * ceil_div(channels, kLeastChannels));
        lines_per_task = std::clamp<index_t>(lines * pieces / (8 * threads), 1, 16);
        const index_t missing = ceil_div(4 * threads, std::max<index_t>(lines * pieces, 1));
        part = threads == 1 ? channels : round_up(ceil_div(channels, missing), kLeastChannels);
        part = std::min(part, channels);
        lanes = channels <= most_channels_in_lanes(element_bytes) ? lanes_of(element_bytes) : 0;
    }

    bool whole_pixels() const { return part == channels; }
    index_t line_of(const WindowLine& at) const { return (at.image * extents[0] + at.depth) * extents[1] + at.height; }
    // Where the first target's first channel is, in elements.
    index_t offset_of(const WindowLine& at) const {
        return (line_of(at) * extents[2] + at.first) * channels + at.channel;
    }

    static constexpr index_t kLeastChannels = 64;
    index_t batch;
    std::array<index_t, kAxes> extents;
    index_t channels;
    index_t lines, pieces, targets, lines_per_task, part;
    index_t lanes;  // of a vector, where one holds the channels of several targets, else 0
    int threads;
};

// What the targets of a piece of a line meet along the width, whichever the line is. With several targets in a vector
// all pieces have the same channels.
class PieceSpans {
  public:
    // span_of(axis, position) is what a target meets, `tap_step` pixels from one another.
    template <class SpanOf>
    void make(WindowLine& at, const LineGrid& grid, const SpanOf& span_of, index_t tap_step) {
        if (at.first != first_) {
            first_ = at.first;
            for (index_t q = 0; q < at.targets; ++q)
                spans_[static_cast<std::size_t>(q)] = span_of(std::size_t{2}, at.first + q);
            table_ = nullptr;
            if (grid.lanes > 0) table_ = lanes_.make(spans_.data(), at.targets, at.channels, tap_step, grid.lanes);
        }
        at.spans = spans_.data();
        at.lanes = table_;
    }

  private:
    index_t first_ = -1;  // the piece that is known
    const PoolLanes* table_;
    std::array<Span, kMostTargets> spans_;
    LaneTable<kMostTargets> lanes_;
};

// Calls visit(line) for a piece of the lines [begin, end), counted over all images.
template <class SpanOf, class Visit>
void visit_lines(const LineGrid& grid, WindowLine at, index_t begin, index_t end, const SpanOf& span_of,
                 const Visit& visit) {
    for (index_t line = begin; line < end; ++line) {
        at.height = line % grid.extents[1];
        at.depth = line / grid.extents[1] % grid.extents[0];
        at.image = line / grid.extents[1] / grid.extents[0];
        at.lines = {span_of(std::size_t{0}, at.depth), span_of(std::size_t{1}, at.height)};
        at.next = {0, 0};
        if (line + 1 < end && at.height + 1 < grid.extents[1]) {
            const Span next = span_of(std::size_t{1}, at.height + 1);
            const index_t first = std::max(next.first, at.lines[1].first + at.lines[1].count);
            at.next = {first, next.first + next.count - first};
        }
        visit(at);
    }
}

// Calls visit(line, worker) for every piece of every line of targets, in parallel. span_of(axis, position) is what a
// target meets, along the width `tap_step` pixels from one another.
template <class SpanOf, class Visit>
void for_each_line(const LineGrid& grid, index_t tap_step, const SpanOf& span_of, const Visit& visit) {
    if (grid.lines * grid.extents[2] * grid.channels == 0) return;
    const index_t parts = ceil_div(grid.channels, grid.part);
    const index_t blocks = ceil_div(grid.lines, grid.lines_per_task);
    const std::unique_ptr<PieceSpans[]> pieces(new PieceSpans[static_cast<std::size_t>(grid.threads)]);
    parallel_for(blocks * grid.pieces * parts, grid.threads, [&](index_t task, int worker) {
        WindowLine at;
        at.channel = task % parts * grid.part;
        at.channels = std::min(grid.part, grid.channels - at.channel);
        at.first = task / parts % grid.pieces * grid.targets;
        at.targets = std::min(grid.targets, grid.extents[2] - at.first);
        pieces[static_cast<std::size_t>(worker)].make(at, grid, span_of, tap_step);

        const index_t begin = task / parts / grid.pieces * grid.lines_per_task;
        const index_t end = std::min(begin + grid.lines_per_task, grid.lines);
        visit_lines(grid, at, begin, end, span_of, [&](const WindowLine& line) { visit(line, worker); });
    });
}

// What the next piece of the task will read first: a window walks over several lines at a time, which is no access
// pattern that the processor recognizes. Not where windows skip lines.
template <class T>
Ahead<T> ahead_of(const WindowLine& at, const TensorView<const T>& source) {
    const auto& strides = source.strides;
    const Span &left = at.spans[0], &right = at.spans[at.targets - 1];
    const index_t pixels = right.first + right.count - left.first;
    const T* start = source.data + at.image * source.batch_stride + at.lines[0].first * strides[0] +
                     at.next.first * strides[1] + left.first * strides[2] + at.channel * source.channel_stride;
    if (strides[2] == at.channels) return {start, strides[1], at.next.count, pixels * at.channels};
    return {start, strides[2], at.next.count == 0 ? 0 : pixels, at.channels};
}

// What a kernel is told of a piece whose windows meet every dilation-th pixel of the source.
template <class T>
PoolLine<T> pool_line(const WindowLine& at, const TensorView<const T>& source,
                      const std::array<index_t, kAxes>& dilation) {
    const auto& strides = source.strides;
    PoolLine<T> line;
    line.source = source.data + at.image * source.batch_stride + at.lines[0].first * strides[0] +
                  at.lines[1].first * strides[1] + at.channel * source.channel_stride;
    line.depth = at.lines[0].count;
    line.height = at.lines[1].count;
    line.depth_step = dilation[0] * strides[0];
    line.height_step = dilation[1] * strides[1];
    line.pixel_step = strides[2];
    line.tap_step = dilation[2];
    line.spans = at.spans;
    line.targets = at.targets;
    line.channels = at.channels;
    line.lanes = line.pixel_step == at.channels ? at.lanes : nullptr;
    line.ahead = dilation[1] == 1 ? ahead_of(at, source) : Ahead<T>{};
    return line;
}

// Targets larger than this are written past the caches: nothing of them would be left there.
constexpr index_t kStreamedBytes = index_t{4} << 20;

// Where a kernel writes a piece of a line, and the way from there to the array: the array itself, or where that is
// large, a scratch line that is then copied past the caches.
template <class T>
class Targets {
  public:
    Targets(const LineGrid& grid, T* array) : grid_(grid), array_(array) {
        const index_t bytes = grid.lines * grid.extents[2] * grid.channels * static_cast<index_t>(sizeof(T));
        if (array == nullptr || bytes < kStreamedBytes || !grid.whole_pixels()) return;
        piece_ = round_up(grid.targets * grid.channels, kAlignment / static_cast<index_t>(sizeof(T)));
        scratch_.reset(take_buffer(static_cast<std::size_t>(grid.threads * piece_) * sizeof(T)));
    }

    T* begin(const WindowLine& at, int worker) const {
        if (scratch_) return static_cast<T*>(scratch_.get()) + worker * piece_;
        return array_ == nullptr ? nullptr : array_ + grid_.offset_of(at);
    }

    void finish(const WindowLine& at, int worker) const {
        if (!scratch_) return;
        kernels<float>().stream(begin(at, worker), at.targets * grid_.channels * static_cast<index_t>(sizeof(T)),
                                array_ + grid_.offset_of(at));
    }

  private:
    const LineGrid& grid_;
    T* array_;
    index_t piece_ = 0;
    Buffer scratch_;
};

}  // namespace fastconv
