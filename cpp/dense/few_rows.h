// Dense layers with a few rows: bound by memory, so that the weight moves once.
#pragma once

#include "dense/linear.h"

namespace fastconv {

// Which of the passes below are for this layer.
template <class T>
bool has_few_rows_forward(const LinearGeometry& geometry);
template <class T>
bool has_few_rows_backward_input(const LinearGeometry& geometry);
template <class T>
bool has_few_rows_backward_weight(const LinearGeometry& geometry);

template <class T>
void few_rows_forward(const LinearGeometry& geometry, const T* input, const T* weight, const T* bias, T* output);

template <class T>
void few_rows_backward_input(const LinearGeometry& geometry, const T* grad_output, const T* weight, T* grad_input);

template <class T>
void few_rows_backward_weight(const LinearGeometry& geometry, const T* grad_output, const T* input, T* grad_weight);

}  // namespace fastconv
