// Convolution by an explicit patch matrix and a matrix product (Chellapilla, Puri and Simard, 2006), the
// way a textbook tells it. The matrix is made some rows at a time, so that it stays bounded and in cache.
//
//   output      = patches weight
//   grad_input  = col2im(grad_output weight^T)
//   grad_weight = patches^T grad_output
#include <algorithm>

#include "conv/algorithm.h"
#include "conv/patches.h"
#include "conv/rows.h"
#include "core/memory.h"
#include "elementwise/activation.h"
#include "gemm/matrix.h"

namespace fastconv {
namespace {

// Patches that are alive at a time: they bound the memory, and stay in the last cache. On 3x3, 5x5 and 1x1
// layers 1, 4 and 16 MB differed less than two runs of the same one.
constexpr index_t kPatchBytes = index_t{4} << 20;

template <class T>
index_t rows_per_tile(const ConvGeometry& g) {
    const index_t length = g.taps() * g.group_inputs();
    const index_t affordable = std::max<index_t>(kPatchBytes / (length * static_cast<index_t>(sizeof(T))), 1);
    return std::clamp<index_t>(affordable, 1, std::max<index_t>(g.output_rows(), 1));
}

// The matrix of one group: taps * group_inputs rows, out_channels apart.
template <class T>
struct Problem {
    const ConvGeometry& g;
    index_t length = g.taps() * g.group_inputs();
    RowMap map = forward_map(g, g.batch);

    RowProduct<T> forward(const ForwardArguments<T>& arguments, index_t group, index_t row, index_t rows,
                          const T* patches) const {
        const index_t column = group * g.group_outputs();
        RowProduct<T> product =
            matrix_product<T>(rows, patches, length, length, {arguments.weight + column, g.out_channels, 1},
                              g.group_outputs(), arguments.output + row * g.out_channels + column, g.out_channels);
        product.bias = arguments.bias == nullptr ? nullptr : arguments.bias + column;
        product.relu = arguments.relu;
        return product;
    }

    RowProduct<T> backward_input(const BackwardInputArguments<T>& arguments, index_t group, index_t row, index_t rows,
                                 T* patches) const {
        const index_t column = group * g.group_outputs();
        return matrix_product<T>(rows, arguments.grad_output.data + row * g.out_channels + column, g.out_channels,
                                 g.group_outputs(), {arguments.weight + column, 1, g.out_channels}, length, patches,
                                 length);
    }

