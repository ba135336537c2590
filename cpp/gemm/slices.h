// Sums over rows in slices: each slice sums in order, and the slices are added in order, so that the number of
// threads changes no bit. The slices also keep the chains of additions short, and with them the rounding error.
#pragma once

#include "kernels/index.h"

namespace fastconv {

// sums[row][k] = sum over slices of partial[slice][row][k]; sums' rows are `pitch` apart.
template <class T>
void add_slices(const T* partial, index_t slices, index_t rows, index_t columns, T* sums, index_t pitch);

// sums[k] = sum over r of matrix[r][k]: the gradient of a bias.
template <class T>
void sum_rows(const T* matrix, index_t rows, index_t columns, T* sums);

}  // namespace fastconv
