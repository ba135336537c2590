// Lines of a source under a sliding window, for the products whose lanes (output channels) don't mix.
//
// Along the width, tap j of pixel q meets source position start + q * stride + j * dilation. Two steps turn any
// stride and dilation into windows that advance by one position from tap to tap and from pixel to pixel, which is
// what the kernels slide over: with g = gcd(stride, dilation), the taps fall into stride / g classes, and the pixels
// into dilation / g residues.
//
// Where an output channel sees several input channels, or shares one, its lane finds them by permutations in registers,
// if a vector of lanes meets no more than a vector of channels. Otherwise lines are spread first: each input channel is
// repeated for the output channels of its group, and kept while the next lines of the target need it, too.
//
// Pixels a power of two apart share a few sets of the cache. Where many taps meet them, lines of such pixels are
// copied, too, some lanes at a time; and so are lines of planes.
//
// Where an image is a single line (in one dimension), it comes in pieces: what one of them meets stays in L2 for all
// taps and lanes, and the next is fetched meanwhile.
#pragma once

#include <numeric>
#include <vector>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/row_map.h"

namespace fastconv {

// A few taps of a line of the kernel, as one pixel after the other meets them: pixel p meets tap t at position
// start + (p + t) * step of the source, which lies inside it while p + t is in [first, last).
struct LineSegment {
    index_t start, first, last;
    index_t kernel;  // where the first of the taps stands in the line of the kernel
};

// The segments of a line of the kernel, in order of length (the longest first), for every residue of the pixels; with
// wide ones or without.
class LineTaps {
  public:
    LineTaps(const AxisMap& width, bool wide) : wide_(wide) {
        index_t start = width.source_start, step = width.tap_step;
        index_t kernel_start = width.kernel_start, kernel_step = width.kernel_step;
        const index_t stride = width.source_step, taps = width.taps;
        if (taps < 2) step = stride;
        if (step < 0) {  // read the line from its other end
            start += (taps - 1) * step;
            kernel_start += (taps - 1) * kernel_step;
            step = -step;
            kernel_step = -kernel_step;
        }
        const index_t common = std::gcd(stride, step), classes = stride / common;
        residues_ = step / common;
        position_step_ = residues_ * stride;
        kernel_step_ = classes * kernel_step;
        used_residues_ = std::min(residues_, width.count);
        for (index_t residue = 0; residue < used_residues_; ++residue) {
            for (index_t length = kMostLaneTaps; length > 0; --length) {
                for (index_t c = 0; c < std::min(classes, taps); ++c)
                    add_class(length, ceil_div(taps - c, classes), start + residue * stride + c * step,
                              kernel_start + c * kernel_step, width.extent);
                ends_.push_back(static_cast<index_t>(segments_.size()));
            }
        }
    }

    index_t residues() const { return used_residues_; }
    index_t pixel_step() const { return residues_; }          // pixels from one of a residue to the next
    index_t position_step() const { return position_step_; }  // and so many positions of the source
    index_t kernel_step() const { return kernel_step_; }      // from tap to tap of a segment
    index_t size() const { return static_cast<index_t>(segments_.size()); }

    // Those of so many taps.
    struct Segments {
        const LineSegment *first, *last;
        const LineSegment* begin() const { return first; }
        const LineSegment* end() const { return last; }
        bool empty() const { return first == last; }
    };
    Segments of(index_t residue, index_t taps) const {
        const auto list = static_cast<std::size_t>(residue * kMostLaneTaps + kMostLaneTaps - taps);
        return {segments_.data() + (list == 0 ? 0 : ends_[list - 1]), segments_.data() + ends_[list]};
    }

  private:
    // A class is cut into wide segments, and what is left into equal ones: 4 taps are 2 + 2 and not 3 + 1.
    index_t next_length(index_t taps) const {
        if (wide_ && taps >= kMostLaneTaps) return kMostLaneTaps;
        if (wide_ && taps == kManyLaneTaps) return kManyLaneTaps;
        return ceil_div(taps, ceil_div(taps, kLaneTaps));
    }

    void add_class(index_t length, index_t taps, index_t start, index_t kernel, index_t extent) {
        for (index_t tap = 0; tap < taps;) {
            const index_t own = next_length(taps - tap);
            const index_t position = start + tap * position_step_;
            const index_t first = -floor_div(position, position_step_);
            const index_t last = -floor_div(position - extent, position_step_);
            if (own == length) segments_.push_back({position, first, last, kernel + tap * kernel_step_});
            tap += own;
        }
    }

