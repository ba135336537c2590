// Direct convolution as an implicit matrix product: the patch matrix of im2col is never written, its rows
// are pointers into the activation (Dukhan, "The indirect convolution algorithm", 2019), and the weight
// is packed once per call into panels that stay in L1.
//
// The gradient of the input is the same product with the window's map read backwards; at stride s the
// input pixels fall into s phases per axis, each with taps of its own, so that no zeros are inserted
// (Dumoulin and Visin, "A guide to convolution arithmetic", 2016, section 4.6, inserts them).
#include <algorithm>

#include "conv/algorithm.h"
#include "gemm/outer_product.h"
#include "gemm/row_product.h"

namespace fastconv {
namespace {

// Rows with joined taps (gemm/row_source.h) are copied where they reach into the padding: values of such a row at
// most, where they are multiplied with a matrix, and where they are summed over, 256 at a time.
constexpr index_t kLongestCopy = 2048, kLongestSum = 512;

template <class T>
RowProduct<T> forward_product(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    RowProduct<T> product;
    product.source = RowSource<T>::of_map(forward_map(g, g.batch), arguments.input, g.groups == 1, kLongestCopy);
    product.target = contiguous_view(arguments.output, g.output_extents(), g.out_channels);
    product.groups = g.groups;
    product.depth = product.source.joined * g.group_inputs();
    product.columns = g.group_outputs();
    product.weight = arguments.weight;
    product.tap_stride = g.group_inputs() * g.out_channels;
    product.group_stride = g.group_outputs();
    product.row_stride = g.out_channels;
    product.column_stride = 1;
    product.bias = arguments.bias;
    product.relu = arguments.relu;
    return product;
}

// The transposed weight is a view: its rows are the output channels, its columns the input channels.
template <class T>
RowProduct<T> backward_product(const ConvGeometry& g, const BackwardInputArguments<T>& arguments, const RowMap& map) {
    const TensorView<const T> source = contiguous_view(arguments.grad_output, g.output_extents(), g.out_channels);
    RowProduct<T> product;
    product.source = RowSource<T>::of_map(map, source, g.groups == 1, kLongestCopy);
    product.target = contiguous_view(arguments.grad_input, g.input_extents(), g.in_channels);
    product.groups = g.groups;
    product.depth = product.source.joined * g.group_outputs();
    product.columns = g.group_inputs();
    product.weight = arguments.weight;
    product.tap_stride = g.group_inputs() * g.out_channels;
    product.group_stride = g.group_outputs();
    product.row_stride = 1;
    product.column_stride = g.out_channels;
    product.bias = arguments.bias;
    product.relu = arguments.relu;
    return product;
}

template <class T>
OuterProduct<T> weight_product(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    OuterProduct<T> product;
    product.source = RowSource<T>::of_map(forward_map(g, g.batch), arguments.input, g.groups == 1, kLongestSum);
    product.right = arguments.grad_output;
    product.right_pitch = g.out_channels;
    product.groups = g.groups;
    product.depth = product.source.joined * g.group_inputs();
    product.columns = g.group_outputs();
    product.sums = arguments.grad_weight;
    product.sums_pitch = g.out_channels;
    return product;
}

template <class T>
void forward(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    multiply(forward_product(g, arguments));
}

template <class T>
void backward_input(const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    for_each_backward_map(g, g.batch, [&](const RowMap& map) { multiply(backward_product(g, arguments, map)); });
}

template <class T>
void backward_weight(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    sum_products(weight_product(g, arguments));
}

template <class T>
std::size_t workspace(const ConvGeometry& g, Pass pass) {
    const TensorView<const T> input = contiguous_view<const T>(nullptr, g.input_extents(), g.in_channels);
    if (pass == Pass::kForward)
        return workspace_bytes(forward_product<T>(g, {input, nullptr, nullptr, false, nullptr}));
    if (pass == Pass::kBackwardWeight) return workspace_bytes(weight_product<T>(g, {nullptr, input, nullptr}));
    std::size_t largest = 0;
    for_each_backward_map(g, g.batch, [&](const RowMap& map) {
        largest = std::max(largest, workspace_bytes(backward_product<T>(g, {nullptr, nullptr, nullptr}, map)));
    });
    return largest;
}

bool supports(const ConvGeometry&, Pass) { return true; }

const char* prefers(const ConvGeometry&, Pass) { return "no patch matrix: the fastest general algorithm"; }

}  // namespace

template <class T>
const Algorithm<T>& direct_algorithm() {
    static const Algorithm<T> algorithm{"direct",   supports,          prefers,           workspace<T>,
                                        forward<T>, backward_input<T>, backward_weight<T>};
    return algorithm;
}

template const Algorithm<float>& direct_algorithm();
template const Algorithm<double>& direct_algorithm();

}  // namespace fastconv