    OuterProduct<T> backward_weight(const BackwardWeightArguments<T>& arguments, index_t group, index_t row,
                                    index_t rows, const T* patches, T* sums) const {
        const index_t column = group * g.group_outputs();
        return transposed_product<T>(rows, patches, length, length,
                                     arguments.grad_output.data + row * g.out_channels + column, g.out_channels,
                                     g.group_outputs(), sums, g.group_outputs());
    }
};

// Calls visit(group, patch block) tile after tile.
template <class T, class Visit>
void for_each_tile(const ConvGeometry& g, Visit visit) {
    const index_t tile = rows_per_tile<T>(g);
    for (index_t row = 0; row < g.output_rows(); row += tile)
        for (index_t group = 0; group < g.groups; ++group)
            visit(group,
                  PatchBlock{row, std::min(tile, g.output_rows() - row), group * g.group_inputs(), g.group_inputs()});
}

template <class T>
struct Workspace {
    T* patches;  // a tile of the patch matrix of one group
    T* sums;     // the gradient of a group's weight over one tile, where that is the pass
};

template <class T>
Workspace<T> carve(Arena& arena, const Problem<T>& problem, Pass pass) {
    Workspace<T> workspace;
    workspace.patches = arena.take<T>(rows_per_tile<T>(problem.g) * problem.length);
    workspace.sums =
        pass == Pass::kBackwardWeight ? arena.take<T>(problem.length * problem.g.group_outputs()) : nullptr;
    return workspace;
}

template <class T>
void forward(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    const Problem<T> problem{g};
    Buffer buffer;
    T* patches = carve_buffer(buffer, [&](Arena& arena) { return carve(arena, problem, Pass::kForward); }).patches;
    for_each_tile<T>(g, [&](index_t group, const PatchBlock& block) {
        im2col(problem.map, arguments.input, block, patches);
        multiply(problem.forward(arguments, group, block.first_row, block.rows, patches));
    });
}

template <class T>
void backward_input(const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    const Problem<T> problem{g};
    const TensorView<T> grad_input = contiguous_view(arguments.grad_input, g.input_extents(), g.in_channels);
    fill_rows(arguments.grad_input, g.input_rows(), g.in_channels, arguments.bias);
    Buffer buffer;
    T* patches =
        carve_buffer(buffer, [&](Arena& arena) { return carve(arena, problem, Pass::kBackwardInput); }).patches;
    for_each_tile<T>(g, [&](index_t group, const PatchBlock& block) {
        multiply(problem.backward_input(arguments, group, block.first_row, block.rows, patches));
        col2im(problem.map, static_cast<const T*>(patches), block, grad_input);
    });
    if (arguments.relu)
        activate<T>(ActivationKind::kRelu, arguments.grad_input, g.input_rows() * g.in_channels, arguments.grad_input);
}

template <class T>
void backward_weight(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    const Problem<T> problem{g};
    std::fill_n(arguments.grad_weight, g.weight_size(), T(0));
    Buffer buffer;
    const Workspace<T> workspace =
        carve_buffer(buffer, [&](Arena& arena) { return carve(arena, problem, Pass::kBackwardWeight); });
    for_each_tile<T>(g, [&](index_t group, const PatchBlock& block) {
        im2col(problem.map, arguments.input, block, workspace.patches);
        sum_products(
            problem.backward_weight(arguments, group, block.first_row, block.rows, workspace.patches, workspace.sums));
        for (index_t row = 0; row < problem.length; ++row) {
            T* target = arguments.grad_weight + row * g.out_channels + group * g.group_outputs();
            for (index_t k = 0; k < g.group_outputs(); ++k) target[k] += workspace.sums[row * g.group_outputs() + k];
        }
    });
}

template <class T>
std::size_t workspace(const ConvGeometry& g, Pass pass) {
    const Problem<T> problem{g};
    const index_t rows = rows_per_tile<T>(g);
    Arena arena;
    carve(arena, problem, pass);
    switch (pass) {
        case Pass::kForward:
            return arena.used() +
                   workspace_bytes(problem.forward({{}, nullptr, nullptr, false, nullptr}, 0, 0, rows, nullptr));
        case Pass::kBackwardInput:
            return arena.used() + workspace_bytes(problem.backward_input({output_view<T>(g, nullptr), nullptr, nullptr},
                                                                         0, 0, rows, nullptr));
        case Pass::kBackwardWeight:
            break;
    }
    return arena.used() + workspace_bytes(problem.backward_weight({output_view<T>(g, nullptr), {}, nullptr}, 0, 0, rows,
                                                                  nullptr, nullptr));
}

bool supports(const ConvGeometry&, Pass) { return true; }

// Never the fastest. The gradient of the input with few channels and windows that hardly overlap came nearest, two
// cores of a Zen 4, time of this over time of direct: 1-D, 10 taps, stride 5, 1 -> 512: 2.4; 4x4, stride 4, 3 ->
// 96: 1.1 to 1.4; 16x16, stride 16, 3 -> 768: 0.92 for one image, 1.16 for eight.
const char* prefers(const ConvGeometry&, Pass) { return nullptr; }

}  // namespace

template <class T>
const Algorithm<T>& im2col_algorithm() {
    static const Algorithm<T> algorithm{"im2col",   supports,          prefers,           workspace<T>,
                                        forward<T>, backward_input<T>, backward_weight<T>};
    return algorithm;
}

template const Algorithm<float>& im2col_algorithm();
template const Algorithm<double>& im2col_algorithm();

}  // namespace fastconv
