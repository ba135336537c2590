// Pooling, a line of windows per call. The pixels that a window meets are a few rows at offsets that hardly
// change from window to window, so they are worked out once; vectors run over the channels, four at a time,
// with the running maximum (and its position) or sum in registers, and every target is written once.
//
// At stride 1 the windows of a line that lie side by side are one window of many channels. Large windows are
// met a group of rows at a time, with the target in between, so that memory is read row after row.
#pragma once

#include "kernels/fetcher.h"
#include "kernels/parts.h"
#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

template <class T>
using Position = typename PositionOf<T>::Type;

constexpr index_t kGroup = 16;  // rows that are met at a time

// A vector whole, or the part of it that a pixel's last channels fill.
struct Whole {
    template <class T>
    FASTCONV_INLINE Vec<T> get(const T* source) const {
        return load(source);
    }
    template <class T>
    FASTCONV_INLINE void put(T* target, Vec<T> value) const {
        store(target, value);
    }
    template <class Mask>
    FASTCONV_INLINE Mask only(Mask mask) const {
        return mask;
    }
    FASTCONV_INLINE index_t lanes(index_t most) const { return most; }
};

struct Part {
    index_t count;

    template <class T>
    FASTCONV_INLINE Vec<T> get(const T* source) const {
        return load_first(source, count);
    }
    template <class T>
    FASTCONV_INLINE void put(T* target, Vec<T> value) const {
        store_first(target, count, value);
    }
    template <class Mask>  // of lanes as wide as those that get() and put() take
    FASTCONV_INLINE Mask only(Mask mask) const {
        static const Mask all = ~Mask{};
        return mask & load_first(reinterpret_cast<const decltype(+mask[0])*>(&all), count);
    }
    FASTCONV_INLINE index_t lanes(index_t) const { return count; }
};

template <class T>
FASTCONV_INLINE index_t blocks_of(index_t channels) {
    return (channels + 4 * kLanes<T> - 1) / (4 * kLanes<T>);
}

// Calls block.run<vectors>(channel, Whole or Part) until all channels are covered.
template <class T, class Block>
FASTCONV_INLINE void for_each_block(index_t channels, Fetcher<T>& ahead, const Block& block) {
    for (index_t c = 0; c < channels; c += 4 * kLanes<T>) {
        ahead.step();
        if (c + 4 * kLanes<T> <= channels) {
            block.template run<4>(c, Whole{});
            continue;
        }
        for (; c + kLanes<T> <= channels; c += kLanes<T>) block.template run<1>(c, Whole{});
        if (c < channels) block.template run<1>(c, Part{channels - c});
        return;
    }
}

// The tap that comes next. gather() calls take(tap of the group) for the taps of a group in order, until it has
// kGroup of them or take() refuses one, which then begins the next group.
struct Cursor {
    index_t d = 0, h = 0, w = 0;

    template <class Take>
    FASTCONV_INLINE index_t gather(index_t depth, index_t height, index_t width, const Take& take) {
        index_t count = 0;
        for (; d < depth; ++d, h = 0) {
            for (; h < height; ++h, w = 0) {
                for (; w < width; ++w, ++count)
                    if (count == kGroup || !take(count)) return count;
            }
        }
        return count;
    }
};

template <class T>
FASTCONV_INLINE index_t row_offset(const PoolLine<T>& line, const Cursor& at) {
    return at.d * line.depth_step + at.h * line.height_step + at.w * line.tap_step * line.pixel_step;
}

// Offsets that targets in turn need again: the numbers of pixels that windows meet along the width differ at the
// border, and in gradients from target to target.
template <class Taps>
struct TapTables {
    static constexpr index_t kTables = 4;
    Taps taps[kTables];
    index_t made_for[kTables] = {-1, -1, -1, -1};
};

// How many targets from q on are one window of many channels: neighbours in memory, like their windows.
template <class T>
FASTCONV_INLINE index_t neighbours(const PoolLine<T>& line, index_t q, const T* scales) {
    if (line.pixel_step != line.channels || line.target_step != line.channels) return 1;
    const Span& span = line.spans[q];
    index_t run = 1;
    while (q + run < line.targets && line.spans[q + run].first == span.first + run &&
           line.spans[q + run].count == span.count && (scales == nullptr || scales[q + run] == scales[q]))
        ++run;
    return run;
}

