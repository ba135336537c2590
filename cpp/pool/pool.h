// Maximum and average pooling, and their gradients. Windows are rows of pointers, vectors run over the
// channels; nothing depends on the number of spatial axes. The channels of an input may lie in planes.
#pragma once

#include "core/geometry.h"
#include "core/tensor.h"

namespace fastconv {

// indices (or null) receives the flat position of the maximum in the input's spatial plane; -1 where the
// whole window lies in the padding, and the maximum is -inf.
template <class T>
void max_pool_forward(const PoolGeometry& geometry, const TensorView<const T>& input, T* output, index_t* indices);

// Returns -1, or an index that is neither -1 nor a position in the plane; grad_input is unspecified then.
template <class T>
index_t max_pool_backward(const PoolGeometry& geometry, const T* grad_output, const index_t* indices, T* grad_input);

// The same where the number of outputs says what the windows are.
template <class T>
void adaptive_max_forward(const AdaptiveGeometry& geometry, const TensorView<const T>& input, T* output,
                          index_t* indices);

template <class T>
index_t adaptive_max_backward(const AdaptiveGeometry& geometry, const T* grad_output, const index_t* indices,
                              T* grad_input);

// What an average is divided by: the positions of the window that lie inside the input, or inside the
// padded input, or a number that the caller gives.
struct Divisor {
    bool count_include_pad;
    index_t override_with;  // 0: count
};

template <class T>
void avg_pool_forward(const PoolGeometry& geometry, const Divisor& divisor, const TensorView<const T>& input,
                      T* output);

template <class T>
void avg_pool_backward(const PoolGeometry& geometry, const Divisor& divisor, const T* grad_output, T* grad_input);

// averages[row] = the mean of a row of a C-contiguous matrix: global average pooling of planes, channels first.
template <class T>
void average_rows(const T* matrix, index_t rows, index_t columns, T* averages);

}  // namespace fastconv
