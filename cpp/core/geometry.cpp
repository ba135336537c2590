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

PaddingMode parse_padding(const std::string& operation, const std::string& name, int rank) {
    if (name.empty()) return PaddingMode::kExplicit;
    if (name == "valid") return PaddingMode::kValid;
    if (name == "same") return PaddingMode::kSame;
    if (name == "same_lower") return PaddingMode::kSameLower;
    if (name == "full") return PaddingMode::kFull;
    if (name == "causal" && rank == 1) return PaddingMode::kCausal;
    fail(operation,
         "padding must be an integer, a pair per axis, 'valid', 'same', 'same_lower', 'full' or (1-D only) "
         "'causal', got '" +
             name + "'");
}

void resolve_padding(PaddingMode mode, Axis& axis) {
    const index_t reach = axis.window() - 1;
    switch (mode) {
        case PaddingMode::kExplicit:
            return;
        case PaddingMode::kValid:
            axis.pad_before = axis.pad_after = 0;
            return;
        case PaddingMode::kFull:
            axis.pad_before = axis.pad_after = reach;
            return;
        case PaddingMode::kCausal:
            axis.pad_before = reach, axis.pad_after = 0;
            return;
        case PaddingMode::kSame:
        case PaddingMode::kSameLower: {
            const index_t outputs = ceil_div(axis.input, axis.stride);
            const index_t total = std::max<index_t>((outputs - 1) * axis.stride + reach + 1 - axis.input, 0);
            const index_t smaller_half = total / 2;
            axis.pad_before = mode == PaddingMode::kSame ? smaller_half : total - smaller_half;
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

void check_input_rank(const Sliding& sliding, const Shape& input) {
    if (static_cast<int>(input.size()) != sliding.rank + 2) {
        fail(sliding.operation, "input must have " + std::to_string(sliding.rank + 2) + " axes (batch, " +
                                    std::to_string(sliding.rank) + " spatial, channels) or " +
                                    std::to_string(sliding.rank + 1) + " without the batch, got shape " +
                                    to_string(input));
    }
    for (const index_t extent : input)
        if (extent < 0) fail(sliding.operation, "input must not have a negative extent, got shape " + to_string(input));
}

Shape spatial_output_shape(const Window3d& window, index_t batch, index_t channels) {
    Shape shape;
    shape.reserve(kAxes + 2);
    shape.push_back(batch);
    for (int i = kAxes - window.rank; i < kAxes; ++i) shape.push_back(window.axes[i].output);
    shape.push_back(channels);
    return shape;
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

index_t Window3d::taps() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
index_t Window3d::input_pixels() const { return axes[0].input * axes[1].input * axes[2].input; }
index_t Window3d::output_pixels() const { return axes[0].output * axes[1].output * axes[2].output; }

ConvGeometry::ConvGeometry(const Sliding& sliding, const Shape& input, const Shape& weight, index_t group_count)
    : groups(group_count) {
    const std::string& operation = sliding.operation;
    check_input_rank(sliding, input);
    if (static_cast<int>(weight.size()) != sliding.rank + 2) {
        fail(operation, "weight must have " + std::to_string(sliding.rank + 2) + " axes (" +
                            std::to_string(sliding.rank) +
                            " of the kernel, in_channels // groups, out_channels), "
                            "got shape " +
                            to_string(weight));
    }
    check_range(operation, "groups", groups, 1);
    batch = input.front();
    in_channels = input.back();
    out_channels = weight.back();
    if (in_channels < 1) fail(operation, "input must have at least 1 channel, got shape " + to_string(input));
    if (out_channels < 1) fail(operation, "weight must have at least 1 out_channel, got shape " + to_string(weight));
    if (in_channels % groups != 0 || out_channels % groups != 0) {
        fail(operation, "groups must divide the channels, but groups=" + std::to_string(groups) + ", input has " +
                            std::to_string(in_channels) + " channels and weight " + to_string(weight) + " has " +
                            std::to_string(out_channels) + " out_channels");
    }
    const index_t weight_inputs = weight[sliding.rank];
    if (weight_inputs * groups != in_channels) {
        fail(operation, "input has " + std::to_string(in_channels) + " channels, but weight " + to_string(weight) +
                            " with groups=" + std::to_string(groups) + " expects " +
                            std::to_string(weight_inputs * groups));
    }
    derive_axes(sliding, input.data() + 1, weight.data(), "kernel size", *this);
    checked_size(operation, output_shape());
}

double ConvGeometry::operations() const {
    return 2.0 * static_cast<double>(output_rows()) * static_cast<double>(weight_size());
}

Shape ConvGeometry::output_shape() const { return spatial_output_shape(*this, batch, out_channels); }

PoolGeometry::PoolGeometry(const PoolWindow& window, const Shape& input) {
    check_input_rank(window, input);
    batch = input.front();
    channels = input.back();
    derive_axes(window, input.data() + 1, window.kernel.data(), "kernel_size", *this);
    checked_size(window.operation, output_shape());
}

Shape PoolGeometry::output_shape() const { return spatial_output_shape(*this, batch, channels); }

}  // namespace fastconv