// Calls kernel.meet<continues>(q, targets, taps, last, ahead) for the groups of taps of every target, or of `targets`
// at once.
template <class T, class Kernel>
FASTCONV_INLINE void for_each_target(const PoolLine<T>& line, const T* scales, const Kernel& kernel) {
    TapTables<typename Kernel::Taps> tables;
    const index_t lines = line.depth * line.height;
    Fetcher<T> ahead(line.ahead, Kernel::merges ? blocks_of<T>(line.targets * line.channels)
                                                : line.targets * blocks_of<T>(line.channels));
    for (index_t q = 0, run; q < line.targets; q += run) {
        run = Kernel::merges ? neighbours(line, q, scales) : 1;
        const index_t width = line.spans[q].count, total = lines * width, slot = width % tables.kTables;
        typename Kernel::Taps& taps = tables.taps[slot];
        const bool at_once = total <= kGroup;
        Cursor at;
        if (!at_once || !Kernel::reuses || tables.made_for[slot] != width) kernel.gather(q, at, taps);
        tables.made_for[slot] = at_once ? width : -1;
        kernel.template meet<false>(q, run, taps, at_once, ahead);
        for (index_t done = taps.count; done < total; done += taps.count) {
            kernel.gather(q, at, taps);
            kernel.template meet<true>(q, run, taps, done + taps.count == total, ahead);
        }
    }
}

// Whether every target meets one pixel: that of a window that doesn't overlap with others, in gradients.
template <class T>
bool meets_one_each(const PoolLine<T>& line) noexcept {
    if (line.depth * line.height != 1) return false;
    index_t others = 0;
    for (index_t q = 0; q < line.targets; ++q) others += line.spans[q].count != 1;
    return others == 0;
}

// --- Maxima ------------------------------------------------------------------------------------------------

template <class T>
struct MaxTaps {
    index_t count = 0;
    index_t rows[kGroup];           // elements from the window's first pixel
    index_t first = 0;              // position of the group's first row, from that of the window's first pixel
    Position<T> positions[kGroup];  // from that of the group's first row
};

// indices[lane] = base + at[lane], and untouched where the lane is negative, which only groups that continue have.
template <class T, bool continues>
FASTCONV_INLINE void store_indices(index_t* indices, index_t count, Vec<Position<T>> at, index_t base) {
    constexpr index_t kWide = kLanes<index_t>;
    typedef Position<T> Narrow __attribute__((vector_size(kWide * sizeof(Position<T>)), may_alias));
    alignas(FASTCONV_VECTOR_BYTES) Position<T> lanes[kLanes<T>];
    store(lanes, at);
    for (index_t i = 0; i < count; i += kWide) {
        const index_t left = smaller(kWide, count - i);
        const Vec<index_t> wide = __builtin_convertvector(*reinterpret_cast<const Narrow*>(lanes + i), Vec<index_t>);
        Vec<index_t> value = wide + splat(base);
        if (continues) value = wide < 0 ? load_first(indices + i, left) : value;
        store_part(indices + i, left, value);
    }
}

// The first maximum of one window's values, where the first NaN is larger than any number.
template <class T>
struct Maximum {
    T best;
    Position<T> at;

    void meet(T next, Position<T> position) {
        if (next <= best || best != best) return;
        best = next;
        at = position;
    }
};

// A group of taps; `continues` what earlier groups of the window left in the target.
template <class T, bool with_indices, bool continues>
struct MaxBlock {
    using Lanes = Vec<Position<T>>;

    const T* source;
    const MaxTaps<T>& taps;
    T* target;
    index_t* indices;
    index_t base;  // position of the group's first row

