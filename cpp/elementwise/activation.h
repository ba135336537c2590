// Activations and their gradients, element by element:
//   relu        max(x, 0)                     sigmoid    1 / (1 + exp(-x))
//   relu6       min(max(x, 0), 6)             tanh
//   leaky_relu  x above zero, else slope x    silu       x sigmoid(x)
//   hardswish   x relu6(x + 3) / 6            gelu       x (1 + erf(x / sqrt 2)) / 2
#pragma once

#include "kernels/activation_kind.h"
#include "kernels/index.h"

namespace fastconv {

constexpr double kLeakySlope = 0.01;  // unless one is given

// Whether the gradient is computed from the input, because the output doesn't tell it; else from the output.
bool gradient_needs_input(ActivationKind kind);

// output may be the input.
template <class T>
void activate(ActivationKind kind, const T* input, index_t count, T* output, T slope = T(kLeakySlope));

// saved: the input or the output of the activation, as gradient_needs_input says.
template <class T>
void activation_backward(ActivationKind kind, const T* grad_output, const T* saved, index_t count, T* grad_input,
                         T slope = T(kLeakySlope));

// output = the activation of one + other, as residual blocks end.
template <class T>
void add_and_activate(ActivationKind kind, const T* one, const T* other, index_t count, T* output);

}  // namespace fastconv
