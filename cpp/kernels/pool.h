// Pooling windows, vectorised over channels: each vector of channels visits the rows of its window
// with the running maximum (and its position) or sum in registers, and is written once.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// The maximum and its position as one value, for a vector (Value = Vec<T>) or a single channel
// (Value = T): the remainder of the channels takes the same decisions as the vectors.
template <class Value, class Mask, class Position>
struct Maximum {
    Value value;
    Position position;

    // The first maximum wins a tie. A NaN wins over numbers, and the first NaN over later ones.
    FASTCONV_INLINE void meet(Value candidate, Position at) {
        const Mask better = (candidate > value) | ((candidate != candidate) & (value == value));
        value = better ? candidate : value;
        position = better ? at : position;
    }
};

template <class T>
struct PositionOf;
template <>
struct PositionOf<float> {
    using Type = std::int32_t;
};
template <>
struct PositionOf<double> {
    using Type = std::int64_t;
};

template <class T>
FASTCONV_INLINE void max_lanes(const Window<T>& window, index_t channel, T* output, index_t* indices) {
    // A comparison of vectors yields integers as wide as T; the number of the tap in the window fits.
    using Lane = typename PositionOf<T>::Type;
    using Lanes = Vec<Lane>;
    Maximum<Vec<T>, Lanes, Lanes> best{splat<T>(-__builtin_inf()), Lanes{} - 1};
    bool first = true;
    for (index_t tap = 0; tap < window.taps; ++tap) {
        const T* row = window.rows[tap * window.pitch];
        if (row == nullptr) continue;
        const Lanes at = Lanes{} + static_cast<Lane>(tap);
        if (first) {  // also where every value is -inf the position is that of the first one
            best = {load(row + channel), at};
            first = false;
        } else {
            best.meet(load(row + channel), at);
        }
    }
    store(output + channel, best.value);
    if (indices == nullptr) return;
    alignas(FASTCONV_VECTOR_BYTES) Lane taps[kLanes<T>];
    store(taps, best.position);
    for (index_t i = 0; i < kLanes<T>; ++i)
        indices[channel + i] = taps[i] < 0 ? -1 : window.positions[taps[i] * window.pitch];
}

template <class T>
FASTCONV_INLINE void max_channel(const Window<T>& window, index_t channel, T* output, index_t* indices) {
    Maximum<T, bool, index_t> best{static_cast<T>(-__builtin_inf()), -1};
    for (index_t tap = 0; tap < window.taps; ++tap) {
        const T* row = window.rows[tap * window.pitch];
        if (row == nullptr) continue;
        if (best.position < 0) {
            best = {row[channel], tap};
        } else {
            best.meet(row[channel], tap);
        }
    }
    output[channel] = best.value;
    if (indices != nullptr) indices[channel] = best.position < 0 ? -1 : window.positions[best.position * window.pitch];
}

template <class T>
void max_window(const Window<T>& window, T* output, index_t* indices) noexcept {
    index_t channel = 0;
    for (; channel + kLanes<T> <= window.channels; channel += kLanes<T>) max_lanes(window, channel, output, indices);
    for (; channel < window.channels; ++channel) max_channel(window, channel, output, indices);
}

template <class T>
void average_window(const Window<T>& window, T scale, T* output) noexcept {
    index_t channel = 0;
    for (; channel + kLanes<T> <= window.channels; channel += kLanes<T>) {
        Vec<T> sum{};
        for (index_t tap = 0; tap < window.taps; ++tap) {
            const T* row = window.rows[tap * window.pitch];
            if (row != nullptr) sum += load(row + channel);
        }
        store(output + channel, sum * splat(scale));
    }
    for (; channel < window.channels; ++channel) {
        T sum = 0;
        for (index_t tap = 0; tap < window.taps; ++tap) {
            const T* row = window.rows[tap * window.pitch];
            if (row != nullptr) sum += row[channel];
        }
        output[channel] = sum * scale;
    }
}

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
