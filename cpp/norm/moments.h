// Sums by channel over the pixels of every sample: moments, and those of gradients. Tasks sum on their own; their sums
// are put together in order, in double precision.
#pragma once

#include "norm/channel_norm.h"

namespace fastconv {

// The mean of `count` numbers, and the sum of their squared distances from it.
struct Moments {
    double count = 0, mean = 0, squares = 0;

    void join(const Moments& other);
};

// sums[s][c] = sum of g, and products[s][c] = sum of g * (input - center of s and c), over the pixels of sample s.
// Of a ReLU whose output isn't there: what it was made with, by sample and column of joined rows; or null.
template <class T>
void gradient_sums(const ChannelGeometry& geometry, const ChannelNormBackward<T>& pass, const T* relu_factors,
                   const T* relu_offsets, double* sums, double* products);

}  // namespace fastconv
