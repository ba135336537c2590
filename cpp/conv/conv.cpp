#include "conv/conv.h"

#include <algorithm>

#include "conv/rows.h"
#include "conv/wrapped.h"
#include "elementwise/relu.h"
#include "gemm/slices.h"

namespace fastconv {
namespace {

// Without channels on one side there is no product: sums over nothing are zero.
bool is_empty(const ConvGeometry& g) { return g.weight_size() == 0; }

template <class T>
const Algorithm<T>& chosen(const Request& request, const ConvGeometry& g, Pass pass) {
    return *select<T>(request.operation, request.algorithm, g, pass).algorithm;
}

template <class T>
void rectify(T* values, index_t count, bool wanted) {
    if (wanted) relu_forward<T>(values, count, values);
}

}  // namespace

template <class T>
PassPlan plan_pass(const Request& request, const ConvGeometry& g, Pass pass) {
    if (is_empty(g)) return {"none", "there is nothing to multiply", 0};
    const Choice<T> choice = select<T>(request.operation, request.algorithm, g, pass);
    // The two work one after the other.
    const std::size_t wrapped = wraps(g) ? wrapped_workspace<T>(g) : 0;
    return {choice.algorithm->name, choice.reason, std::max(choice.algorithm->workspace(g, pass), wrapped)};
}

template <class T>
void conv_forward(const Request& request, const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    const index_t outputs = g.output_rows() * g.out_channels;
    if (is_empty(g)) {
        fill_rows(arguments.output, g.output_rows(), g.out_channels, arguments.bias);
        return rectify(arguments.output, outputs, arguments.relu);
    }
    const Algorithm<T>& algorithm = chosen<T>(request, g, Pass::kForward);
    if (!wraps(g)) return algorithm.forward(g, arguments);
    ForwardArguments<T> linear = arguments;
    linear.relu = false;
    algorithm.forward(g, linear);
    add_wrapped(g, linear);
    rectify(arguments.output, outputs, arguments.relu);
}

template <class T>
void conv_backward_input(const Request& request, const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    if (is_empty(g)) {
        fill_rows(arguments.grad_input, g.input_rows(), g.in_channels, arguments.bias);
        return rectify(arguments.grad_input, g.input_rows() * g.in_channels, arguments.relu);
    }
    chosen<T>(request, g, Pass::kBackwardInput).backward_input(g, arguments);
    if (wraps(g)) add_wrapped(g, arguments);
}

template <class T>
void conv_backward_weight(const Request& request, const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    if (is_empty(g)) {
        std::fill_n(arguments.grad_weight, g.weight_size(), T(0));
        return;
    }
    chosen<T>(request, g, Pass::kBackwardWeight).backward_weight(g, arguments);
    if (wraps(g)) add_wrapped(g, arguments);
}

template <class T>
void conv_backward_bias(index_t pixels, index_t channels, const T* grad_output, T* grad_bias) {
    if (channels > 0) sum_rows(grad_output, pixels, channels, grad_bias);
}

#define FASTCONV_INSTANTIATE(T)                                                                                 \
    template PassPlan plan_pass<T>(const Request&, const ConvGeometry&, Pass);                                  \
    template void conv_forward(const Request&, const ConvGeometry&, const ForwardArguments<T>&);                \
    template void conv_backward_input(const Request&, const ConvGeometry&, const BackwardInputArguments<T>&);   \
    template void conv_backward_weight(const Request&, const ConvGeometry&, const BackwardWeightArguments<T>&); \
    template void conv_backward_bias(index_t, index_t, const T*, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
