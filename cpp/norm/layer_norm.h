// Layer normalization: every row by its own mean and variance. Ba, Kiros and Hinton, "Layer normalization", 2016.
#pragma once

#include "kernels/element_table.h"

namespace fastconv {

template <class T>
void layer_norm_forward(const NormalizedRows<T>& rows, T* output);

// grad_scale and grad_bias are filled in any case.
template <class T>
void layer_norm_backward(const NormalizedRows<T>& rows, const T* grad_output, T* grad_input, T* grad_scale,
                         T* grad_bias);

}  // namespace fastconv
