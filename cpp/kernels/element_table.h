// The second table of every instruction set: what goes element by element. It is apart from
// kernels/table.h so that one can change without the other; the same rules hold.
#pragma once

#include "kernels/activation_kind.h"
#include "kernels/index.h"

namespace fastconv {

template <class T>
struct ElementKernels {
    // slope: of leaky ReLU below zero. output may be the input.
    void (*activate)(ActivationKind kind, const T* input, index_t count, T slope, T* output) noexcept;
    // grad_input = grad_output times the activation's derivative, from what was saved of it (elementwise/activation.h)
    void (*activation_backward)(ActivationKind kind, const T* grad_output, const T* saved, index_t count, T slope,
                                T* grad_input) noexcept;
};

struct ElementTable {
    ElementKernels<float> float32;
    ElementKernels<double> float64;
};

extern const ElementTable elements_baseline;
extern const ElementTable elements_avx2;
extern const ElementTable elements_avx512;
extern const ElementTable elements_neon;

}  // namespace fastconv
