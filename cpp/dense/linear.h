// The dense layer, output = input weight + bias, and its gradients: three plain matrix products.
#pragma once

#include "kernels/index.h"

namespace fastconv {

// input (rows x in_features, rows `pitch` apart), weight (in_features x out_features), all row-major.
struct LinearGeometry {
    index_t rows, in_features, out_features, pitch;
};

template <class T>
void linear_forward(const LinearGeometry& geometry, const T* input, const T* weight, const T* bias, bool relu,
                    T* output);

template <class T>
void linear_backward_input(const LinearGeometry& geometry, const T* grad_output, const T* weight, T* grad_input);

template <class T>
void linear_backward_weight(const LinearGeometry& geometry, const T* grad_output, const T* input, T* grad_weight);

template <class T>
void linear_backward_bias(const LinearGeometry& geometry, const T* grad_output, T* grad_bias);

}  // namespace fastconv
