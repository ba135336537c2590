// Normalization over neighbouring channels (Krizhevsky, Sutskever and Hinton, 2012, section 3.3): squares go to scratch
// memory with zeros around, where a window's sum is one load per channel of it.
#pragma once

#include "kernels/element_table.h"
#include "kernels/roots.h"

namespace fastconv {
namespace {

constexpr index_t kScratchEnd = 16;  // whole vectors are written and read past the last channel

template <class T>
struct WindowScratch {
    T *squares, *powers, *terms;
};

// Their margins are zero.
template <class T>
WindowScratch<T> window_scratch(const LocalResponse<T>& block) noexcept {
    const index_t size = block.source.channels + block.before + block.after + kScratchEnd;
    for (index_t i = 0; i < 3 * size; ++i) block.scratch[i] = 0;
    return {block.scratch, block.scratch + size, block.scratch + 2 * size};
}

template <class T>
FASTCONV_INLINE Vec<T> sum_of_window(const T* first, index_t size) {
    Vec<T> sum = load(first);
    for (index_t i = 1; i < size; ++i) sum += load(first + i);
    return sum;
}

// squares[before + c] = row[c]^2. Lanes past the last channel are zero, and remain so.
template <class T>
FASTCONV_INLINE void square_row(const T* row, index_t channels, T* squares) {
    for (index_t c = 0; c < channels; c += kLanes<T>) {
        const Vec<T> value = load_first(row + c, smaller(kLanes<T>, channels - c));
        store(squares + c, value * value);
    }
}

template <class T>
void local_response(const LocalResponse<T>& block, T* target) noexcept {
    const WindowScratch<T> scratch = window_scratch(block);
    const index_t channels = block.source.channels, size = block.before + 1 + block.after;
    for (index_t r = 0; r < block.source.count; ++r) {
        const T* row = block.source.data + r * channels;
        square_row(row, channels, scratch.squares + block.before);
        for (index_t c = 0; c < channels; c += kLanes<T>) {
            const index_t lanes = smaller(kLanes<T>, channels - c);
            const Vec<T> base = sum_of_window(scratch.squares + c, size) * block.factor + block.start;
            store_first<T>(target + r * channels + c, lanes,
                           load_first(row + c, lanes) * inverse_power<T>(base, block.exponent));
        }
    }
}

// With b the base and p = b^-exponent: grad[c] = g[c] p[c] - 2 factor exponent x[c] * (sum of g x p / b over the
// channels whose windows c is in, which is the window turned around).
template <class T>
void local_response_backward(const LocalResponse<T>& block, const T* gradient, T* target) noexcept {
    const WindowScratch<T> scratch = window_scratch(block);
    const index_t channels = block.source.channels, size = block.before + 1 + block.after;
    const T weight = 2 * block.factor * block.exponent;
    for (index_t r = 0; r < block.source.count; ++r) {
        const T *row = block.source.data + r * channels, *arriving = gradient + r * channels;
        square_row(row, channels, scratch.squares + block.before);
        for (index_t c = 0; c < channels; c += kLanes<T>) {
            const index_t lanes = smaller(kLanes<T>, channels - c);
            const Vec<T> base = sum_of_window(scratch.squares + c, size) * block.factor + block.start;
            const Vec<T> power = load_first(arriving + c, lanes) * inverse_power<T>(base, block.exponent);
            store(scratch.powers + c, power);
            store_first<T>(scratch.terms + block.after + c, lanes, load_first(row + c, lanes) * power / base);
        }
        for (index_t c = 0; c < channels; c += kLanes<T>) {
            const index_t lanes = smaller(kLanes<T>, channels - c);
            const Vec<T> sum = sum_of_window(scratch.terms + c, size);
            store_first<T>(target + r * channels + c, lanes,
                           load(scratch.powers + c) - load_first(row + c, lanes) * weight * sum);
        }
    }
}

}  // namespace
}  // namespace fastconv