    // The maximum takes one instruction where no value is NaN. Then their sum isn't either; it may be where there are
    // infinities of both signs, which costs time.
    template <int vectors, class Piece>
    FASTCONV_INLINE void run(index_t channel, Piece piece) const {
        Vec<T> best[vectors], sum[vectors];
        Lanes at[vectors];
        const T* from = (continues ? target : source + taps.rows[0]) + channel;
        for (int v = 0; v < vectors; ++v) {
            best[v] = sum[v] = piece.get(from + v * kLanes<T>);
            at[v] = Lanes{} - (continues ? 1 : 0);
        }
#pragma GCC unroll 1
        for (index_t tap = continues ? 0 : 1; tap < taps.count; ++tap) {
            const T* row = source + taps.rows[tap] + channel;
            const Lanes here = splat(taps.positions[tap]);
            for (int v = 0; v < vectors; ++v) {
                const Vec<T> next = piece.get(row + v * kLanes<T>);
                if constexpr (with_indices) at[v] = next > best[v] ? here : at[v];
                best[v] = larger<T>(next, best[v]);
                sum[v] += next;
            }
        }
        for (int v = 1; v < vectors; ++v) sum[0] += sum[v];
        if (__builtin_expect(has_nan<T>(sum[0]), 0)) return careful(channel, piece.lanes(vectors * kLanes<T>));
        for (int v = 0; v < vectors; ++v) {
            const index_t first = channel + v * kLanes<T>;
            piece.put(target + first, best[v]);
            if constexpr (with_indices)
                store_indices<T, continues>(indices + first, piece.lanes(kLanes<T>), at[v], base);
        }
    }

    __attribute__((noinline)) void careful(index_t channel, index_t count) const {
        for (index_t c = channel; c < channel + count; ++c) {
            Maximum<T> maximum{continues ? target[c] : source[taps.rows[0] + c], continues ? Position<T>(-1) : 0};
            for (index_t tap = continues ? 0 : 1; tap < taps.count; ++tap)
                maximum.meet(source[taps.rows[tap] + c], taps.positions[tap]);
            target[c] = maximum.best;
            if (with_indices && maximum.at >= 0) indices[c] = base + maximum.at;
        }
    }
};

template <class T>
void clear_max(T* target, index_t* indices, index_t channels) noexcept {
    for (index_t c = 0; c < channels; ++c) target[c] = static_cast<T>(-__builtin_inf());
    if (indices == nullptr) return;
    for (index_t c = 0; c < channels; ++c) indices[c] = -1;
}

template <class T, bool with_indices>
struct MaxKernel {
    using Taps = MaxTaps<T>;
    static constexpr bool merges = !with_indices, reuses = true;

    const PoolLine<T>& line;
    const PoolPositions& plane;

    FASTCONV_INLINE void gather(index_t q, Cursor& at, Taps& taps) const {
        taps.count = at.gather(line.depth, line.height, line.spans[q].count, [&](index_t tap) noexcept {
            const index_t position = at.d * plane.depth_step + at.h * plane.height_step + at.w * line.tap_step;
            if (tap == 0) taps.first = position;
            taps.positions[tap] = static_cast<Position<T>>(position - taps.first);
            taps.rows[tap] = row_offset(line, at);
            return taps.positions[tap] == position - taps.first;  // else it is too far for a lane
        });
    }

    template <bool continues>
    FASTCONV_INLINE void meet(index_t q, index_t targets, const Taps& taps, bool, Fetcher<T>& ahead) const {
        const index_t first = line.spans[q].first, channels = targets * line.channels;
        T* target = line.target + q * line.target_step;
        index_t* indices = with_indices ? plane.indices + q * line.target_step : nullptr;
        if (taps.count == 0) return clear_max(target, indices, channels);
        for_each_block<T>(channels, ahead,
                          MaxBlock<T, with_indices, continues>{line.source + first * line.pixel_step, taps, target,
                                                               indices, plane.first + first + taps.first});
    }
};

template <class T>
void max_targets(const PoolLine<T>& line, const PoolPositions& plane) noexcept {
    if (plane.indices == nullptr) return for_each_target<T>(line, nullptr, MaxKernel<T, false>{line, plane});
    for_each_target<T>(line, nullptr, MaxKernel<T, true>{line, plane});
}

// --- Sums --------------------------------------------------------------------------------------------------

template <class T>
struct SumTaps {
    index_t count = 0;
    index_t rows[kGroup];
    T factors[kGroup];  // of a weighted sum
};

