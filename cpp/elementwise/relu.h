// The rectified linear unit, max(x, 0), and its gradient.
#pragma once

#include "kernels/index.h"

namespace fastconv {

template <class T>
void relu_forward(const T* input, index_t count, T* output);

// grad_input = grad_output where output > 0, else 0.
template <class T>
void relu_backward(const T* grad_output, const T* output, index_t count, T* grad_input);

}  // namespace fastconv
