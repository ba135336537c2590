// Poolings of inputs whose channels lie in planes: a task lays out what it needs of a few of them pixel by pixel, which
// stays in the caches, and pools that. So nothing but the input and the result goes through memory.
#pragma once

#include <limits>

#include "pool/windows.h"

namespace fastconv {

// Targets, cut into blocks: some channels of a piece of some lines.
class PlaneGrid {
  public:
    // Windows meet every dilation-th position of what span_of(axis, target) spans.
    template <class SpanOf>
    PlaneGrid(index_t images, const std::array<index_t, kAxes>& extents, const std::array<index_t, kAxes>& dilation,
              index_t all_channels, index_t element_bytes, double work, const SpanOf& span_of)
        : block(images, extents, std::min(all_channels, kChannels), element_bytes, work), channels(all_channels) {
        parts = ceil_div(channels, std::max<index_t>(block.channels, 1));
        const index_t others = images * extents[0] * parts * block.pieces;
        threads = worthwhile_threads(work, others * extents[1]);
        for (std::size_t axis = 0; axis < kAxes; ++axis)
            for (index_t q = 0; q < extents[axis]; ++q) {
                const Span met = span_of(axis, q);
                reach_[axis].push_back({met.first, met.count == 0 ? 0 : (met.count - 1) * dilation[axis] + 1});
            }
        constexpr index_t kBytes = index_t{1} << 18;  // of a block of the source, in L2
        const index_t line = block.channels * element_bytes * most(0, 1) * most(2, block.targets);
        lines_per_task = std::max<index_t>(extents[1] / ceil_div(4 * threads, std::max<index_t>(others, 1)), 1);
        while (lines_per_task > 1 && most(1, lines_per_task) * line > kBytes) lines_per_task = (lines_per_task + 1) / 2;
    }

    // What `count` targets from `first` on meet along an axis, with all that lies between.
    Span reach(std::size_t axis, index_t first, index_t count) const {
        index_t low = 0, high = 0;
        for (index_t q = first; q < std::min(first + count, block.extents[axis]); ++q) {
            const Span& one = reach_[axis][static_cast<std::size_t>(q)];
            if (one.count == 0) continue;
            low = high == 0 ? one.first : std::min(low, one.first);  // with padding and dilation, not the first one's
            high = std::max(high, one.first + one.count);
        }
        return {low, high - low};
    }

    // The most that any `count` targets meet, as they are cut.
    index_t most(std::size_t axis, index_t count) const {
        index_t most = 0;
        for (index_t q = 0; q < block.extents[axis]; q += count) most = std::max(most, reach(axis, q, count).count);
        return most;
    }

    static constexpr index_t kChannels = 16;  // of a block: a line of the caches
    LineGrid block;                           // lines of so many channels
    index_t channels, parts, lines_per_task;
    int threads;

  private:
    std::array<std::vector<Span>, kAxes> reach_;
};

inline void put(const CopyBlock<float>& block) { kernels<float>().copy_block(block); }
inline void put(const CopyBlock<double>& block) { kernels<double>().copy_block(block); }
inline void put(const CopyBlock<index_t>& block) {  // nothing but bits are moved
    kernels<double>().copy_block({reinterpret_cast<const double*>(block.source), block.row_stride, block.column_stride,
                                  block.rows, block.columns, reinterpret_cast<double*>(block.target),
                                  block.target_pitch, block.stream});
}

// Memory of its own for every worker, or none.
template <class T>
class Scratch {
  public:
    Scratch(int workers, index_t size) : size_(round_up(size, kAlignment / static_cast<index_t>(sizeof(T)))) {
        if (size > 0) buffer_.reset(take_buffer(static_cast<std::size_t>(workers * size_) * sizeof(T)));
    }
    T* of(int worker) const { return buffer_ ? static_cast<T*>(buffer_.get()) + worker * size_ : nullptr; }

