// Local response normalization over neighbouring channels. Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.3.
#pragma once

#include "kernels/element_table.h"

namespace fastconv {

// The block's scratch memory is found for it.
template <class T>
void local_response_forward(const LocalResponse<T>& block, T* output);

template <class T>
void local_response_backward(const LocalResponse<T>& block, const T* grad_output, T* grad_input);

}  // namespace fastconv
