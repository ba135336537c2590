// Grouped convolution with few channels per group; depthwise convolution is that of one channel per group (Sifre,
// "Rigid-motion scattering for image classification", 2014; Chollet, "Xception", 2017, section 1).
//
// A group's matrices are too small to be worth a matrix product. So vectors run across the groups: lane by lane, an
// output channel meets the i-th input channel of its group. Seen that way the weight needs no other layout, and the
// three passes are those of a depthwise convolution with group_inputs taps for one:
//
//   forward          output[r, k]        = sum over tap, i of input[map(r, tap), i-th of k's group] weight[tap, i, k]
//   backward_input   grad_input[r, c]    = the same with the maps read backwards, and the weight of each group
//   transposed backward_weight  grad_weight[tap, i, k] = sum over r of input[map(r, tap), i-th of k's group]
//   grad_output[r, k]
#include <algorithm>

#include "conv/algorithm.h"
#include "core/isa.h"
#include "core/memory.h"
#include "elementwise/copy.h"
#include "gemm/lane_product.h"

namespace fastconv {
namespace {

template <class T>
LaneProduct<T> forward_product(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    LaneProduct<T> product;
    product.source = {forward_map(g, g.batch), arguments.input, g.groups, g.group_inputs(), g.group_outputs()};
    product.target = contiguous_view(arguments.output, g.output_extents(), g.out_channels);
    product.weight = arguments.weight;
    product.bias = arguments.bias;
    product.relu = arguments.relu;
    return product;
}

// The lanes are the input channels now, and each sees the output channels of its group.
template <class T>
LaneProduct<T> backward_product(const ConvGeometry& g, const BackwardInputArguments<T>& arguments, const T* weight) {
    LaneProduct<T> product;
    product.source = {RowMap{}, arguments.grad_output, g.groups, g.group_outputs(), g.group_inputs()};
    product.target = contiguous_view(arguments.grad_input, g.input_extents(), g.in_channels);
    product.weight = weight;
    product.bias = arguments.bias;
    product.relu = arguments.relu;
    return product;
}

// Whether pixels share a few sets of L1 and each of their vectors lies in two lines of the cache, as arrays of NumPy
// mostly begin inside of one. (Those of a question, which has none, count as such: copies take more memory.)
template <class T>
bool aliases_inside_lines(const TensorView<const T>& pixels) {
    constexpr std::uintptr_t kLine = 64;
    constexpr index_t kAliased = 1024;
    const bool aliases = pixels.strides[2] * static_cast<index_t>(sizeof(T)) % kAliased == 0;
    return aliases && (pixels.data == nullptr || reinterpret_cast<std::uintptr_t>(pixels.data) % kLine != 0);
}

// Segments load the values of both sides again, each from two lines of the cache where pixels begin inside of one.
// Measured, 31 taps, time over time with copies: 256 channels 1.4, 240 0.9, 128 0.97.
template <class T>
LaneOuterProduct<T> weight_product(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    LaneOuterProduct<T> product;
    product.source = {forward_map(g, g.batch), arguments.input, g.groups, g.group_inputs(), g.group_outputs()};
    product.right = arguments.grad_output;
    product.sums = arguments.grad_weight;
    product.source.aligns = aliases_inside_lines(arguments.input) || aliases_inside_lines(arguments.grad_output);
    return product;
}

// transposed[tap][o][g, i] = weight[tap][i][g, o]; the same array where there is one of each.
bool needs_spreading(const ConvGeometry& g) { return g.group_inputs() > 1 || g.group_outputs() > 1; }

template <class T>
void transpose_groups(const ConvGeometry& g, const T* weight, T* transposed) {
    const index_t inputs = g.group_inputs(), outputs = g.group_outputs();
    for (index_t tap = 0; tap < g.taps(); ++tap, weight += inputs * g.out_channels)
        for (index_t o = 0; o < outputs; ++o)
            for (index_t group = 0; group < g.groups; ++group)
                for (index_t i = 0; i < inputs; ++i) *transposed++ = weight[i * g.out_channels + group * outputs + o];
}

// Lines are spread from pixels alone. reads_planes() says so; but another thread may have changed the instruction set
// since, and with it which lines are spread.
template <class T>
void lay_out_if_spread(const std::array<index_t, kAxes>& extents, index_t batch, LaneSource<T>& source, Buffer& copy) {
    if (in_planes(source.tensor) && source.spreads()) source.tensor = laid_out(source.tensor, batch, extents, copy);
}

template <class T>
void forward(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    LaneProduct<T> product = forward_product(g, arguments);
    Buffer copy;
    lay_out_if_spread(g.input_extents(), g.batch, product.source, copy);
    multiply(product);
}

template <class T>
void backward_input(const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    const T* weight = arguments.weight;
    Buffer buffer;
    if (needs_spreading(g)) {
        T* transposed = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(g.weight_size()); });
        transpose_groups(g, arguments.weight, transposed);
        weight = transposed;
    }
    LaneProduct<T> product = backward_product(g, arguments, weight);
    Buffer copy;
    lay_out_if_spread(g.output_extents(), g.batch, product.source, copy);
    for_each_backward_map(g, g.batch, [&](const RowMap& map) {
        product.source.map = map;
        multiply(product);
    });
}