  private:
    index_t size_;
    Buffer buffer_;
};

// Calls pool(source, line, worker, target, indices, target_step) for every piece of every line of blocks, where
// `source` is what stands for the input, and the results, of which indices may be null, are to be written `target_step`
// apart.
template <class T, class SpanOf, class Pool>
void pool_planes(const PlaneGrid& grid, index_t tap_step, const SpanOf& span_of, const TensorView<const T>& input,
                 T* output, index_t* indices, const Pool& pool) {
    const std::array<index_t, kAxes>& extents = grid.block.extents;
    const index_t blocks = ceil_div(extents[1], grid.lines_per_task), pieces = grid.block.pieces;
    const index_t targets = grid.lines_per_task * grid.block.targets * grid.block.channels;
    const Scratch<T> sources(grid.threads, grid.most(0, 1) * grid.most(1, grid.lines_per_task) *
                                               grid.most(2, grid.block.targets) * grid.block.channels);
    const Scratch<T> values(grid.threads, targets);
    const Scratch<index_t> positions(grid.threads, indices == nullptr ? 0 : targets);
    const index_t size = grid.block.lines * extents[2] * grid.channels;
    const std::unique_ptr<PieceSpans[]> spans(new PieceSpans[static_cast<std::size_t>(grid.threads)]);
    parallel_for(grid.block.batch * extents[0] * grid.parts * blocks * pieces, grid.threads,
                 [&](index_t task, int worker) {
        WindowLine at;
        at.first = task % pieces * grid.block.targets;
        at.targets = std::min(grid.block.targets, extents[2] - at.first);
        task /= pieces;
        const index_t begin = task % blocks * grid.lines_per_task;
        const index_t count = std::min(grid.lines_per_task, extents[1] - begin);
        task /= blocks;
        at.channel = task % grid.parts * grid.block.channels;
        at.channels = std::min(grid.block.channels, grid.channels - at.channel);
        const index_t depth = task / grid.parts % extents[0], image = task / grid.parts / extents[0];
        spans[static_cast<std::size_t>(worker)].make(at, grid.block, span_of, tap_step);

        const Span planes = grid.reach(0, depth, 1), lines = grid.reach(1, begin, count);
        const Span columns = grid.reach(2, at.first, at.targets);
        TensorView<const T> source;
        source.channel_stride = 0;
        source.strides = {lines.count * columns.count * at.channels, columns.count * at.channels, at.channels};
        T* laid_out = sources.of(worker);
        source.data = laid_out - planes.first * source.strides[0] - lines.first * source.strides[1] -
                      columns.first * source.strides[2];
        const bool dense = input.strides[1] == columns.count;  // one line after the other
        for (index_t d = 0; d < planes.count; ++d) {
            for (index_t h = 0; h < lines.count; h += dense ? lines.count : 1) {
                const T* from = input.data + image * input.batch_stride + at.channel * input.channel_stride +
                                (planes.first + d) * input.strides[0] + (lines.first + h) * input.strides[1] +
                                columns.first;
                put({from, input.channel_stride, 1, at.channels, (dense ? lines.count : 1) * columns.count,
                     laid_out + d * source.strides[0] + h * source.strides[1], at.channels, false});
            }
        }

        const index_t first = (image * extents[0] + depth) * extents[1] + begin;
        visit_lines(grid.block, at, first, first + count, span_of, [&](WindowLine line) {
            line.next = {0, 0};  // is there
            const index_t offset = (line.height - begin) * at.targets * at.channels;
            index_t* places = indices == nullptr ? nullptr : positions.of(worker) + offset;
            pool(source, line, worker, values.of(worker) + offset, places, at.channels);
        });
        for (index_t line = 0; line < count; ++line) {
            const index_t offset = ((first + line) * extents[2] + at.first) * grid.channels + at.channel;
            const auto finish = [&](const auto* results, auto* array) {
                const bool stream = size * static_cast<index_t>(sizeof *array) >= kStreamedBytes;
                put({results + line * at.targets * at.channels, 1, at.channels, at.channels, at.targets, array + offset,
                     grid.channels, stream});
            };
            finish(values.of(worker), output);
            if (indices != nullptr) finish(positions.of(worker), indices);
        }
    });
}

}  // namespace fastconv
