// Pooling where pixels have so few channels that a vector holds those of several targets. A tap of all its targets lies
// in two vectors of the source, from which its lanes are picked by one shuffle. The orders of lanes are the driver's
// (see pool/lanes.h), as they are the same on every line.
#pragma once

#include "kernels/pool.h"

namespace fastconv {
namespace {

template <class T>
FASTCONV_INLINE Vec<Position<T>> load_lanes(const std::int32_t* lanes) {
    typedef std::int32_t Narrow __attribute__((vector_size(kLanes<T> * sizeof(std::int32_t)), aligned(4), may_alias));
    return __builtin_convertvector(*reinterpret_cast<const Narrow*>(lanes), Vec<Position<T>>);
}

// Two vectors of what lies in memory; unless they are whole, `count` values of it, and zeros.
template <class T>
struct Pair {
    Vec<T> low, high;

    template <bool whole>
    static FASTCONV_INLINE Pair read(const T* values, index_t count) {
        constexpr index_t lanes = kLanes<T>;
        if constexpr (whole) return {load(values), load(values + lanes)};
        return {load_first(values, smaller(count, lanes)),
                count > lanes ? load_first(values + lanes, smaller(count - lanes, lanes)) : Vec<T>{}};
    }

    template <class Order>
    FASTCONV_INLINE Vec<T> pick(Order order) const {
        return permute_pair<T>(low, high, order);
    }
};

// Calls take(d, h, w, values of the lanes, the lanes whose windows have fewer taps) for the taps of a vector's windows,
// in order. Those of a line of the source lie in the same two vectors.
template <class T, bool whole, class Take>
FASTCONV_INLINE void for_each_tap(const PoolLine<T>& line, const PoolVector& vector, const Take& take) {
    using Lanes = Vec<Position<T>>;
    const Lanes first = load_lanes<T>(vector.pattern->order), taps = load_lanes<T>(vector.pattern->taps);
    const Lanes step = splat(static_cast<Position<T>>(line.tap_step * line.channels));
    const index_t depth = line.depth, height = line.height, width = vector.pattern->most_taps;
    const index_t left = whole ? 0 : (line.lanes->pixels - vector.pixel) * line.channels;
    for (index_t d = 0; d < depth; ++d) {
        const T* source = line.source + d * line.depth_step + vector.element;
        for (index_t h = 0; h < height; ++h, source += line.height_step) {
            const Pair<T> values = Pair<T>::template read<whole>(source, left);
            Lanes order = first, tap{};
            for (index_t w = 0; w < width; ++w, order += step, tap = tap + 1)
                take(d, h, w, values.pick(order), taps <= tap);
        }
    }
}

// Where there is room for whole vectors, what is too much comes before the next vector's targets take their place.
template <bool whole, class T>
FASTCONV_INLINE void store_lanes(const PoolLine<T>& line, const PoolVector& vector, Vec<T> values) {
    T* target = line.target + vector.target_element;
    if constexpr (whole) return store(target, values);
    store_first(target, vector.pattern->lanes, values);
}

template <class T, bool with_indices>
__attribute__((noinline)) void max_lanes_carefully(const PoolLine<T>& line, const PoolPositions& plane,
                                                   const PoolVector& vector) {
    const LanePattern& pattern = *vector.pattern;
    for (index_t lane = 0; lane < pattern.lanes; ++lane) {
        Maximum<T> maximum{static_cast<T>(-__builtin_inf()), -1};
        const T* source = line.source + vector.element + pattern.order[lane];
        for (index_t d = 0; d < line.depth; ++d) {
            for (index_t h = 0; h < line.height; ++h) {
                for (index_t w = 0; w < pattern.taps[lane]; ++w) {
                    const T next =
                        source[d * line.depth_step + h * line.height_step + w * line.tap_step * line.channels];
                    const index_t position = d * plane.depth_step + h * plane.height_step + w * line.tap_step;
                    if (position == 0) maximum.at = 0;
                    maximum.meet(next, static_cast<Position<T>>(position));
                }
            }
        }
        const index_t target = vector.target_element + lane;
        line.target[target] = maximum.best;
        if (!with_indices) continue;
        const index_t first = plane.first + vector.pixel + pattern.pixels[lane];
        plane.indices[target] = maximum.at < 0 ? -1 : first + maximum.at;
    }
}

// NaN as in MaxBlock.
template <class T, bool whole, bool with_indices>
FASTCONV_INLINE void max_vector(const PoolLine<T>& line, const PoolPositions& plane, const PoolVector& vector) {
    using Lanes = Vec<Position<T>>;
    const LanePattern& pattern = *vector.pattern;
    const Vec<T> lowest = splat(static_cast<T>(-__builtin_inf()));
    const bool empty = line.depth * line.height == 0;
    Vec<T> best = lowest, sum{};
    Lanes at = empty ? Lanes{} - 1 : load_lanes<T>(pattern.taps) == 0;  // -1 without any tap
    for_each_tap<T, whole>(line, vector, [&](index_t d, index_t h, index_t w, Vec<T> next, Lanes absent) {
        sum += next;
        next = absent ? lowest : next;
        if constexpr (with_indices) {
            const index_t position = d * plane.depth_step + h * plane.height_step + w * line.tap_step;
            at = next > best ? splat(static_cast<Position<T>>(position)) : at;
        }
        best = larger<T>(next, best);
    });
    if (__builtin_expect(has_nan<T>(sum), 0)) return max_lanes_carefully<T, with_indices>(line, plane, vector);
    store_lanes<whole>(line, vector, best);
    if constexpr (with_indices) {
        index_t* indices = plane.indices + vector.target_element;
        const Lanes from_pixel = at < 0 ? at : at + load_lanes<T>(pattern.pixels);
        const index_t base = plane.first + vector.pixel;
        const index_t lanes = whole ? kLanes<T> : pattern.lanes;
        if (!empty && pattern.least_taps > 0) return store_indices<T, false>(indices, lanes, from_pixel, base);
        for (index_t i = 0; i < pattern.lanes; ++i) indices[i] = -1;
        store_indices<T, true>(indices, pattern.lanes, from_pixel, base);
    }
}

template <class T, bool whole>
FASTCONV_INLINE void average_vector(const PoolLine<T>& line, const T* scales, const PoolVector& vector) {
    const auto scale = Pair<T>::template read<true>(scales + vector.target, 0);
    Vec<T> sum{};
    for_each_tap<T, whole>(line, vector, [&](index_t, index_t, index_t, Vec<T> next, Vec<Position<T>> absent) {
        sum += absent ? Vec<T>{} : next;
    });
    store_lanes<whole>(line, vector, sum * scale.pick(load_lanes<T>(vector.pattern->targets)));
}

template <class T, bool whole>
FASTCONV_INLINE void weighted_vector(const PoolLine<T>& line, const PoolFactors<T>& factors, const PoolVector& vector) {
    using Lanes = Vec<Position<T>>;
    const auto width = Pair<T>::template read<false>(factors.width + vector.pixel, line.lanes->pixels - vector.pixel);
    const Lanes pixels = load_lanes<T>(vector.pattern->pixels);
    Vec<T> sum{};
    for_each_tap<T, whole>(line, vector, [&](index_t d, index_t h, index_t w, Vec<T> next, Lanes absent) {
        const Vec<T> factor = splat(factors.depth[d] * factors.height[h]) *
                              width.pick(pixels + splat(static_cast<Position<T>>(w * line.tap_step)));
        sum += factor * (absent ? Vec<T>{} : next);
    });
    store_lanes<whole>(line, vector, sum);
}

// --- A line, by vectors or by targets -----------------------------------------------------------------------

// Whether a line goes by vectors of several targets. Without the shuffle none does, and there is no code for it.
template <class T>
FASTCONV_INLINE bool goes_by_vectors(const PoolLine<T>& line) {
    return kPermutes && line.lanes != nullptr;
}

// Calls visit(vector, whether whole vectors may be read and written, as a type).
template <class T, class Visit>
FASTCONV_INLINE void for_each_pool_vector(const PoolLine<T>& line, const Visit& visit) {
    if constexpr (kPermutes) {
        Fetcher<T> ahead(line.ahead, line.lanes->count);
        for (index_t v = 0; v < line.lanes->count; ++v) {
            const PoolVector& vector = line.lanes->vectors[v];
            ahead.step();
            if (vector.inside)
                visit(vector, Constant<1>{});
            else
                visit(vector, Constant<0>{});
        }
    }
}

template <class T>
void max_line(const PoolLine<T>& line, const PoolPositions& plane) noexcept {
    if (!goes_by_vectors(line)) return max_targets(line, plane);
    if (plane.indices == nullptr)
        return for_each_pool_vector(line, [&](const PoolVector& vector, auto whole) {
            max_vector<T, whole.value, false>(line, plane, vector);
        });
    for_each_pool_vector(
        line, [&](const PoolVector& vector, auto whole) { max_vector<T, whole.value, true>(line, plane, vector); });
}

template <class T>
void average_line(const PoolLine<T>& line, const T* scales) noexcept {
    if (!goes_by_vectors(line)) return average_targets(line, scales);
    for_each_pool_vector(
        line, [&](const PoolVector& vector, auto whole) { average_vector<T, whole.value>(line, scales, vector); });
}

template <class T>
void weighted_line(const PoolLine<T>& line, const PoolFactors<T>& factors) noexcept {
    if (!goes_by_vectors(line)) return weighted_targets(line, factors);
    for_each_pool_vector(
        line, [&](const PoolVector& vector, auto whole) { weighted_vector<T, whole.value>(line, factors, vector); });
}

}  // namespace
}  // namespace fastconv