template <class T>
void backward_weight(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    LaneOuterProduct<T> product = weight_product(g, arguments);
    Buffer copy;
    lay_out_if_spread(g.input_extents(), g.batch, product.source, copy);
    sum_products(product);
}

template <class T>
std::size_t workspace(const ConvGeometry& g, Pass pass) {
    const TensorView<const T> input = contiguous_view<const T>(nullptr, g.input_extents(), g.in_channels);
    if (pass == Pass::kForward)
        return workspace_bytes(forward_product<T>(g, {input, nullptr, nullptr, false, nullptr}));
    if (pass == Pass::kBackwardWeight)
        return workspace_bytes(weight_product<T>(g, {output_view<T>(g, nullptr), input, nullptr}));
    LaneProduct<T> product = backward_product<T>(g, {output_view<T>(g, nullptr), nullptr, nullptr}, nullptr);
    std::size_t largest = 0;
    for_each_backward_map(g, g.batch, [&](const RowMap& map) {
        product.source.map = map;
        largest = std::max(largest, workspace_bytes(product));
    });
    Arena arena;
    if (needs_spreading(g)) arena.take<T>(g.weight_size());
    return largest + arena.used();
}

// Lines can be laid out anew one by one, where each is used for few taps and in one product, and isn't so short that
// planes are read in scraps. Measured, Zen 3, depthwise 3x3, time over time with a copy of the whole: gradient of the
// weight 8x56x56x128 (13 MB) 0.54, 8x28x28x256 0.5, 8x14x14x512 (3 MB) 0.62 to 0.76, 8x7x7x512 1.18, with 31x31 taps
// 1.2; the other passes read one operand only, and write: 13 MB 0.6 to 0.7, 6 MB 0.8 to 1.1, 3 MB 1.3 to 2; stride 2,
// gradient of the input 1.18. In one dimension, Zen 4, 1x160000x64, 9 taps: 0.6, 0.6, 0.42.
template <class T>
bool reads_planes(const ConvGeometry& g, Pass pass, Operand operand) {
    constexpr index_t kMostTaps = kManyTaps - 1, kShortestLine = 14, kFewestBytes = index_t{8} << 20;
    const auto strided = [](const Axis& axis) { return axis.stride > 1; };
    const bool input = operand == Operand::kInput;
    const index_t values = input ? g.input_rows() * g.in_channels : g.output_rows() * g.out_channels,
                  line = input ? g.axes[2].input : g.axes[2].output;
    const TensorView<const T> view = contiguous_view<const T>(nullptr, g.input_extents(), g.in_channels);
    const LaneSource<T> source = forward_product<T>(g, {view, nullptr, nullptr, false, nullptr}).source;
    if (g.taps() > kMostTaps || line < kShortestLine) return false;
    if (line > kMostPackedPositions && !source.is_line()) return false;
    if (pass != Pass::kBackwardWeight && values * static_cast<index_t>(sizeof(T)) < kFewestBytes) return false;
    if (input) return source.packable();
    if (pass == Pass::kBackwardWeight) return true;
    if (std::any_of(g.axes.begin(), g.axes.end(), strided)) return false;  // several products
    LaneProduct<T> product = backward_product<T>(g, {output_view<T>(g, nullptr), nullptr, nullptr}, nullptr);
    for_each_backward_map(g, g.batch, [&](const RowMap& map) { product.source.map = map; });
    return product.source.packable();
}

constexpr index_t kMostChannels = 16;  // of a group, which lines are spread for

