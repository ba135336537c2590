// Views of arrays: a pointer and how far apart things lie. Channels are contiguous but where planes are asked for;
// every other axis may have any stride, negative ones and zero included. Views own nothing.
#pragma once

#include <array>

#include "core/geometry.h"

namespace fastconv {

// An activation, (batch, depth, height, width, channels). Strides count elements.
template <class T>
struct TensorView {
    T* data = nullptr;
    index_t batch_stride = 0;
    std::array<index_t, kAxes> strides{};
    index_t channels = 0;
    index_t channel_stride = 1;  // another where channels are planes, whose pixels are neighbours along the width
};

template <class T>
bool in_planes(const TensorView<T>& view) {
    return view.channel_stride != 1;
}

// The rows of a matrix, `pitch` elements apart, as the pixels of an activation.
template <class T>
TensorView<T> matrix_view(T* data, index_t columns, index_t pitch) {
    TensorView<T> view;
    view.data = data;
    view.channels = columns;
    view.strides[2] = pitch;
    return view;
}

// A C-contiguous activation of these extents.
template <class T>
TensorView<T> contiguous_view(T* data, const std::array<index_t, kAxes>& extents, index_t channels) {
    TensorView<T> view;
    view.data = data;
    view.channels = channels;
    index_t stride = channels;
    for (int i = kAxes - 1; i >= 0; --i) {
        view.strides[i] = stride;
        stride *= extents[i];
    }
    view.batch_stride = stride;
    return view;
}

}  // namespace fastconv