    bool wide_;
    index_t residues_, used_residues_, position_step_, kernel_step_;
    std::vector<LineSegment> segments_;
    std::vector<index_t> ends_;  // of the lists, by residue and length
};

// Packed lines hold so many bytes of each pixel, four lines of cache (64 and 128 bytes took up to 1.5 times as long). A
// worker has so many positions of them at most, 4 MiB (from planes, which aren't packed for so many taps, 8 of
// float64); beyond that they don't stay in the caches.
constexpr index_t kPackedBytes = 256, kMostPackedPositions = index_t{1} << 14, kManyTaps = 25;
// Lanes of a task of a sum, and of one whose source lies in planes: lines of these are packed whatever their pixels.
constexpr index_t kLanesTogether = 64;

// A line of the target, or a piece of one: pixels [left, left + width).
struct Line {
    index_t n, d, h, left, width;
};

template <class T>
struct LaneSource {
    RowMap map;
    TensorView<const T> tensor;
    index_t groups = 1, group_inputs = 1, group_outputs = 1;
    bool aligns =
        false;  // whether lines in one dimension are copied, whose pixels alias and begin inside of lines of the cache
    const Kernels<T>* table = &kernels<T>();  // for the whole product: another thread may change the instruction set

    index_t lanes() const { return groups * group_outputs; }
    bool mixes() const {
        return table->mixes_lanes && group_outputs > 1 && group_inputs <= group_outputs &&
               table->vector_width % group_outputs == 0;
    }
    bool spreads() const { return (group_inputs > 1 || group_outputs > 1) && !mixes(); }
    bool packable() const {
        if (pieces() > 1 && slot_positions() > 2 * piece() * map.axes[2].source_step)
            return false;  // mostly copied again
        return !spreads() && slots_along(0) * slots_along(1) * slot_positions() <= kMostPackedPositions;
    }
    // Whether pixels share a few sets of the cache, and are nearer to each other in a copy. Measured on a Zen 4,
    // float32, unpacked over packed: 31x31 with 128 channels 1.4; 3x3 with 128 channels 0.8 to 0.9. In one dimension,
    // in pieces, 31 taps, 512 channels: forward 1.15, from arrays that aren't aligned 1.4, gradient of the weight 1.8
    // and 2.6; 256 channels 0.9, 1.0, 0.9 and 1.25.
    bool aliases() const {
        const index_t bytes = std::abs(tensor.strides[2]) * static_cast<index_t>(sizeof(T));
        return bytes > kPackedBytes && bytes * map.axes[2].source_step % (is_line() ? 2048 : 512) == 0;
    }
    bool packs() const {
        if (in_planes(tensor)) return true;
        return map.taps() >= kManyTaps && packable() && (aliases() || (is_line() && aligns));
    }
    bool copies() const { return spreads() || packs(); }
    index_t kernel_rows() const {  // of lanes values
        return map.axes[0].kernel * map.axes[1].kernel * map.axes[2].kernel * group_inputs;
    }
    // Whether an image is one line.
    bool is_line() const {
        const AxisMap &depth = map.axes[0], &height = map.axes[1];
        return depth.taps * height.taps == 1 && depth.count * height.count == 1;
    }
    // Pixels of a piece of a line, by geometry alone, because sums are cut between pieces: what a piece meets, what it
    // writes, and what is fetched for the next one stay in L2. Measured, 16x1000x256 and 240, 31 taps, whole lines over
    // pieces: forward and gradient of the input 1.3 to 1.6, of the weight 1.2 to 1.6; pieces of half or twice the size
    // 0.9 to 1; of 128 pixels, which are short lines of planes, 0.8 to 0.9.
    index_t piece() const {
        constexpr index_t kPieceBytes = index_t{128} << 10, kFewestPixels = 256, kPixels = 8;
        const AxisMap& width = map.axes[2];
        if (!is_line()) return width.count;
        const index_t values =
            std::max({width.source_step * groups * group_inputs, lanes(), index_t{1}});  // of a pixel
        const index_t most = std::max(kPieceBytes / (values * static_cast<index_t>(sizeof(T))), kFewestPixels);
        const index_t step = std::abs(width.tap_step);
        const index_t residues = width.taps < 2 ? 1 : step / std::gcd(width.source_step, step);
        const index_t count = std::max<index_t>(width.count, 1), even = ceil_div(count, ceil_div(count, most));
        return std::min(round_up(even, kPixels * residues), count);  // whole residues, unless it is the whole line
    }
    index_t pieces() const { return is_line() ? ceil_div(map.axes[2].count, piece()) : 1; }
    index_t lines() const { return map.batch * map.axes[0].count * map.axes[1].count * pieces(); }
    Line line(index_t index) const {
        const index_t depth = map.axes[0].count, height = map.axes[1].count, pixels = piece(), pieces_of = pieces();
        const index_t left = index % pieces_of * pixels;
        index /= pieces_of;
        return {index / height / depth, index / height % depth, index % height, left,
                std::min(pixels, map.axes[2].count - left)};
    }

