// Direct convolution as an implicit matrix product: the patch matrix of im2col is never written, its rows
// are pointers into the activation (Dukhan, "The indirect convolution algorithm", 2019), and the weight
// is packed once per call into panels that stay in L1.
//
// The gradient of the input is the same product with the window's map read backwards; at stride s the
// input pixels fall into s phases per axis, each with taps of its own, so that no zeros are inserted
// (Dumoulin and Visin, "A guide to convolution arithmetic", 2016, section 4.6, inserts them).
#include "conv/direct.h"

#include <algorithm>
#include <cmath>

#include "conv/phases.h"
#include "conv/rows.h"
#include "core/isa.h"
#include "core/kept_weight.h"
#include "core/memory.h"
#include "core/threads.h"
#include "gemm/outer_product.h"
#include "gemm/row_product.h"

namespace fastconv {
namespace {

// Rows with joined taps (gemm/row_source.h) are copied where they reach into the padding: values of such a row at
// most, where they are multiplied with a matrix, and where they are summed over, 256 at a time.
constexpr index_t kLongestCopy = 2048, kLongestSum = 512;

// Products with rows of padding are left out, tile by tile of neighbouring rows. Measured, time over time without cuts,
// 3x3, 256 to 256, 33x33: dilation 12 0.85, gradient of the input 0.84, dilation 6 0.9; without dilation, groups of 32
// on 7x7, 0.98 to 1.02.
template <class T>
void skip_padding(RowSource<T>& source) {
    if (std::abs(source.map.axes[kAxes - 1].tap_step) > 1 && !in_planes(source.tensor)) source.map.cut_at_padding();
}

template <class T>
RowProduct<T> forward_product(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    RowProduct<T> product;
    product.source = RowSource<T>::of_map(forward_map(g, g.batch), arguments.input, g.groups == 1, kLongestCopy);
    skip_padding(product.source);
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
    if (arguments.kept != nullptr && arguments.kept->constant()) product.kept = arguments.kept;
    return product;
}

// The transposed weight is a view: its rows are the output channels, its columns the input channels.
template <class T>
RowProduct<T> backward_product(const ConvGeometry& g, const BackwardInputArguments<T>& arguments, const RowMap& map) {
    RowProduct<T> product;
    product.source = RowSource<T>::of_map(map, arguments.grad_output, g.groups == 1, kLongestCopy);
    skip_padding(product.source);
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

// With the phases of the width joined: what blocks at the edges come to, before they are cut off; and the bias of a
// block.
template <class T>
struct JoinedWorkspace {
    std::array<T*, 2> edges{};
    T* bias = nullptr;
};

template <class T>
JoinedWorkspace<T> carve(Arena& arena, const ConvGeometry& g, const JoinedWidth& width) {
    const index_t block = width.stride * g.in_channels, lines = g.batch * g.axes[0].input * g.axes[1].input;
    JoinedWorkspace<T> workspace;
    for (std::size_t i = 0; i < 2; ++i)
        if (width.edges[i].count > 0) workspace.edges[i] = arena.take<T>(lines * block);
    workspace.bias = arena.take<T>(block);
    return workspace;
}

// Calls visit(product) for the products of each phase of depth and height with some blocks of every line; `target` is
// grad_input, or room for one block of every line.
template <class T, class Visit>
void for_each_joined_product(const ConvGeometry& g, const BackwardInputArguments<T>& arguments,
                             const JoinedWidth& width, const PixelBlocks& blocks, const TensorView<T>& target,
                             const Visit& visit) {
    if (blocks.count == 0) return;
    Window3d lines = g;  // one phase of the width alone
    lines.axes[kAxes - 1].input = 1;
    for_each_backward_map(lines, g.batch, [&](RowMap map) {
        map.axes[kAxes - 1] = width.map_of(g.axes[kAxes - 1], blocks);
        RowProduct<T> product = backward_product(g, arguments, map);
        product.target = target;
        product.columns = width.stride * g.in_channels;
        visit(product);
    });
}

template <class T>
void keep_inside(const ConvGeometry& g, const JoinedWidth& width, const PixelBlocks& edge, const T* blocks,
                 T* grad_input) {
    const index_t first = std::max<index_t>(edge.first, 0), channels = g.in_channels;
    const index_t last = std::min(edge.first + width.stride, g.axes[kAxes - 1].input);
    const index_t lines = g.batch * g.axes[0].input * g.axes[1].input;
    for (index_t line = 0; line < lines; ++line)
        std::copy_n(blocks + (line * width.stride + first - edge.first) * channels, (last - first) * channels,
                    grad_input + (line * g.axes[kAxes - 1].input + first) * channels);
}

template <class T>
void backward_input_joined(const ConvGeometry& g, const BackwardInputArguments<T>& arguments,
                           const JoinedWidth& width) {
    Buffer buffer;
    const auto workspace = carve_buffer(buffer, [&](Arena& arena) { return carve<T>(arena, g, width); });
    BackwardInputArguments<T> joined = arguments;
    if (arguments.bias != nullptr) {
        fill_rows(workspace.bias, width.stride, g.in_channels, arguments.bias);
        joined.bias = workspace.bias;
    }
    const auto target = contiguous_view(arguments.grad_input, g.input_extents(), g.in_channels);
    for_each_joined_product(g, joined, width, width.inside, target, multiply<T>);
    for (std::size_t i = 0; i < 2; ++i) {
        PixelBlocks edge = width.edges[i];
        edge.first = 0;  // of its own array
        const auto apart =
            contiguous_view(workspace.edges[i], {g.axes[0].input, g.axes[1].input, 1}, width.stride * g.in_channels);
        for_each_joined_product(g, joined, width, edge, apart, multiply<T>);
        if (edge.count > 0) keep_inside<T>(g, width, width.edges[i], workspace.edges[i], arguments.grad_input);
    }
}

template <class T>
OuterProduct<T> weight_product(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    OuterProduct<T> product;
    product.source = RowSource<T>::of_map(forward_map(g, g.batch), arguments.input, g.groups == 1, kLongestSum);
    product.right = arguments.grad_output.data;
    if (in_planes(arguments.grad_output)) {
        product.right_plane = arguments.grad_output.channel_stride;
        product.right_image = arguments.grad_output.batch_stride;
    }
    product.right_pitch = g.out_channels;
    product.groups = g.groups;
    product.depth = product.source.joined * g.group_inputs();
    product.columns = g.group_outputs();
    product.sums = arguments.grad_weight;
    product.sums_pitch = g.out_channels;
    return product;
}

// The same sums seen from the input: each of its pixels meets the taps of the output's gradient, which gives the
// gradient of the weight with its channels exchanged, [tap][output][input].
template <class T>
OuterProduct<T> exchanged_product(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments, const RowMap& map,
                                  T* sums) {
    OuterProduct<T> product;
    product.source = RowSource<T>::of_map(map, arguments.grad_output, true, kLongestSum);
    product.right = arguments.input.data;
    product.right_pitch = g.in_channels;
    product.depth = product.source.joined * g.out_channels;
    product.columns = g.in_channels;
    product.sums = sums;
    product.sums_pitch = g.in_channels;
    return product;
}

// Where the input's channels fill vectors better. Measured, AVX-512, 3x3, time without over time with: 64 -> 1 4.3, 64
// -> 3 1.2, 64 -> 8 2.3, 64 -> 12 1.6, 128 -> 20 1.5, 128 -> 40 1.3, 64 -> 60 1.09, 17 -> 16 0.65; float64, 64 ->
// 1 2.0. A single tap is read once either way: 512 -> 10 1.6, 64 -> 2 0.73.
template <class T>
bool exchanges(const ConvGeometry& g, const TensorView<const T>& input, const TensorView<const T>& gradient) {
    constexpr index_t kFewOutputs = 8;
    const index_t lanes = kernels<T>().vector_width, inputs = g.in_channels, outputs = g.out_channels;
    if (g.groups > 1 || outputs * round_up(inputs, lanes) >= inputs * round_up(outputs, lanes)) return false;
    if (in_planes(input) || in_planes(gradient) || (g.taps() == 1 && outputs < kFewOutputs)) return false;
    const TensorView<const T> whole = contiguous_view(input.data, g.input_extents(), g.in_channels);
    for (std::size_t i = 0; i < kAxes; ++i) {
        const Axis& axis = g.axes[i];
        if (axis.stride > 1 || (axis.input > 1 && input.strides[i] != whole.strides[i])) return false;
        if (!axis.windows_meet_input()) return false;  // as they have to (below)
    }
    return g.batch == 1 || input.batch_stride == whole.batch_stride;
}

template <class T>
bool all_finite(const T* values, index_t size) {
    bool all = true;
    for (index_t i = 0; i < size; ++i) all &= std::isfinite(values[i]);
    return all;
}

// Padding is of the gradient here, and of the input else: zero times NaN is NaN elsewhere. Such values reach the sums
// either way, as every window meets the input, so that sums which aren't finite tell; then returns false.
template <class T>
bool backward_weight_exchanged(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    const index_t position_size = g.in_channels * g.out_channels;
    Buffer buffer;
    T* sums = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(g.weight_size()); });
    for_each_backward_map(g, g.batch, [&](const RowMap& map) {  // a single one
        const OuterProduct<T> product = exchanged_product(g, arguments, map, sums);
        sum_products(product);
        const T* from = sums;
        for (index_t tap = 0; tap < product.source.map.taps(); ++tap) {
            for (index_t j = 0; j < product.source.joined; ++j, from += position_size) {
                const index_t position = kernel_position(product.source.map, tap) + j * product.source.kernel_step;
                kernels<T>().copy_block({from, g.in_channels, 1, g.out_channels, g.in_channels,
                                         arguments.grad_weight + position * position_size, g.out_channels, false});
            }
        }
    });
    return all_finite(sums, g.weight_size());
}

template <class T>
void forward(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    multiply(forward_product(g, arguments));
}

template <class T>
void backward_input(const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    const JoinedWidth width(g);
    if (width.taps > 0) return backward_input_joined(g, arguments, width);
    for_each_backward_map(g, g.batch, [&](const RowMap& map) { multiply(backward_product(g, arguments, map)); });
}

template <class T>
void backward_weight(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    if (exchanges(g, arguments.input, arguments.grad_output) && backward_weight_exchanged(g, arguments)) return;
    OuterProduct<T> product = weight_product(g, arguments);
    product.skips_padding = leaves_out_padding(g);
    sum_products(product);
    if (!product.skips_padding || all_finite(arguments.grad_weight, g.weight_size())) return;
    product.skips_padding = false;  // zero times NaN is NaN
    sum_products(product);
}

template <class T>
std::size_t workspace(const ConvGeometry& g, Pass pass) {
    const TensorView<const T> input = contiguous_view<const T>(nullptr, g.input_extents(), g.in_channels);
    const TensorView<const T> gradient = output_view<T>(g, nullptr);
    if (pass == Pass::kForward)
        return workspace_bytes(forward_product<T>(g, {input, nullptr, nullptr, false, nullptr}));
    if (pass == Pass::kBackwardWeight && exchanges(g, input, gradient)) {
        Arena arena;
        arena.take<T>(g.weight_size());
        std::size_t product = 0;
        for_each_backward_map(g, g.batch, [&](const RowMap& map) {
            product = workspace_bytes(exchanged_product<T>(g, {gradient, input, nullptr}, map, nullptr));
        });
        return arena.used() + product;
    }
    if (pass == Pass::kBackwardWeight) return workspace_bytes(weight_product<T>(g, {gradient, input, nullptr}));
    const BackwardInputArguments<T> none{gradient, nullptr, nullptr};
    const JoinedWidth width(g);
    Arena arena;
    std::size_t largest = 0;
    const auto count = [&](const RowProduct<T>& product) { largest = std::max(largest, workspace_bytes(product)); };
    if (width.taps == 0) {
        for_each_backward_map(g, g.batch, [&](const RowMap& map) { count(backward_product<T>(g, none, map)); });
        return largest;
    }
    carve<T>(arena, g, width);
    for_each_joined_product<T>(g, none, width, width.inside, {}, count);
    return largest + arena.used();
}

// Whether one tap stays on its pixel: planes need nothing but a transposition then, block by block, which is made in
// the caches. Where rows are few, many tasks share them, and each would make its own. Measured, Zen 3, time over time
// with a copy of the whole, of 64 to 1024 channels at 56x56 to 14x14: forward 0.67 to 0.94, gradient of the input 0.67
// to 0.94, of the weight 0.5 to 0.87.
template <class T>
bool stays(const ConvGeometry& g, index_t channels) {
    constexpr index_t kFewestPixels = 1024, kLongestRow = 16384;  // bytes
    const auto moves = [](const Axis& axis) {
        return axis.kernel > 1 || axis.stride > 1 || axis.pad_before != 0 || axis.pad_after != 0;
    };
    return std::none_of(g.axes.begin(), g.axes.end(), moves) && g.output_rows() >= kFewestPixels &&
           channels * static_cast<index_t>(sizeof(T)) <= kLongestRow;
}

// The right-hand side of a sum of products is packed, but for some of few rows.
template <class T>
bool reads_planes(const ConvGeometry& g, Pass pass, Operand operand) {
    if (pass == Pass::kBackwardWeight) {
        const auto input = contiguous_view<const T>(nullptr, g.input_extents(), g.in_channels);
        if (exchanges(g, input, output_view<T>(g, nullptr))) return false;
        if (operand == Operand::kGradOutput) return true;
    }
    return stays<T>(g, operand == Operand::kInput ? g.in_channels : g.out_channels);
}

bool supports(const ConvGeometry&, Pass) { return true; }

const char* prefers(const ConvGeometry&, Pass) { return "no patch matrix: the fastest general algorithm"; }

}  // namespace

