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

// The channels that lanes see are parts of the pixels; the processor fetches ahead only what lies in one piece.
template <class T>
void spread_lanes(const LaneSpread<T>& spread) noexcept {
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

}  // namespace
}  // namespace fastconv