    // Positions [first, last) of the source that a piece of a line meets; the whole line's are all of them.
    struct Positions {
        index_t first, last;
    };
    Positions met(const Line& line) const {
        const AxisMap& width = map.axes[2];
        if (line.width == width.count) return {0, width.extent};
        const index_t reach = std::max<index_t>(width.taps - 1, 0) * width.tap_step;
        const index_t start = width.source_start + line.left * width.source_step;
        const index_t end = start + (line.width - 1) * width.source_step + 1;
        return {std::clamp<index_t>(start + std::min<index_t>(reach, 0), 0, width.extent),
                std::clamp<index_t>(end + std::max<index_t>(reach, 0), 0, width.extent)};
    }

    // Copied lines are kept by their position modulo the extent of a window, over depth and height.
    index_t slots_along(int axis) const {
        const AxisMap& a = map.axes[axis];
        const index_t window = std::max<index_t>(a.taps - 1, 0) * std::abs(a.tap_step) + 1;
        return std::min(window, a.extent);
    }
    index_t slots() const { return copies() ? slots_along(0) * slots_along(1) : 0; }
    // Positions of the longest of them: what a piece meets.
    index_t slot_positions() const {
        const AxisMap& width = map.axes[2];
        if (pieces() == 1) return width.extent;
        const index_t reach = std::max<index_t>(width.taps - 1, 0) * std::abs(width.tap_step);
        return std::min((piece() - 1) * width.source_step + 1 + reach, width.extent);
    }
    // Values of a position of a line.
    index_t position_size(index_t lanes) const {
        return spreads() ? group_inputs * lanes : packs() ? lanes / group_outputs * group_inputs : tensor.strides[2];
    }
    index_t slot_size(index_t lanes) const { return slot_positions() * position_size(lanes); }
    // Lanes that are worked on together: all of them, or a few vectors of whole groups where lines are copied.
    index_t lanes_together(index_t vector_width) const {
        if (packs())
            return std::min(in_planes(tensor) ? kLanesTogether : kPackedBytes / static_cast<index_t>(sizeof(T)),
                            lanes());
        if (!spreads()) return lanes();
        const index_t few = 2 * vector_width;
        const index_t even = group_outputs / std::gcd(group_outputs, few) * few;
        return std::min(even <= 4 * few ? even : round_up(few, group_outputs), lanes());
    }
};

// The lines that one task works with: some lanes, and scratch memory of its worker.
template <class T>
class LaneLines {
  public:
    struct Scratch {
        T* copies;      // of lines
        index_t* keys;  // which line a slot holds
        LaneSegment<T>* segments;
    };

    static Scratch carve(Arena& arena, const LaneSource<T>& source, const LineTaps& taps, index_t lanes, int workers) {
        Scratch scratch;
        scratch.copies = arena.take<T>(workers * source.slots() * source.slot_size(lanes));
        scratch.keys = arena.take<index_t>(workers * source.slots());
        scratch.segments = arena.take<LaneSegment<T>>(workers * most_segments(source, taps));
        return scratch;
    }