// Where that is worth looking through the results. What isn't finite and meets padding alone would be missed, but every
// window meets the input as well. Rows of joined taps are copied with zeros, and an exchanged sum looks for itself.
bool leaves_out_padding(const ConvGeometry& g) {
    constexpr double kWorthwhile = 0.95;
    constexpr index_t kFewestRows = 512, kLongestVector = 16;
    const Axis& width = g.axes[2];
    const bool may_join = width.kernel > 1 && width.dilation == 1 && width.kernel * g.in_channels <= kLongestSum;
    const bool may_exchange = g.out_channels % kLongestVector != 0;
    if (g.groups == 1 && (may_join || may_exchange)) return false;
    return g.output_rows() >= kFewestRows && g.share_inside() < kWorthwhile &&
           lays_out_channels(g.groups, g.group_outputs(), g.in_channels) &&
           std::all_of(g.axes.begin(), g.axes.end(), [](const Axis& axis) { return axis.windows_meet_input(); });
}

template <class T>
void multiply_phase(const ConvGeometry& g, const BackwardInputArguments<T>& arguments, const RowMap& phase) {
    multiply(backward_product(g, arguments, phase));
}

template <class T>
std::size_t phase_workspace(const ConvGeometry& g, const RowMap& phase) {
    return workspace_bytes(backward_product<T>(g, {output_view<T>(g, nullptr), nullptr, nullptr}, phase));
}

template <class T>
const Algorithm<T>& direct_algorithm() {
    static const Algorithm<T> algorithm{"direct",          supports,           prefers, workspace<T>,   forward<T>,
                                        backward_input<T>, backward_weight<T>, true,    reads_planes<T>};
    return algorithm;
}

template void multiply_phase(const ConvGeometry&, const BackwardInputArguments<float>&, const RowMap&);
template void multiply_phase(const ConvGeometry&, const BackwardInputArguments<double>&, const RowMap&);
template std::size_t phase_workspace<float>(const ConvGeometry&, const RowMap&);
template std::size_t phase_workspace<double>(const ConvGeometry&, const RowMap&);
template const Algorithm<float>& direct_algorithm();
template const Algorithm<double>& direct_algorithm();

}  // namespace fastconv