// Any convolution is a grouped one; but a line spread over the lanes of large groups is a lot of memory.
bool supports(const ConvGeometry& g, Pass) {
    constexpr double kMostSpreadValues = 1 << 24;
    double values = static_cast<double>(g.group_inputs()) * static_cast<double>(g.group_outputs());
    for (const Axis& axis : g.axes) values *= static_cast<double>(std::max(axis.input, axis.output));
    return !needs_spreading(g) || values < kMostSpreadValues;
}

// From a whole vector of channels per group on, a matrix product fills it. Measured, two cores of a Zen 4 with AVX-512,
// GFLOP/s of forward and gradient of the input, direct and grouped: 3x3, 32 groups of 4: 30/35 and 166/143; of 8: 63/68
// and 113/126; of 8 with stride 2, where a loaded value meets fewer taps: 50/43 and 50/97. A single vector is the
// fewest that it fills. AVX2, time of direct over grouped: groups of 8, stride 1 0.7 to 0.9 in all passes; stride 2 0.9
// to 1.06, 1.5 to 1.6, 0.5; float64, groups of 4, stride 1 1.2, 1.15 to 1.4, 0.8; stride 2 1.0, 1.95, 0.75. Gradients
// of the weight take vectors of half the length where those are filled: groups of 8 0.9, with stride 2 0.5, float64,
// groups of 4 1.6 and 0.75.
template <class T>
bool fills_too_little(const ConvGeometry& g, Pass pass) {
    constexpr index_t kShortVector = 4, kMostLanes = 8, kFewestInputs = 4;
    const index_t lanes = pass == Pass::kBackwardInput ? g.group_inputs() : g.group_outputs(),
                  width = kernels<T>().vector_width;
    const bool strided = std::any_of(g.axes.begin(), g.axes.end(), [](const Axis& axis) { return axis.stride > 1; });
    const bool fills_shorter = lanes < width && lanes == kernels_of_columns<T>(lanes).vector_width;
    if (pass == Pass::kBackwardWeight && fills_shorter && g.group_inputs() >= kFewestInputs &&
        (strided || lanes == kMostLanes))
        return false;
    if (lanes != width || lanes > kMostLanes || pass == Pass::kBackwardWeight) return lanes < width;
    return width <= kShortVector || (pass == Pass::kBackwardInput && strided);
}

// Where lines have to be spread, each value that this writes meets few products. Measured, Zen 4, three passes, time of
// direct over grouped, AVX-512: groups of 5 1.2, 1.2, 0.95, of 6 1.5, 1.5, 1.1, of 7 0.75, 0.75, 0.55, of 9 to 14 0.4
// to 0.65; with stride 2 of 3 1.7, 2, 1.6, of 5 0.6, 0.7, 0.5, of 14 0.2; 5x5 of 5 1.6, of 7 1.0, 1.0, 0.9, of 9 to 14
// 0.6 to 0.9. AVX2: of 3 1.8, of 5 0.65, 0.65, 0.5, of 7 0.5, 0.45, 0.4; 5x5 of 5 0.85, 0.8, 0.6.
template <class T>
bool spreads_for_little(const ConvGeometry& g, Pass pass) {
    constexpr index_t kFewest = 5, kMany = 8, kFilled = 24;
    const bool backward = pass == Pass::kBackwardInput;
    LaneSource<T> source;
    source.group_inputs = backward ? g.group_outputs() : g.group_inputs();
    source.group_outputs = backward ? g.group_inputs() : g.group_outputs();
    if (!source.spreads() || std::min(g.group_inputs(), g.group_outputs()) < kFewest) return false;
    index_t values = 1;
    for (const Axis& axis : g.axes) values *= axis.stride;
    const index_t lanes = source.group_outputs;
    return lanes >= kMany || g.taps() * source.table->vector_width < kFilled * lanes * values;
}

template <class T>
const char* prefers(const ConvGeometry& g, Pass pass) {
    if (g.groups > 1 && std::max(g.group_inputs(), g.group_outputs()) <= kMostChannels &&
        fills_too_little<T>(g, pass) && !spreads_for_little<T>(g, pass))
        return "few channels per group: vectors run across the groups";
    return nullptr;
}

}  // namespace

template <class T>
const Algorithm<T>& grouped_algorithm() {
    static const Algorithm<T> algorithm{"grouped",         supports,           prefers<T>, workspace<T>,   forward<T>,
                                        backward_input<T>, backward_weight<T>, true,       reads_planes<T>};
    return algorithm;
}

template const Algorithm<float>& grouped_algorithm();
template const Algorithm<double>& grouped_algorithm();

}  // namespace fastconv
