// Convolution in one call: each pass takes the algorithm by name ("auto" lets select() choose) and runs it.
// Shapes have been checked by the geometry.
#pragma once

#include "conv/algorithm.h"

namespace fastconv {

// What a call is: its name in error messages, and the algorithm asked for.
struct Request {
    const std::string& operation;
    const std::string& algorithm;
};

template <class T>
void conv_forward(const Request& request, const ConvGeometry& geometry, const ForwardArguments<T>& arguments) {
    select<T>(request.operation, request.algorithm, geometry, Pass::kForward).algorithm->forward(geometry, arguments);
}

template <class T>
void conv_backward_input(const Request& request, const ConvGeometry& geometry,
                         const BackwardInputArguments<T>& arguments) {
    select<T>(request.operation, request.algorithm, geometry, Pass::kBackwardInput)
        .algorithm->backward_input(geometry, arguments);
}

template <class T>
void conv_backward_weight(const Request& request, const ConvGeometry& geometry,
                          const BackwardWeightArguments<T>& arguments) {
    select<T>(request.operation, request.algorithm, geometry, Pass::kBackwardWeight)
        .algorithm->backward_weight(geometry, arguments);
}

// The bias is added to every output pixel, so its gradient is the sum over them, whatever the algorithm.
template <class T>
void conv_backward_bias(const ConvGeometry& geometry, const T* grad_output, T* grad_bias);

}  // namespace fastconv
