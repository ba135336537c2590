// What the machine can do at best, to compare with: independent chains of fused multiply-adds in
// registers, and reading memory once.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// As many chains as a tile of the matrix kernels has sums, so both have the same latencies to hide.
template <class T>
double multiply_add_chains(index_t steps, T* result) noexcept {
    constexpr int chains = FASTCONV_TILE_ROWS * FASTCONV_TILE_VECTORS;
    Vec<T> values[chains];
    for (int i = 0; i < chains; ++i) values[i] = splat(static_cast<T>(i));
    // Values tend to 1: neither overflow nor denormals on the way.
    const Vec<T> factor = splat(T(0.5)), summand = splat(T(0.5));
    for (index_t step = 0; step < steps; ++step)
#pragma GCC unroll 24
        for (int i = 0; i < chains; ++i) values[i] = values[i] * factor + summand;
    Vec<T> sum{};
    for (int i = 0; i < chains; ++i) sum += values[i];
    *result = sum[0];
    return 2.0 * chains * kLanes<T> * static_cast<double>(steps);
}

}  // namespace
}  // namespace fastconv
