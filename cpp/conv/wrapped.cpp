#include "conv/wrapped.h"

#include <algorithm>

#include "core/memory.h"
#include "core/row_map.h"
#include "core/threads.h"

namespace fastconv {
namespace {

// Rows of a product: enough to fill it, few enough to stay in L2.
constexpr index_t kRows = 1024;

// The position of the input that stands at a position of the padding.
index_t stand_in(PaddingMode mode, index_t position, index_t extent) {
    switch (mode) {
        case PaddingMode::kReflect:
            return position < 0 ? -position : 2 * (extent - 1) - position;
        case PaddingMode::kReplicate:
            return std::clamp<index_t>(position, 0, extent - 1);
        case PaddingMode::kCircular:
            return position < 0 ? position + extent : position - extent;
        case PaddingMode::kZeros:
            break;
    }
    return position;
}

// The outputs of an axis for which a tap lies inside: [first, last).
struct Inside {
    index_t first, last;
};

Inside inside_of(const Axis& axis, index_t tap) {
    const index_t start = tap * axis.dilation - axis.pad_before;  // of output 0
    const index_t first = start >= 0 ? 0 : std::min(ceil_div(-start, axis.stride), axis.output);
    const index_t last = start >= axis.input ? 0 : ceil_div(axis.input - start, axis.stride);
    return {first, std::clamp(last, first, axis.output)};
}

// An output pixel, and the pixel of the input that a tap meets there by way of the padding: both counted in an image.
struct Meeting {
    index_t output, input;
};

// All meetings of a tap, in the order of the outputs.
std::vector<Meeting> meetings(const ConvGeometry& g, const std::array<index_t, kAxes>& tap) {
    std::vector<Meeting> found;
    const Axis &depth = g.axes[0], &height = g.axes[1], &width = g.axes[2];
    std::array<Inside, kAxes> inside;
    for (std::size_t i = 0; i < kAxes; ++i) inside[i] = inside_of(g.axes[i], tap[i]);
    const auto is_inside = [&](std::size_t axis, index_t q) {
        return q >= inside[axis].first && q < inside[axis].last;
    };
    const auto position = [&](std::size_t i, index_t q) {
        const index_t at = q * g.axes[i].stride - g.axes[i].pad_before + tap[i] * g.axes[i].dilation;
        return is_inside(i, q) ? at : stand_in(g.padding_mode, at, g.axes[i].input);
    };
    for (index_t d = 0; d < depth.output; ++d) {
        for (index_t h = 0; h < height.output; ++h) {
            const bool whole_line = !is_inside(0, d) || !is_inside(1, h);
            const index_t output = (d * height.output + h) * width.output;
            const index_t input = (position(0, d) * height.input + position(1, h)) * width.input;
            const auto add = [&](index_t first, index_t last) {
                for (index_t w = first; w < last; ++w) found.push_back({output + w, input + position(2, w)});
            };
            add(0, whole_line ? width.output : inside[2].first);
            if (!whole_line) add(inside[2].last, width.output);
        }
    }
    return found;
}

// A convolution of one tap over `rows` pixels.
ConvGeometry one_tap(const ConvGeometry& g, index_t rows) {
    static const Sliding pointwise("conv", 1, {1}, {1}, "", {0}, {0});
    return ConvGeometry(pointwise, {1, rows, g.in_channels}, {1, g.group_inputs(), g.out_channels}, g.groups);
}

template <class T>
const Algorithm<T>& best(const ConvGeometry& g, Pass pass) {
    return *select<T>("conv", "auto", g, pass).algorithm;
}

// A piece of the meetings of a tap, in all images: those [first, first + rows), counted image after image.
struct Piece {
    const std::vector<Meeting>& found;
    index_t first, rows;
    index_t tap;  // which one of the kernel

