// A copy of an array with any strides, its values one after the other.
#pragma once

#include <array>

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

}  // namespace fastconv
