// Plain matrix products as special cases of the two products over pixels: a matrix is an activation of
// one line, and its only tap meets row r with row r.
#pragma once

#include "gemm/outer_product.h"
#include "gemm/row_product.h"

namespace fastconv {

// Element (i, j) is data[i * row_stride + j * column_stride]: a matrix or its transpose.
template <class T>
struct MatrixView {
    const T* data;
    index_t row_stride, column_stride;
};

// target (rows x columns) = left (rows x depth) times right (depth x columns).
template <class T>
RowProduct<T> matrix_product(index_t rows, const T* left, index_t left_pitch, index_t depth, MatrixView<T> right,
                             index_t columns, T* target, index_t target_pitch) {
    RowProduct<T> product;
    product.source = {matrix_map(rows), matrix_view<const T>(left, depth, left_pitch)};
    product.target = matrix_view(target, columns, target_pitch);
    product.depth = depth;
    product.columns = columns;
    product.weight = right.data;
    product.row_stride = right.row_stride;
    product.column_stride = right.column_stride;
    return product;
}

// sums (depth x columns) = left (rows x depth), transposed, times right (rows x columns).
template <class T>
OuterProduct<T> transposed_product(index_t rows, const T* left, index_t left_pitch, index_t depth, const T* right,
                                   index_t right_pitch, index_t columns, T* sums, index_t sums_pitch) {
    OuterProduct<T> product;
    product.source = {matrix_map(rows), matrix_view<const T>(left, depth, left_pitch)};
    product.right = right;
    product.right_pitch = right_pitch;
    product.depth = depth;
    product.columns = columns;
    product.sums = sums;
    product.sums_pitch = sums_pitch;
    return product;
}

}  // namespace fastconv
