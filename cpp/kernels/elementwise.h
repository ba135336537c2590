// Element by element: rectified linear unit and its gradient (memory-bound; one pass each).
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

template <class T>
void relu_array(const T* input, index_t count, T* output) noexcept {
    index_t i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>) store(output + i, relu<T>(load(input + i)));
    for (; i < count; ++i) output[i] = input[i] < 0 ? 0 : input[i];
}

template <class T>
void relu_backward(const T* grad_output, const T* output, index_t count, T* grad_input) noexcept {
    index_t i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>) {
        const Vec<T> passed = load(output + i) > Vec<T>{} ? load(grad_output + i) : Vec<T>{};
        store(grad_input + i, passed);
    }
    for (; i < count; ++i) grad_input[i] = output[i] > 0 ? grad_output[i] : 0;
}

}  // namespace
}  // namespace fastconv