    // Lanes [first_lane, first_lane + lanes), with scratch memory for `lanes_together` of them.
    LaneLines(const LaneSource<T>& source, const LineTaps& taps, const Scratch& scratch, int worker, index_t first_lane,
              index_t lanes, index_t lanes_together)
        : source_(source),
          taps_(taps),
          mixes_(source.mixes()),
          spreads_(source.spreads()),
          packs_(source.packs()),
          first_lane_(first_lane),
          lanes_(lanes),
          position_size_(source.position_size(lanes)),
          slot_size_(source.slot_size(lanes_together)) {
        copies_ = scratch.copies + worker * source.slots() * slot_size_;
        keys_ = scratch.keys + worker * source.slots();
        segments_ = scratch.segments + worker * most_segments(source, taps);
        std::fill_n(keys_, source.slots(), index_t{-1});
    }

    // What a kernel needs of a line of the source: segments, steps, pixels, lanes. Element (kernel position, i, lane)
    // of the weights, or of their gradient, is (kernel position * group_inputs + i) * pitch + lane, counted from the
    // first lane of the task. Pixels of the target or of the right-hand side are target_step apart.
    LaneBlock<T> block(const Line& line, index_t residue, const T* weight, T* sums, index_t pitch,
                       index_t target_step) {
        LaneBlock<T> block{};
        block.source_step = taps_.position_step() * position_size_;
        block.weight_step = taps_.kernel_step() * source_.group_inputs * pitch;
        block.group_inputs = mixes_ ? source_.group_inputs : 1;
        block.group_outputs = mixes_ ? source_.group_outputs : 1;
        block.pixels = ceil_div(line.width - residue, taps_.pixel_step());
        block.channels = lanes_;
        block.target_step = taps_.pixel_step() * target_step;
        block.last_inside = block.pixels;
        LaneSegment<T>* next = segments_;
        for (index_t taps = kMostLaneTaps; taps > 0; --taps) {
            block.segments[taps - 1] = next;
            next = add_lines(next, line, residue, taps, weight, sums, pitch, block);
            block.segment_counts[taps - 1] = next - block.segments[taps - 1];
        }
        return block;
    }

    // The lines of the source that a line of the target is the first one to meet. A tile walks over several lines, some
    // channels at a time: no access pattern that the processor recognizes. Each residue fetches its part.
    Ahead<T> ahead(const Line& line, index_t residue) const {
        if (spreads_) return {};
        const auto reach = [](const AxisMap& axis) { return std::max<index_t>(axis.taps - 1, 0) * axis.tap_step; };
        const auto position = [&](const AxisMap& axis, index_t q) {  // the farthest of the window
            return axis.source_start + q * axis.source_step + std::max<index_t>(reach(axis), 0);
        };
        const AxisMap &depth = source_.map.axes[0], &height = source_.map.axes[1], &width = source_.map.axes[2];
        const TensorView<const T>& tensor = source_.tensor;
        const index_t d = position(depth, line.d), h = position(height, line.h);
        if (d < 0 || d >= depth.extent) return {};
        const index_t channel = first_lane_ / source_.group_outputs * source_.group_inputs;
        const index_t channels = lanes_ / source_.group_outputs * source_.group_inputs;
        index_t lines = std::min(height.source_step, std::abs(reach(height)) + 1);  // windows may leave some out
        if (tensor.strides[1] != width.extent * tensor.strides[2]) lines = 1;       // not one after the other
        const index_t first = std::max<index_t>(h - lines + 1, 0), last = std::min(h + 1, height.extent);
        if (last <= first) return {};
        const T* start = tensor.data + line.n * tensor.batch_stride + d * tensor.strides[0] +
                         first * tensor.strides[1] + channel * tensor.channel_stride;
        index_t pixels = (last - first) * width.extent;
        if (source_.pieces() > 1) {  // the piece before it has met some
            const index_t known = line.left == 0 ? 0 : source_.met({line.n, line.d, line.h, line.left - 1, 1}).last;
            start += known * tensor.strides[2];
            pixels = source_.met(line).last - known;
        }
        if (in_planes(tensor)) return part_of({start, tensor.channel_stride, channels, pixels}, residue);
        return part_of({start, tensor.strides[2], pixels, channels}, residue);
    }

    // What a residue fetches of these rows.
    Ahead<T> part_of(const Ahead<T>& rows, index_t residue) const {
        const index_t first = rows.rows * residue / taps_.residues();
        const index_t count = rows.rows * (residue + 1) / taps_.residues() - first;
        const T* start = rows.start + first * rows.pitch;
        if (rows.pitch == rows.columns) return {start, 0, 1, count * rows.columns};
        return {start, rows.pitch, count, rows.columns};
    }

