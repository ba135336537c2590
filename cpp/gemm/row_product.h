// Rows times a matrix, where the rows are pixels of an activation: the implicit matrix product under
// the forward pass and the gradient of the input, and, with one tap, under every dense layer.
//
//   target[r][g, k] = act(bias[g, k] + sum over tap, c of source[map(r, tap)][g, c] * weight[tap][g, c, k])
//
// No patch matrix exists: a block of rows is a list of pointers (Dukhan, "The indirect convolution
// algorithm", 2019, section 3), and the matrix is packed once into panels that fit L1.
#pragma once

#include "gemm/row_source.h"

namespace fastconv {

class KeptWeight;

template <class T>
struct RowProduct {
    RowSource<T> source;
    TensorView<T> target;
    index_t groups = 1, depth = 0, columns = 0;  // depth (values of a source row) and columns of one group

    // weight[tap * tap_stride + g * group_stride + c * row_stride + k * column_stride], the tap counted
    // in the whole kernel.
    const T* weight = nullptr;
    index_t tap_stride = 0, group_stride = 0, row_stride = 0, column_stride = 0;

    const T* bias = nullptr;  // groups * columns values, or null
    bool relu = false;
    KeptWeight* kept = nullptr;  // where the packed weight, which never changes, stays for the next call
};

template <class T>
std::size_t workspace_bytes(const RowProduct<T>& product);

template <class T>
void multiply(const RowProduct<T>& product);

}  // namespace fastconv
