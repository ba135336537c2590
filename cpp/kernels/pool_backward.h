// The gradient of max pooling, gathered: a pixel of the input takes the gradients of those windows around it
// whose maximum it is. Nothing is zeroed first, and every pixel is written once.
#pragma once

#include "kernels/pool.h"

namespace fastconv {
namespace {

template <class T>
struct MatchTaps {
    index_t count = 0;
    index_t rows[kGroup];
    index_t positions[kGroup];  // elements from the first window's positions
};

template <class T, bool continues>
struct MatchBlock {
    using Lanes = Vec<Position<T>>;

    const T* source;
    const Position<T>* positions;
    const MatchTaps<T>& taps;
    Position<T> here;
    T* target;
    Lanes& matches;

    template <int vectors, class Piece>
    FASTCONV_INLINE void run(index_t channel, Piece piece) const {
        Vec<T> sums[vectors] = {};
        if constexpr (continues)
            for (int v = 0; v < vectors; ++v) sums[v] = piece.get(target + channel + v * kLanes<T>);
#pragma GCC unroll 1
        for (index_t tap = 0; tap < taps.count; ++tap) {
            const T* row = source + taps.rows[tap] + channel;
            const Position<T>* at = positions + taps.positions[tap] + channel;
            for (int v = 0; v < vectors; ++v) {
                const Lanes equal = piece.get(at + v * kLanes<T>) == splat(here);
                matches -= piece.only(equal);
                sums[v] += equal ? piece.get(row + v * kLanes<T>) : Vec<T>{};
            }
        }
        for (int v = 0; v < vectors; ++v) piece.put(target + channel + v * kLanes<T>, sums[v]);
    }
};

template <class T>
struct MatchKernel {
    using Taps = MatchTaps<T>;
    static constexpr bool merges = false, reuses = true;

    const PoolLine<T>& line;
    const PoolMatches<T>& maxima;
    Vec<Position<T>>& matches;

    FASTCONV_INLINE void gather(index_t q, Cursor& at, Taps& taps) const {
        taps.count = at.gather(line.depth, line.height, line.spans[q].count, [&](index_t tap) noexcept {
            taps.rows[tap] = row_offset(line, at);
            taps.positions[tap] =
                at.d * maxima.depth_step + at.h * maxima.height_step + at.w * line.tap_step * maxima.pixel_step;
            return true;
        });
    }

    template <bool continues>
    FASTCONV_INLINE void meet(index_t q, index_t, const Taps& taps, bool, Fetcher<T>& ahead) const {
        const index_t first = line.spans[q].first;
        for_each_block<T>(line.channels, ahead,
                          MatchBlock<T, continues>{line.source + first * line.pixel_step,
                                                   maxima.positions + first * maxima.pixel_step, taps,
                                                   static_cast<Position<T>>(maxima.first_target + q),
                                                   line.target + q * line.target_step, matches});
    }
};

// One window, of windows that don't overlap.
template <class T>
struct MatchOne {
    const T* source;
    const Position<T>* positions;
    Position<T> here;
    T* target;
    Vec<Position<T>>& matches;

    template <int vectors, class Piece>
    FASTCONV_INLINE void run(index_t channel, Piece piece) const {
        const Vec<Position<T>> place = splat(here);
        for (int v = 0; v < vectors; ++v) {
            const index_t c = channel + v * kLanes<T>;
            const Vec<Position<T>> equal = piece.only(piece.get(positions + c) == place);
            matches -= equal;
            piece.put(target + c, equal ? piece.get(source + c) : Vec<T>{});
        }
    }
};

template <class T>
index_t matching_line(const PoolLine<T>& line, const PoolMatches<T>& maxima) noexcept {
    Vec<Position<T>> matches{};
    if (meets_one_each(line)) {
        Fetcher<T> ahead(line.ahead, line.targets * blocks_of<T>(line.channels));
        for (index_t q = 0; q < line.targets; ++q) {
            const index_t first = line.spans[q].first;
            for_each_block<T>(
                line.channels, ahead,
                MatchOne<T>{line.source + first * line.pixel_step, maxima.positions + first * maxima.pixel_step,
                            static_cast<Position<T>>(maxima.first_target + q), line.target + q * line.target_step,
                            matches});
        }
    } else {
        for_each_target<T>(line, nullptr, MatchKernel<T>{line, maxima, matches});
    }
    index_t count = 0;
    for (index_t lane = 0; lane < kLanes<T>; ++lane) count += matches[lane];
    return count;
}

// The low halves of whole numbers that fit.
FASTCONV_INLINE void store_narrow(std::int32_t* target, Vec<index_t> wide) {
#if defined(__AVX2__) && FASTCONV_VECTOR_BYTES == 32
    // What GCC 12 makes of the conversion below takes two permutations across the halves of a register.
    const __m128i low = _mm256_castsi256_si128((__m256i)wide), high = _mm256_extracti128_si256((__m256i)wide, 1);
    _mm_storeu_ps(reinterpret_cast<float*>(target),
                  _mm_shuffle_ps(_mm_castsi128_ps(low), _mm_castsi128_ps(high), 0x88));
#else
    typedef std::int32_t Narrow __attribute__((vector_size(kLanes<index_t> * 4)));
    typedef Narrow Anywhere __attribute__((aligned(4), may_alias));
    *reinterpret_cast<Anywhere*>(target) = __builtin_convertvector(wide, Narrow);
#endif
}

FASTCONV_INLINE void store_narrow(index_t* target, Vec<index_t> wide) { store(target, wide); }

template <class T>
index_t narrow_positions(const index_t* indices, index_t count, Position<T>* positions) noexcept {
    constexpr index_t kWide = kLanes<index_t>;
    using Bits = std::uint64_t;  // what follows the largest index is no overflow there
    Vec<index_t> absent{};
    Vec<Bits> seen{};
    index_t i = 0;
    for (; i + kWide <= count; i += kWide) {
        const Vec<index_t> wide = load(indices + i);
        absent -= wide == -1;
        seen |= (Vec<Bits>)wide + 1;
        store_narrow(positions + i, wide);
    }
    index_t missing = 0;
    Bits bits = 0;
    for (; i < count; ++i) {
        missing += indices[i] == -1;
        bits |= static_cast<Bits>(indices[i]) + 1;
        positions[i] = static_cast<Position<T>>(indices[i]);
    }
    for (index_t lane = 0; lane < kWide; ++lane) missing += absent[lane], bits |= seen[lane];
    return (bits >> 31) != 0 ? -1 : count - missing;
}

// Patches overlap too: their gradients are added up where they came from (col2im).
template <class T>
void scatter_add(T* const* targets, index_t pitch, index_t taps, const T* source, index_t source_pitch,
                 index_t channels, T scale) noexcept {
    for (index_t tap = 0; tap < taps; ++tap, source += source_pitch) {
        T* target = targets[tap * pitch];
        if (target == nullptr) continue;
        index_t c = 0;
        for (; c + kLanes<T> <= channels; c += kLanes<T>)
            store(target + c, load(target + c) + splat(scale) * load(source + c));
        for (; c < channels; ++c) target[c] += scale * source[c];
    }
}

}  // namespace
}  // namespace fastconv
