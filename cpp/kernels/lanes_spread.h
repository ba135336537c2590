// Lines laid out for lanes that no permutation brings what they meet.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// Repeats every input channel for the output channels of its group.
template <class T, index_t Repeats>
FASTCONV_INLINE void spread_groups(const T* source, index_t groups, index_t group_inputs, index_t repeats, T* target,
                                   index_t pitch) {
    for (index_t g = 0; g < groups; ++g, source += group_inputs, target += Repeats ? Repeats : repeats)
        for (index_t i = 0; i < group_inputs; ++i) {
            const T value = source[i];
            T* to = target + i * pitch;
            if constexpr (Repeats > 0) {
                for (index_t r = 0; r < Repeats; ++r) to[r] = value;
            } else {
                for (index_t r = 0; r < repeats; ++r) to[r] = value;
            }
        }
}

// The same where nothing is repeated, as in the gradient of a depthwise convolution's input: the loop over the groups
// becomes one of vectors.
template <class T, index_t Inputs>
FASTCONV_INLINE void split_groups(const T* __restrict source, index_t groups, T* __restrict target, index_t pitch) {
    for (index_t g = 0; g < groups; ++g)
#pragma GCC unroll 4
        for (index_t i = 0; i < Inputs; ++i) target[i * pitch + g] = source[g * Inputs + i];
}

// The lanes of one channel of each group, vector by vector: what each takes of two vectors of the source.
template <class T>
class SpreadOrders {
  public:
    explicit SpreadOrders(const LaneSpread<T>& spread)
        : vectors_((spread.groups * spread.repeats + kWidth - 1) / kWidth) {
        fits_ = vectors_ <= kMostVectors && spread.repeats <= 2 * kWidth;
        index_t channel = 0, repeat = 0;
        for (index_t v = 0; fits_ && v < vectors_; ++v) {
            starts_[v] = channel;
            for (index_t lane = 0; lane < kWidth; ++lane) {
                const index_t at = channel - starts_[v];
                fits_ = fits_ && at < 2 * kWidth;
                orders_[v][lane] = at;
                if (++repeat < spread.repeats) continue;
                repeat = 0;
                channel += spread.group_inputs;
            }
        }
    }

    bool fits() const { return fits_; }

    // Reads whole vectors, and writes them: what follows in the source has to exist, in the target to be written later.
    FASTCONV_INLINE void spread(const T* source, T* target) const {
        for (index_t v = 0; v < vectors_; ++v) {
            const T* const from = source + starts_[v];
            store(target + v * kWidth, permute_pair<T>(load(from), load(from + kWidth), orders_[v]));
        }
    }

  private:
    static constexpr index_t kWidth = kLanes<T>, kMostVectors = 32;
    using Order = decltype(Vec<T>{} < Vec<T>{});  // of integers as wide as T

    index_t vectors_;
    bool fits_;
    index_t starts_[kMostVectors];
    Order orders_[kMostVectors];
};

// Spreads pixels as long as others follow that hold what vectors read and write after them; returns how many.
template <class T>
FASTCONV_ONE_COPY index_t spread_in_vectors(const LaneSpread<T>& spread) {
    const SpreadOrders<T> orders(spread);
    if (!orders.fits()) return 0;
    const index_t read = 2 * kLanes<T> + spread.group_inputs, target_step = spread.group_inputs * spread.pitch,
                  read_pixels = (read + spread.source_step - 1) / spread.source_step,
                  written_pixels = (kLanes<T> + target_step - 1) / target_step;
    const index_t last = spread.pixels - (read_pixels > written_pixels ? read_pixels : written_pixels);
    for (index_t p = 0; p < last; ++p)
        for (index_t i = 0; i < spread.group_inputs; ++i)
            orders.spread(spread.source + p * spread.source_step + i,
                          spread.target + p * target_step + i * spread.pitch);
    return last > 0 ? last : 0;
}

// The channels that lanes see are parts of the pixels; the processor fetches ahead only what lies in one piece.
template <class T>
FASTCONV_ONE_COPY void spread_in_values(const LaneSpread<T>& spread) {
    constexpr index_t kPixelsAhead = 16, kLine = 64 / sizeof(T);
    for (index_t p = 0; p < spread.pixels; ++p) {
        const T* source = spread.source + p * spread.source_step;
        for (index_t c = 0; c < spread.groups * spread.group_inputs; c += kLine)
            __builtin_prefetch(source + kPixelsAhead * spread.source_step + c);
        T* target = spread.target + p * spread.group_inputs * spread.pitch;
        if (spread.repeats == 1 && spread.group_inputs == 2) {
            split_groups<T, 2>(source, spread.groups, target, spread.pitch);
            continue;
        }
        if (spread.repeats == 1 && spread.group_inputs == 4) {
            split_groups<T, 4>(source, spread.groups, target, spread.pitch);
            continue;
        }
        switch (spread.repeats) {
#define FASTCONV_SPREAD(count)                                                                            \
    case count:                                                                                           \
        spread_groups<T, count>(source, spread.groups, spread.group_inputs, count, target, spread.pitch); \
        break
            FASTCONV_SPREAD(1);
            FASTCONV_SPREAD(2);
            FASTCONV_SPREAD(4);
            FASTCONV_SPREAD(8);
#undef FASTCONV_SPREAD
            default:
                spread_groups<T, 0>(source, spread.groups, spread.group_inputs, spread.repeats, target, spread.pitch);
        }
    }
}

template <class T>
void spread_lanes(const LaneSpread<T>& spread) noexcept {
    LaneSpread<T> rest = spread;
    if (kPermutes && spread.repeats > 1 && spread.source_step > 0) {
        const index_t done = spread_in_vectors(spread);
        rest.source += done * spread.source_step;
        rest.target += done * spread.group_inputs * spread.pitch;
        rest.pixels -= done;
    }
    spread_in_values(rest);
}

}  // namespace
}  // namespace fastconv