  private:
    static index_t most_segments(const LaneSource<T>& source, const LineTaps& taps) {
        return source.map.axes[0].taps * source.map.axes[1].taps * source.group_inputs * taps.size();
    }

    // The segments of so many taps, over all lines of the kernel that lie inside the source.
    LaneSegment<T>* add_lines(LaneSegment<T>* next, const Line& line, index_t residue, index_t taps, const T* weight,
                              T* sums, index_t pitch, LaneBlock<T>& block) {
        const LineTaps::Segments segments = taps_.of(residue, taps);
        if (segments.empty()) return next;
        const AxisMap &depth = source_.map.axes[0], &height = source_.map.axes[1], &width = source_.map.axes[2];
        const index_t inputs = source_.group_inputs, step = position_size_;
        const index_t before = line.left / taps_.pixel_step();  // pixels of the residue
        for (index_t jd = 0; jd < depth.taps; ++jd) {
            const index_t d = depth.source_start + line.d * depth.source_step + jd * depth.tap_step;
            for (index_t jh = 0; jh < height.taps; ++jh) {
                const index_t h = height.source_start + line.h * height.source_step + jh * height.tap_step;
                // A line of padding adds zeros to a sum; to a gradient, too, unless it meets a NaN.
                const bool outside = d < 0 || d >= depth.extent || h < 0 || h >= height.extent;
                if (outside && sums == nullptr) continue;
                const index_t kernel_line = (depth.kernel_start + jd * depth.kernel_step) * height.kernel +
                                            height.kernel_start + jh * height.kernel_step;
                const T* values = outside ? nullptr : values_of(line, d, h);
                for (const LineSegment& segment : segments) {
                    const index_t first = segment.first - before, last = segment.last - before;
                    block.first_inside = std::max(block.first_inside, first);
                    block.last_inside = std::min(block.last_inside, last - (taps - 1));
                    index_t at = (kernel_line * width.kernel + segment.kernel) * inputs * pitch;
                    const T* start = outside ? source_.tensor.data
                                             : values + (segment.start + before * taps_.position_step()) * step;
                    for (index_t i = 0; i < inputs; ++i, at += pitch)
                        *next++ = {start + (spreads_ && !outside ? i * lanes_ : 0),
                                   outside ? 0 : first,
                                   outside ? 0 : last,
                                   weight == nullptr ? nullptr : weight + at,
                                   sums == nullptr ? nullptr : sums + at,
                                   mixes_ ? i : 0};
                }
            }
        }
        return next;
    }

    const T* values_of(const Line& target, index_t d, index_t h) {
        const TensorView<const T>& tensor = source_.tensor;
        const T* line = tensor.data + target.n * tensor.batch_stride + d * tensor.strides[0] + h * tensor.strides[1];
        const index_t group = first_lane_ / source_.group_outputs;
        line += group * source_.group_inputs * tensor.channel_stride;
        if (!spreads_ && !packs_) return line;
        const RowMap& map = source_.map;
        const index_t slot = d % source_.slots_along(0) * source_.slots_along(1) + h % source_.slots_along(1);
        const index_t key =
            ((target.n * map.axes[0].extent + d) * map.axes[1].extent + h) * map.axes[2].count + target.left;
        const auto [first, last] = source_.met(target);
        T* const copy = copies_ + slot * slot_size_;
        const T* const values = copy - first * position_size_;
        if (keys_[slot] == key) return values;
        keys_[slot] = key;
        const T* const from = line + first * tensor.strides[2];
        const index_t positions = last - first;
        if (in_planes(tensor)) {
            source_.table->copy_block(
                {from, tensor.channel_stride, 1, position_size_, positions, copy, position_size_, false});
        } else if (packs_) {
            for (index_t w = 0; w < positions; ++w)
                std::copy_n(from + w * tensor.strides[2], position_size_, copy + w * position_size_);
        } else {
            source_.table->spread_lanes({from, tensor.strides[2], positions, lanes_ / source_.group_outputs,
                                         source_.group_inputs, source_.group_outputs, copy, lanes_});
        }
        return values;
    }

    const LaneSource<T>& source_;
    const LineTaps& taps_;
    bool mixes_, spreads_, packs_;
    index_t first_lane_, lanes_, position_size_, slot_size_;
    T* copies_;
    index_t* keys_;
    LaneSegment<T>* segments_;
};

}  // namespace fastconv