template <class T, bool weighted, bool continues>
struct SumBlock {
    const T* source;
    const SumTaps<T>& taps;
    T scale;  // of the whole sum
    T* target;

    template <int vectors, class Piece>
    FASTCONV_INLINE void run(index_t channel, Piece piece) const {
        Vec<T> sums[vectors] = {};
        if constexpr (continues)
            for (int v = 0; v < vectors; ++v) sums[v] = piece.get(target + channel + v * kLanes<T>);
#pragma GCC unroll 1
        for (index_t tap = 0; tap < taps.count; ++tap) {
            const T* row = source + taps.rows[tap] + channel;
            for (int v = 0; v < vectors; ++v) {
                const Vec<T> next = piece.get(row + v * kLanes<T>);
                sums[v] += weighted ? splat(taps.factors[tap]) * next : next;
            }
        }
        for (int v = 0; v < vectors; ++v)
            piece.put(target + channel + v * kLanes<T>, weighted ? sums[v] : sums[v] * splat(scale));
    }
};

template <class T>
struct AverageKernel {
    using Taps = SumTaps<T>;
    static constexpr bool merges = true, reuses = true;

    const PoolLine<T>& line;
    const T* scales;

    FASTCONV_INLINE void gather(index_t q, Cursor& at, Taps& taps) const {
        taps.count = at.gather(line.depth, line.height, line.spans[q].count, [&](index_t tap) noexcept {
            taps.rows[tap] = row_offset(line, at);
            return true;
        });
    }

    template <bool continues>
    FASTCONV_INLINE void meet(index_t q, index_t targets, const Taps& taps, bool last, Fetcher<T>& ahead) const {
        for_each_block<T>(targets * line.channels, ahead,
                          SumBlock<T, false, continues>{line.source + line.spans[q].first * line.pixel_step, taps,
                                                        last ? scales[q] : T(1), line.target + q * line.target_step});
    }
};

template <class T>
struct ScaleBlock {
    const T* source;
    T scale;
    T* target;

    template <int vectors, class Piece>
    FASTCONV_INLINE void run(index_t channel, Piece piece) const {
        for (int v = 0; v < vectors; ++v) {
            const index_t c = channel + v * kLanes<T>;
            piece.put(target + c, piece.get(source + c) * splat(scale));
        }
    }
};

template <class T>
void average_targets(const PoolLine<T>& line, const T* scales) noexcept {
    if (meets_one_each(line)) {
        Fetcher<T> ahead(line.ahead, line.targets * blocks_of<T>(line.channels));
        for (index_t q = 0; q < line.targets; ++q)
            for_each_block<T>(line.channels, ahead,
                              ScaleBlock<T>{line.source + line.spans[q].first * line.pixel_step, scales[q],
                                            line.target + q * line.target_step});
        return;
    }
    for_each_target(line, scales, AverageKernel<T>{line, scales});
}

template <class T>
struct WeightedKernel {
    using Taps = SumTaps<T>;
    static constexpr bool merges = false, reuses = false;

    const PoolLine<T>& line;
    const PoolFactors<T>& factors;

    FASTCONV_INLINE void gather(index_t q, Cursor& at, Taps& taps) const {
        const Span& span = line.spans[q];
        taps.count = at.gather(line.depth, line.height, span.count, [&](index_t tap) noexcept {
            taps.rows[tap] = row_offset(line, at);
            taps.factors[tap] =
                factors.depth[at.d] * factors.height[at.h] * factors.width[span.first + at.w * line.tap_step];
            return true;
        });
    }

    template <bool continues>
    FASTCONV_INLINE void meet(index_t q, index_t, const Taps& taps, bool, Fetcher<T>& ahead) const {
        for_each_block<T>(line.channels, ahead,
                          SumBlock<T, true, continues>{line.source + line.spans[q].first * line.pixel_step, taps, T(1),
                                                       line.target + q * line.target_step});
    }
};

template <class T>
void weighted_targets(const PoolLine<T>& line, const PoolFactors<T>& factors) noexcept {
    for_each_target<T>(line, nullptr, WeightedKernel<T>{line, factors});
}

}  // namespace
}  // namespace fastconv
