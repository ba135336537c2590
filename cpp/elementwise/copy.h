// A copy of an array with any strides, its values one after the other.
#pragma once

#include <array>

#include "core/memory.h"
#include "core/tensor.h"
#include "kernels/index.h"

namespace fastconv {

constexpr int kMostCopyAxes = 5;  // batch, three spatial axes, channels

// Outermost axis first. Strides count elements; negative ones and zero are welcome.
template <class T>
struct StridedArray {
    const T* data;
    int axes;
    std::array<index_t, kMostCopyAxes> extents, strides;
};

// target must not overlap the source.
template <class T>
void copy_contiguous(const StridedArray<T>& source, T* target);
template <>
void copy_contiguous(const StridedArray<index_t>& source, index_t* target);

// An activation, copied into the buffer pixel by pixel.
template <class T>
TensorView<const T> laid_out(const TensorView<const T>& view, index_t batch, const std::array<index_t, kAxes>& extents,
                             Buffer& buffer) {
    const StridedArray<T> source{
        view.data,
        kMostCopyAxes,
        {batch, extents[0], extents[1], extents[2], view.channels},
        {view.batch_stride, view.strides[0], view.strides[1], view.strides[2], view.channel_stride}};
    const index_t size = batch * extents[0] * extents[1] * extents[2] * view.channels;
    T* copy = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(size); });
    copy_contiguous(source, copy);
    return contiguous_view<const T>(copy, extents, view.channels);
}

}  // namespace fastconv