    index_t image(index_t row) const { return (first + row) / static_cast<index_t>(found.size()); }
    const Meeting& at(index_t row) const { return found[static_cast<std::size_t>(first + row) % found.size()]; }
};

template <class Visit>
void for_each_piece(const ConvGeometry& g, const Visit& visit) {
    const auto& axes = g.axes;
    for (index_t tap = 0; tap < g.taps(); ++tap) {
        const index_t w = tap % axes[2].kernel, h = tap / axes[2].kernel % axes[1].kernel;
        const std::vector<Meeting> found = meetings(g, {tap / axes[2].kernel / axes[1].kernel, h, w});
        const index_t all = g.batch * static_cast<index_t>(found.size());
        for (index_t first = 0; first < all; first += kRows)
            visit(Piece{found, first, std::min(kRows, all - first), tap});
    }
}

template <class T>
struct Workspace {
    T *inputs, *outputs;  // the rows of a piece
    T* weight;            // the gradient of one tap
};

template <class T>
Workspace<T> carve(Arena& arena, const ConvGeometry& g) {
    Workspace<T> workspace;
    workspace.inputs = arena.take<T>(kRows * g.in_channels);
    workspace.outputs = arena.take<T>(kRows * g.out_channels);
    workspace.weight = arena.take<T>(g.group_inputs() * g.out_channels);
    return workspace;
}

template <class Visit>
void for_each_row(const Piece& piece, index_t channels, const Visit& visit) {
    constexpr index_t kTask = 64;
    const index_t tasks = ceil_div(piece.rows, kTask);
    const int threads = worthwhile_threads(2.0 * static_cast<double>(piece.rows * channels), tasks);
    parallel_for(tasks, threads, [&](index_t task, int) {
        const index_t end = std::min((task + 1) * kTask, piece.rows);
        for (index_t row = task * kTask; row < end; ++row) visit(row);
    });
}

template <class T>
void gather_inputs(const ConvGeometry& g, const Piece& piece, const TensorView<const T>& input, T* rows) {
    const Axis &height = g.axes[1], &width = g.axes[2];
    for_each_row(piece, g.in_channels, [&](index_t row) {
        const index_t pixel = piece.at(row).input, line = pixel / width.input;
        const T* source = input.data + piece.image(row) * input.batch_stride + line / height.input * input.strides[0] +
                          line % height.input * input.strides[1] + pixel % width.input * input.strides[2];
        std::copy_n(source, g.in_channels, rows + row * g.in_channels);
    });
}

template <class T>
void gather_outputs(const ConvGeometry& g, const Piece& piece, const T* grad_output, T* rows) {
    for_each_row(piece, g.out_channels, [&](index_t row) {
        const index_t pixel = piece.image(row) * g.output_pixels() + piece.at(row).output;
        std::copy_n(grad_output + pixel * g.out_channels, g.out_channels, rows + row * g.out_channels);
    });
}

template <class T>
void add_row(const T* row, index_t channels, T* sums) {
    for (index_t c = 0; c < channels; ++c) sums[c] += row[c];
}

template <class T>
const T* weight_of(const ConvGeometry& g, const T* weight, index_t tap) {
    return weight + tap * g.group_inputs() * g.out_channels;
}

}  // namespace

bool wraps(const ConvGeometry& g) {
    const auto padded = [](const Axis& axis) { return axis.pad_before > 0 || axis.pad_after > 0; };
    return g.padding_mode != PaddingMode::kZeros && std::any_of(g.axes.begin(), g.axes.end(), padded);
}

template <class T>
std::size_t wrapped_workspace(const ConvGeometry& g) {
    Arena arena;
    carve<T>(arena, g);
    return arena.used();
}

template <class T>
void add_wrapped(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    Buffer buffer;
    const auto scratch = carve_buffer(buffer, [&](Arena& arena) { return carve<T>(arena, g); });
    for_each_piece(g, [&](const Piece& piece) {
        const ConvGeometry product = one_tap(g, piece.rows);
        gather_inputs(g, piece, arguments.input, scratch.inputs);
        const auto rows = contiguous_view<const T>(scratch.inputs, product.input_extents(), g.in_channels);
        best<T>(product, Pass::kForward)
            .forward(product, {rows, weight_of(g, arguments.weight, piece.tap), nullptr, false, scratch.outputs});
        for_each_row(piece, g.out_channels, [&](index_t row) {
            const index_t pixel = piece.image(row) * g.output_pixels() + piece.at(row).output;
            add_row(scratch.outputs + row * g.out_channels, g.out_channels, arguments.output + pixel * g.out_channels);
        });
    });
}

template <class T>
void add_wrapped(const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    Buffer buffer;
    const auto scratch = carve_buffer(buffer, [&](Arena& arena) { return carve<T>(arena, g); });
    for_each_piece(g, [&](const Piece& piece) {
        const ConvGeometry product = one_tap(g, piece.rows);
        gather_outputs(g, piece, arguments.grad_output.data, scratch.outputs);
        best<T>(product, Pass::kBackwardInput)
            .backward_input(product, {output_view<T>(product, scratch.outputs),
                                      weight_of(g, arguments.weight, piece.tap), scratch.inputs});
        // One after the other, because several outputs may meet the same pixel; a task, because denormals are zero
        // there.
        parallel_for(1, 1, [&](index_t, int) {
            for (index_t row = 0; row < piece.rows; ++row) {
                const index_t pixel = piece.image(row) * g.input_pixels() + piece.at(row).input;
                add_row(scratch.inputs + row * g.in_channels, g.in_channels,
                        arguments.grad_input + pixel * g.in_channels);
            }
        });
    });
}

template <class T>
void add_wrapped(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    Buffer buffer;
    const auto scratch = carve_buffer(buffer, [&](Arena& arena) { return carve<T>(arena, g); });
    for_each_piece(g, [&](const Piece& piece) {
        const ConvGeometry product = one_tap(g, piece.rows);
        gather_inputs(g, piece, arguments.input, scratch.inputs);
        gather_outputs(g, piece, arguments.grad_output.data, scratch.outputs);
        const auto rows = contiguous_view<const T>(scratch.inputs, product.input_extents(), g.in_channels);
        best<T>(product, Pass::kBackwardWeight)
            .backward_weight(product, {output_view<T>(product, scratch.outputs), rows, scratch.weight});
        const index_t size = g.group_inputs() * g.out_channels;
        add_row(scratch.weight, size, arguments.grad_weight + piece.tap * size);
    });
}

#define FASTCONV_INSTANTIATE(T)                                                       \
    template std::size_t wrapped_workspace<T>(const ConvGeometry&);                   \
                                                                                      \
    template void add_wrapped(const ConvGeometry&, const ForwardArguments<T>&);       \
    template void add_wrapped(const ConvGeometry&, const BackwardInputArguments<T>&); \
    template void add_wrapped(const ConvGeometry&, const BackwardWeightArguments<T>&);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
