// Poolings of inputs whose channels lie in planes: a task lays out what it needs of a few of them pixel by pixel, which
// stays in the caches, and pools that. So nothing but the input and the result goes through memory.
#pragma once

#include "pool/windows.h"

namespace fastconv {

// Targets, cut into blocks: some channels of a piece of some lines.
struct PlaneGrid {
    PlaneGrid(index_t images, const std::array<Axis, kAxes>& axes, index_t all_channels, index_t element_bytes,
              double work)
        : block(images, {axes[0].output, axes[1].output, axes[2].output}, std::min(all_channels, kChannels),
                element_bytes, work),
          channels(all_channels),
          parts(ceil_div(channels, std::max<index_t>(block.channels, 1))) {
        const index_t others = images * axes[0].output * parts * block.pieces;
        threads = worthwhile_threads(work, others * axes[1].output);
        lines_per_task = std::max<index_t>(axes[1].output / ceil_div(4 * threads, std::max<index_t>(others, 1)), 1);
        most = {most_met(axes[0], 1), most_met(axes[1], lines_per_task), most_met(axes[2], block.targets)};
        constexpr index_t kBytes = index_t{1} << 18;  // of a block of the source, in L2
        while (lines_per_task > 1 && most[0] * most[1] * most[2] * block.channels * element_bytes > kBytes) {
            lines_per_task = (lines_per_task + 1) / 2;
            most[1] = most_met(axes[1], lines_per_task);
        }
    }

    // No more of the source than these lie between the first and the last that `count` neighbouring targets meet.
    static index_t most_met(const Axis& axis, index_t count) {
        const index_t sliding = (count - 1) * axis.stride + axis.window();
        const index_t adaptive = ceil_div(count * axis.input, std::max<index_t>(axis.output, 1)) + 1;
        return std::min(axis.input, std::max(sliding, adaptive));
    }

    static constexpr index_t kChannels = 16;  // of a block: a line of the caches
    LineGrid block;                           // lines of so many channels
    index_t channels, parts, lines_per_task;
    std::array<index_t, kAxes> most;  // of the source that a block meets, along each axis
    int threads;
};

// What targets [first, first + count) meet along an axis, with all that lies between.
template <class SpanOf>
Span reach(const Axis& axis, index_t first, index_t count, const SpanOf& span_of) {
    index_t low = 0, high = 0;
    for (index_t q = first; q < first + count; ++q) {
        const Span met = span_of(q);
        if (met.count == 0) continue;
        low = high == 0 ? met.first : std::min(low, met.first);  // with padding and dilation, not the first one's
        high = std::max(high, met.first + (met.count - 1) * axis.dilation + 1);
    }
    return {low, high - low};
}

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
void pool_planes(const PlaneGrid& grid, const std::array<Axis, kAxes>& axes, const SpanOf& span_of,
                 const TensorView<const T>& input, T* output, index_t* indices, const Pool& pool) {
    const std::array<index_t, kAxes>& extents = grid.block.extents;
    const index_t blocks = ceil_div(extents[1], grid.lines_per_task), pieces = grid.block.pieces;
    const index_t targets = grid.lines_per_task * grid.block.targets * grid.block.channels;
    const Scratch<T> sources(grid.threads, grid.most[0] * grid.most[1] * grid.most[2] * grid.block.channels);
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
        spans[static_cast<std::size_t>(worker)].make(at, grid.block, span_of, axes[2].dilation);

        const auto along = [&](std::size_t axis, index_t first, index_t targets_met) {
            return reach(axes[axis], first, targets_met, [&](index_t q) { return span_of(axis, q); });
        };
        const Span planes = along(0, depth, 1), lines = along(1, begin, count),
                   columns = along(2, at.first, at.targets);
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
