#include "core/geometry.h"

#include <algorithm>
#include <stdexcept>

#include "core/arithmetic.h"

namespace fastconv {
namespace {

// Bounds every argument so that sums and products of a few of them stay inside 64 bits.
constexpr index_t kLargest = 2147483647;

void check_range(const std::string& operation, const char* name, index_t value, index_t smallest) {
    if (value < smallest || value > kLargest) {
        fail(operation, std::string(name) + " must be between " + std::to_string(smallest) + " and " +
                            std::to_string(kLargest) + ", got " + std::to_string(value));
    }
}

PaddingRule parse_padding(const std::string& operation, const std::string& name, int rank) {
    if (name.empty()) return PaddingRule::kExplicit;
    if (name == "valid") return PaddingRule::kValid;
    if (name == "same") return PaddingRule::kSame;
    if (name == "same_lower") return PaddingRule::kSameLower;
    if (name == "full") return PaddingRule::kFull;
    if (name == "causal" && rank == 1) return PaddingRule::kCausal;
    fail(operation,
         "padding must be an integer, a pair per axis, 'valid', 'same', 'same_lower', 'full' or (1-D only) "
         "'causal', got '" +
             name + "'");
}

void resolve_padding(PaddingRule mode, Axis& axis) {
    const index_t reach = axis.window() - 1;
    switch (mode) {
        case PaddingRule::kExplicit:
            return;
        case PaddingRule::kValid:
            axis.pad_before = axis.pad_after = 0;
            return;
        case PaddingRule::kFull:
            axis.pad_before = axis.pad_after = reach;
            return;
        case PaddingRule::kCausal:
            axis.pad_before = reach, axis.pad_after = 0;
            return;
        case PaddingRule::kSame:
        case PaddingRule::kSameLower: {
            const index_t outputs = ceil_div(axis.input, axis.stride);
            const index_t total = std::max<index_t>((outputs - 1) * axis.stride + reach + 1 - axis.input, 0);
            const index_t smaller_half = total / 2;
            axis.pad_before = mode == PaddingRule::kSame ? smaller_half : total - smaller_half;
            axis.pad_after = total - axis.pad_before;
            return;
        }
    }
}

// Fills in the axes from the window's arguments, the spatial extents and the kernel's.
void derive_axes(const Sliding& sliding, const index_t* extents, const index_t* kernel, const char* kernel_name,
                 Window3d& window) {
    window.rank = sliding.rank;
    index_t taps = 1;
    for (int i = 0; i < sliding.rank; ++i) {
        Axis& axis = window.axes[kAxes - sliding.rank + i];
        axis.input = extents[i];
        axis.kernel = kernel[i];
        check_range(sliding.operation, kernel_name, axis.kernel, 1);
        if (axis.kernel > kLargest / taps) {
            fail(sliding.operation, std::string(kernel_name) + " " + to_string(Shape(kernel, kernel + sliding.rank)) +
                                        " has more than " + std::to_string(kLargest) + " positions");
        }
        taps *= axis.kernel;
        axis.stride = sliding.stride[i] == 0 ? axis.kernel : sliding.stride[i];
        axis.dilation = sliding.dilation[i];
        axis.pad_before = sliding.pad_before[i];
        axis.pad_after = sliding.pad_after[i];
        resolve_padding(sliding.padding, axis);

        const index_t padded = axis.input + axis.pad_before + axis.pad_after;
        const index_t room = padded - axis.window();
        if (room < 0) {
            fail(sliding.operation, "the window of axis " + std::to_string(i) + " spans " +
                                        std::to_string(axis.window()) + " (kernel size " + std::to_string(axis.kernel) +
                                        ", dilation " + std::to_string(axis.dilation) +
                                        "), but the padded input has only " + std::to_string(padded));
        }
        axis.output = room / axis.stride + 1;
        if (sliding.ceil_mode && room % axis.stride != 0 && axis.output * axis.stride < axis.input + axis.pad_before) {
            ++axis.output;
        }
    }
}

void check_input_rank(const std::string& operation, int rank, const Shape& input) {
    if (static_cast<int>(input.size()) != rank + 2) {
        fail(operation, "input must have " + std::to_string(rank + 2) + " axes (batch, " + std::to_string(rank) +
                            " spatial, channels) or " + std::to_string(rank + 1) + " without the batch, got shape " +
                            to_string(input));
    }
    for (const index_t extent : input)
        if (extent < 0) fail(operation, "input must not have a negative extent, got shape " + to_string(input));
}

Shape spatial_shape(const Window3d& window, index_t batch, index_t Axis::* extent, index_t channels) {
    Shape shape;
    shape.reserve(kAxes + 2);
    shape.push_back(batch);
    for (int i = kAxes - window.rank; i < kAxes; ++i) shape.push_back(window.axes[i].*extent);
    shape.push_back(channels);
    return shape;
}

PaddingMode parse_padding_mode(const std::string& operation, const std::string& name) {
    if (name == "zeros") return PaddingMode::kZeros;
    if (name == "reflect") return PaddingMode::kReflect;
    if (name == "replicate") return PaddingMode::kReplicate;
    if (name == "circular") return PaddingMode::kCircular;
    fail(operation, "padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got '" + name + "'");
}

// How far padding may reach: a reflection never shows the edge itself twice, and nothing is repeated a second time.
void check_padding_mode(const Sliding& sliding, PaddingMode mode, const Window3d& window) {
    for (int i = 0; i < window.rank; ++i) {
        const Axis& axis = window.axes[kAxes - window.rank + i];
        const index_t padding = std::max(axis.pad_before, axis.pad_after);
        const char* name = mode == PaddingMode::kReflect ? "reflect" : "circular";
        index_t most = axis.input == 0 ? 0 : kLargest;
        if (mode == PaddingMode::kReflect) most = std::max<index_t>(axis.input - 1, 0);
        if (mode == PaddingMode::kCircular) most = axis.input;
        if (mode == PaddingMode::kReplicate) name = "replicate";
        if (padding > most) {
            fail(sliding.operation, "padding_mode '" + std::string(name) + "' takes a padding of at most " +
                                        std::to_string(most) + " along axis " + std::to_string(i) +
                                        ", whose extent is " + std::to_string(axis.input) + ", got " +
                                        std::to_string(padding));
        }
    }
}

void check_weight_rank(const Sliding& sliding, const Shape& weight, const char* channels) {
    if (static_cast<int>(weight.size()) != sliding.rank + 2) {
        fail(sliding.operation, "weight must have " + std::to_string(sliding.rank + 2) + " axes (" +
                                    std::to_string(sliding.rank) + " of the kernel, " + channels + "), got shape " +
                                    to_string(weight));
    }
}

void check_groups(const Sliding& sliding, index_t groups, index_t in_channels, index_t out_channels,
                  const Shape& weight) {
    if (in_channels % groups != 0 || out_channels % groups != 0) {
        fail(sliding.operation, "groups must divide the channels, but groups=" + std::to_string(groups) +
                                    ", input has " + std::to_string(in_channels) + " channels and weight " +
                                    to_string(weight) + " has " + std::to_string(out_channels) + " out_channels");
    }
}

[[noreturn]] void fail_channels(const Sliding& sliding, index_t channels, const Shape& weight, index_t groups,
                                index_t expected) {
    fail(sliding.operation, "input has " + std::to_string(channels) + " channels, but weight " + to_string(weight) +
                                " with groups=" + std::to_string(groups) + " expects " + std::to_string(expected));
}

// The extent of a transposed convolution's output along an axis.
index_t transposed_extent(const TransposedWindow& window, int i, index_t input, index_t kernel) {
    const std::string& operation = window.operation;
    const index_t stride = window.stride[i], more = window.output_padding[i];
    check_range(operation, "an extent of the input", input, 0);
    check_range(operation, "kernel size", kernel, 1);
    const bool same = window.padding == PaddingRule::kSame || window.padding == PaddingRule::kSameLower;
    if (more >= std::max(stride, window.dilation[i]) || (same && more != 0)) {
        fail(operation, same ? "output_padding must be 0 where padding is 'same', got " + std::to_string(more)
                             : "output_padding must be smaller than stride or dilation, which are " +
                                   std::to_string(stride) + " and " + std::to_string(window.dilation[i]) +
                                   " along axis " + std::to_string(i) + ", got " + std::to_string(more));
    }
    if (same) return input * stride;
    Axis axis;
    axis.kernel = kernel;
    axis.dilation = window.dilation[i];
    axis.pad_before = window.pad_before[i];
    axis.pad_after = window.pad_after[i];
    resolve_padding(window.padding, axis);
    const index_t extent = (input - 1) * stride + axis.window() - axis.pad_before - axis.pad_after + more;
    if (extent < 1 || input < 1) {
        fail(operation, "the output would have an extent of " + std::to_string(extent) + " along axis " +
                            std::to_string(i) + " (input " + std::to_string(input) + ", stride " +
                            std::to_string(stride) + ", window " + std::to_string(axis.window()) + ", padding " +
                            std::to_string(axis.pad_before) + " + " + std::to_string(axis.pad_after) + ")");
    }
    return extent;
}

}  // namespace

std::string to_string(const Shape& shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

void fail(const std::string& operation, const std::string& message) {
    throw std::invalid_argument(operation + ": " + message);
}

index_t checked_size(const std::string& operation, const Shape& shape) {
    constexpr index_t kAddressable = index_t{1} << 59;  // elements of eight bytes
    index_t size = 1;
    for (const index_t extent : shape) {
        if (__builtin_mul_overflow(size, extent, &size) || size > kAddressable)
            fail(operation, "an array of shape " + to_string(shape) + " is too large to address");
    }
    return size;
}

Sliding::Sliding(std::string operation_name, int window_rank, const Shape& strides, const Shape& dilations,
                 const std::string& padding_name, const Shape& before, const Shape& after, bool ceil)
    : operation(std::move(operation_name)),
      rank(window_rank),
      stride{},
      dilation{},
      pad_before{},
      pad_after{},
      padding(parse_padding(operation, padding_name, window_rank)),
      ceil_mode(ceil) {
    for (int i = 0; i < rank; ++i) {
        if (!strides.empty()) check_range(operation, "stride", strides[i], 1);
        check_range(operation, "dilation", dilations[i], 1);
        check_range(operation, "padding", before[i], 0);
        check_range(operation, "padding", after[i], 0);
        stride[i] = strides.empty() ? 0 : strides[i];
        dilation[i] = dilations[i];
        pad_before[i] = before[i];
        pad_after[i] = after[i];
    }
}

double Axis::share_inside() const {
    index_t inside = 0;
    for (index_t tap = 0; tap < kernel; ++tap) {
        const index_t low = pad_before - tap * dilation;  // the first output at or after low / stride
        const index_t first = std::clamp<index_t>(ceil_div(std::max<index_t>(low, 0), stride), 0, output);
        const index_t last = ceil_div(std::max<index_t>(low + input, 0), stride);
        inside += std::max<index_t>(std::min(last, output) - first, 0);
    }
    return static_cast<double>(inside) / static_cast<double>(output * kernel);
}

double Window3d::share_inside() const {
    return axes[0].share_inside() * axes[1].share_inside() * axes[2].share_inside();
}

index_t Window3d::taps() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
index_t Window3d::input_pixels() const { return axes[0].input * axes[1].input * axes[2].input; }
index_t Window3d::output_pixels() const { return axes[0].output * axes[1].output * axes[2].output; }

ConvWindow::ConvWindow(Sliding sliding, index_t group_count, const std::string& mode)
    : Sliding(std::move(sliding)), groups(group_count), padding_mode(parse_padding_mode(operation, mode)) {
    check_range(operation, "groups", groups, 1);
}

TransposedWindow::TransposedWindow(ConvWindow window, Shape padding)
    : ConvWindow(std::move(window)), output_padding(std::move(padding)) {
    for (const index_t more : output_padding) check_range(operation, "output_padding", more, 0);
}

ConvGeometry::ConvGeometry(const Sliding& sliding, const Shape& input, const Shape& weight, index_t group_count)
    : groups(group_count) {
    check_input_rank(sliding.operation, sliding.rank, input);
    check_weight_rank(sliding, weight, "in_channels // groups, out_channels");
    batch = input.front();
    in_channels = input.back();
    out_channels = weight.back();
    check_groups(sliding, groups, in_channels, out_channels, weight);
    const index_t expected = checked_size(sliding.operation, {weight[sliding.rank], groups});
    if (expected != in_channels) fail_channels(sliding, in_channels, weight, groups, expected);
    derive_axes(sliding, input.data() + 1, weight.data(), "kernel size", *this);
    checked_size(sliding.operation, output_shape());
}

ConvGeometry::ConvGeometry(const ConvWindow& window, const Shape& input, const Shape& weight)
    : ConvGeometry(window, input, weight, window.groups) {
    padding_mode = window.padding_mode;
    if (padding_mode != PaddingMode::kZeros) check_padding_mode(window, padding_mode, *this);
}

ConvGeometry ConvGeometry::transposed(const TransposedWindow& window, const Shape& input, const Shape& weight) {
    check_input_rank(window.operation, window.rank, input);
    check_weight_rank(window, weight, "out_channels // groups, in_channels");
    const index_t out = checked_size(window.operation, {weight[window.rank], window.groups});
    check_groups(window, window.groups, input.back(), out, weight);
    if (weight.back() != input.back()) fail_channels(window, input.back(), weight, window.groups, weight.back());
    Shape output = input;
    output.back() = out;
    for (int i = 0; i < window.rank; ++i) output[i + 1] = transposed_extent(window, i, input[i + 1], weight[i]);
    checked_size(window.operation, output);

    ConvGeometry geometry(window, output, weight);
    // Where output_padding has room for a whole window more, nothing meets it.
    for (int i = 0; i < window.rank; ++i) geometry.axes[kAxes - window.rank + i].output = input[i + 1];
    return geometry;
}

double ConvGeometry::operations() const {
    return 2.0 * static_cast<double>(output_rows()) * static_cast<double>(weight_size());
}

Shape ConvGeometry::input_shape() const { return spatial_shape(*this, batch, &Axis::input, in_channels); }
Shape ConvGeometry::output_shape() const { return spatial_shape(*this, batch, &Axis::output, out_channels); }

PoolGeometry::PoolGeometry(const PoolWindow& window, const Shape& input) {
    check_input_rank(window.operation, window.rank, input);
    batch = input.front();
    channels = input.back();
    derive_axes(window, input.data() + 1, window.kernel.data(), "kernel_size", *this);
    checked_size(window.operation, output_shape());
}

AdaptiveGeometry::AdaptiveGeometry(const std::string& operation, const Shape& output_size, const Shape& input) {
    rank = static_cast<int>(output_size.size());
    check_input_rank(operation, rank, input);
    batch = input.front();
    channels = input.back();
    for (int i = 0; i < rank; ++i) {
        Axis& axis = axes[static_cast<std::size_t>(kAxes - rank + i)];
        axis.input = input[static_cast<std::size_t>(i) + 1];
        axis.output = output_size[static_cast<std::size_t>(i)];
        check_range(operation, "output_size", axis.output, 0);
        check_range(operation, "the extent of an axis", axis.input, axis.output == 0 ? 0 : 1);
    }
    checked_size(operation, output_shape());
}

Shape PooledShape::output_shape() const { return spatial_shape(*this, batch, &Axis::output, channels); }

}  // namespace fastconv
