// Few channels, of the target above all: filters of images, and the first layers of small networks. Vectors run along
// the width, as in image processing, and not across the channels. Every channel of some lines is laid out as a plane of
// its own, with its padding; a tap is a plane that starts so many pixels further on, and a term of the sums is a tap of
// one plane:
//
//   forward          plane k of output = sum over terms of (plane c of input at the tap) * weight[tap, c, k]
//   backward_input   the same with the maps read backwards, a phase of the stride after the other
//   backward_weight  grad_weight[tap, c, k] = sum over pixels of (plane c at the tap) * (plane k of grad_output)
//
// At a stride, the pixels of a line that are so far apart make a plane: neighbours in the output are neighbours there.
#include <algorithm>

#include "conv/algorithm.h"
#include "conv/planes.h"
#include "core/memory.h"
#include "gemm/slices.h"

namespace fastconv {
namespace {

template <class T>
struct Workspace {
    T* planes;  // of each worker, as the next two
    const T** sources;
    T* rights;
    T* partial_sums;
};

// --- Forward, and the gradient of the input ------------------------------------------------------

// Short lines come in pairs, which share what it costs to load a weight.
constexpr index_t kLinesTogether = 2;

// Of one group.
template <class T>
struct PlanarProduct {
    PlaneLayout layout;
    TensorView<const T> source;
    TensorView<T> target;
    const T* weight;  // [term][column], in the order of the map's taps
    index_t weight_step;
    const T* bias;
    bool relu;
};

template <class T>
Workspace<T> carve(Arena& arena, const PlaneLayout& layout, index_t workers) {
    Workspace<T> workspace{};
    workspace.planes = arena.take<T>(workers * layout.size());
    workspace.sources = arena.take<const T*>(workers * layout.terms());
    return workspace;
}

template <class T>
void multiply(const PlanarProduct<T>& product) {
    const PlaneLayout& layout = product.layout;
    const AxisMap &depth = layout.map.axes[0], &height = layout.map.axes[1], &width = layout.map.axes[2];
    if (layout.map.rows() * layout.columns == 0) return;
    const Kernels<T>& table = kernels<T>();
    const int threads = layout.threads(layout.tasks());
    Buffer buffer;
    const auto workspace = carve_buffer(buffer, [&](Arena& arena) { return carve<T>(arena, layout, threads); });

    const index_t row_terms = width.taps * layout.channels, depth_terms = height.taps * row_terms;
    parallel_for(layout.tasks(), threads, [&](index_t task, int worker) {
        const LineBlock block = layout.block(task);
        T* planes = workspace.planes + worker * layout.size();
        const T** sources = workspace.sources + worker * layout.terms();
        layout.fill(product.source, block, planes);
        layout.place_terms(planes, sources);
        const Span depths = taps_inside(depth, block.d, 1);
        T* line = product.target.data + block.n * product.target.batch_stride +
                  (depth.target_start + block.d * depth.target_step) * product.target.strides[0];
        const index_t together = layout.width_per_block <= layout.vector ? kLinesTogether : 1;
        for (index_t i = 0; i < block.count; i += together) {
            const index_t h = block.first + i, count = std::min(together, block.count - i);
            Span terms{depths.first * depth_terms, depths.count * depth_terms};
            if (depth.taps == 1) {  // lines of padding are left out, if all lines meet them
                const Span taps = taps_inside(height, h, count);
                terms = {taps.first * row_terms, depths.count * taps.count * row_terms};
            }
            T* target = line + (height.target_start + h * height.target_step) * product.target.strides[1] +
                        (width.target_start + block.left * width.target_step) * product.target.strides[2];
            const index_t step = height.source_step * layout.line_size();
            table.multiply_planes({sources + terms.first, i * step, terms.count, block.width, layout.columns, count,
                                   step, height.target_step * product.target.strides[1],
                                   width.target_step * product.target.strides[2],
                                   product.weight + terms.first * product.weight_step, product.weight_step,
                                   product.bias, product.relu, target});
        }
    });
}

// The same view, of one group's channels.
template <class T>
TensorView<T> group_of(TensorView<T> view, index_t group, index_t channels) {
    view.data += group * channels;
    view.channels = channels;
    return view;
}

template <class T>
const T* group_of(const T* bias, index_t group, index_t channels) {
    return bias == nullptr ? nullptr : bias + group * channels;
}

template <class T>
PlaneLayout layout_of(const ConvGeometry& g, const RowMap& map, bool backward) {
    const index_t inputs = g.group_inputs(), outputs = g.group_outputs();
    return {map, backward ? outputs : inputs, backward ? inputs : outputs, kernels<T>().vector_width};
}

template <class T>
void forward(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    const auto target = contiguous_view(arguments.output, g.output_extents(), g.out_channels);
    const PlaneLayout layout = layout_of<T>(g, forward_map(g, g.batch), false);
    const index_t inputs = g.group_inputs(), outputs = g.group_outputs();
    for (index_t group = 0; group < g.groups; ++group)
        multiply<T>({layout, group_of(arguments.input, group, inputs), group_of(target, group, outputs),
                     arguments.weight + group * outputs, g.out_channels, group_of(arguments.bias, group, outputs),
                     arguments.relu});
}

template <class T>
void backward_input(const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    const TensorView<const T>& source = arguments.grad_output;
    const auto target = contiguous_view(arguments.grad_input, g.input_extents(), g.in_channels);
    const index_t inputs = g.group_inputs(), outputs = g.group_outputs();
    Buffer buffer;
    T* weight = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(g.taps() * inputs * outputs); });
    for_each_backward_map(g, g.batch, [&](const RowMap& map) {
        const PlaneLayout layout = layout_of<T>(g, map, true);
        for (index_t group = 0; group < g.groups; ++group) {
            T* to = weight;
            for (index_t tap = 0; tap < map.taps(); ++tap) {
                const T* from =
                    arguments.weight + kernel_position(map, tap) * inputs * g.out_channels + group * outputs;
                for (index_t k = 0; k < outputs; ++k)
                    for (index_t c = 0; c < inputs; ++c) *to++ = from[c * g.out_channels + k];
            }
            multiply<T>({layout, group_of(source, group, outputs), group_of(target, group, inputs), weight, inputs,
                         group_of(arguments.bias, group, inputs), arguments.relu});
        }
    });
}

// --- The gradient of the weight ------------------------------------------------------------------

// The blocks are cut into slices by geometry alone, each with sums of its own.
struct WeightPlan {
    PlaneLayout layout;
    index_t slices, blocks_per_slice;
    int threads;

    template <class T>
    static WeightPlan of(const ConvGeometry& g) {
        constexpr index_t kSlices = 32, kMostPartialSums = index_t{1} << 22;
        const PlaneLayout layout = layout_of<T>(g, forward_map(g, g.batch), false);
        const index_t affordable = kMostPartialSums / std::max<index_t>(g.weight_size(), 1);
        const index_t per_slice = ceil_div(layout.tasks(), std::clamp<index_t>(affordable, 1, kSlices));
        const index_t slices = std::max<index_t>(ceil_div(layout.tasks(), std::max<index_t>(per_slice, 1)), 1);
        return {layout, slices, per_slice, layout.threads(slices * g.groups)};
    }

    index_t right_size() const { return layout.lines_per_block * layout.columns * layout.target_pitch(); }
};

template <class T>
Workspace<T> carve(Arena& arena, const WeightPlan& plan, index_t weight_size) {
    Workspace<T> workspace{};
    workspace.planes = arena.take<T>(plan.threads * plan.layout.size());
    workspace.rights = arena.take<T>(plan.threads * plan.right_size());
    workspace.sources = arena.take<const T*>(plan.threads * plan.layout.terms());
    workspace.partial_sums = plan.slices > 1 ? arena.take<T>(plan.slices * weight_size) : nullptr;
    return workspace;
}

template <class T>
void backward_weight(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    const WeightPlan plan = WeightPlan::of<T>(g);
    const PlaneLayout& layout = plan.layout;
    const AxisMap& height = layout.map.axes[1];
    const index_t size = g.weight_size(), columns = layout.columns, right_step = columns * layout.target_pitch();
    if (size == 0) return;
    const Kernels<T>& table = kernels<T>();
    Buffer buffer;
    const auto workspace = carve_buffer(buffer, [&](Arena& arena) { return carve<T>(arena, plan, size); });
    const TensorView<const T>& all = arguments.grad_output;

    parallel_for(plan.slices * g.groups, plan.threads, [&](index_t cut, int worker) {
        const index_t slice = cut / g.groups, group = cut % g.groups;
        T* planes = workspace.planes + worker * layout.size();
        T* rights = workspace.rights + worker * plan.right_size();
        const T** sources = workspace.sources + worker * layout.terms();
        T* sums = (plan.slices > 1 ? workspace.partial_sums + slice * size : arguments.grad_weight) + group * columns;
        for (index_t term = 0; term < layout.terms(); ++term) std::fill_n(sums + term * g.out_channels, columns, T(0));
        std::fill_n(rights, plan.right_size(), T(0));
        layout.place_terms(planes, sources);
        const TensorView<const T> input = group_of(arguments.input, group, layout.channels);
        const TensorView<const T> right = group_of(all, group, columns);
        const index_t end = std::min((slice + 1) * plan.blocks_per_slice, layout.tasks());
        for (index_t task = slice * plan.blocks_per_slice; task < end; ++task) {
            const LineBlock block = layout.block(task);
            layout.fill(input, block, planes);
            const T* line = right.data + block.n * right.batch_stride + block.d * right.strides[0] +
                            block.first * right.strides[1] + block.left * right.strides[2];
            if (block.width < layout.width_per_block) std::fill_n(rights, plan.right_size(), T(0));
            for (index_t i = 0; i < block.count; ++i)
                table.copy_block({line + i * right.strides[1], right.strides[2], 1, block.width, columns,
                                  rights + i * right_step, layout.target_pitch(), false});
            table.add_plane_products({sources, height.source_step * layout.line_size(), layout.terms(), block.count,
                                      block.width, columns, rights, right_step, layout.target_pitch(), sums,
                                      g.out_channels});
        }
    });
    if (plan.slices > 1) add_slices(workspace.partial_sums, plan.slices, index_t{1}, size, arguments.grad_weight, size);
}

// --- What it is for ------------------------------------------------------------------------------

template <class T>
std::size_t workspace(const ConvGeometry& g, Pass pass) {
    Arena arena;
    if (pass == Pass::kBackwardWeight) {
        carve<T>(arena, WeightPlan::of<T>(g), g.weight_size());
        return arena.used();
    }
    std::size_t largest = 0;
    const auto count = [&](const PlaneLayout& layout) {
        Arena own;
        carve<T>(own, layout, layout.threads(layout.tasks()));
        largest = std::max(largest, own.used());
    };
    if (pass == Pass::kForward) {
        count(layout_of<T>(g, forward_map(g, g.batch), false));
        return largest;
    }
    for_each_backward_map(g, g.batch, [&](const RowMap& map) { count(layout_of<T>(g, map, true)); });
    arena.take<T>(g.taps() * g.group_inputs() * g.group_outputs());
    return largest + arena.used();
}

// Any convolution; but planes of many channels, or of lines that are far apart, are a lot of memory.
bool supports(const ConvGeometry& g, Pass) {
    constexpr double kMostValues = 1 << 24;
    double values = static_cast<double>(std::max(g.group_inputs(), g.group_outputs()));
    for (const Axis& axis : g.axes) {
        const auto window = static_cast<double>(axis.kernel - 1) * static_cast<double>(axis.dilation) + 1;
        values *=
            &axis == &g.axes[kAxes - 1] ? static_cast<double>(std::max(axis.input, axis.output)) + 2 * window : window;
    }
    return values <= kMostValues;
}

// Direct products add the lanes of every sum; that pays where many channels are summed. Windows of several lines have
// many short runs of them. Direct's time over this one's on a Zen 3, 3x3 and 5x5, 6 to 256 pixels wide, dilation 1 to
// 4, also 3x3x3 and 3x1, with AVX2: 12 -> 3 1.0 to 2.5, 16 -> 4 1.0 to 1.9, 16 -> 6 1.3 to 2.1, 24 -> 4 0.9 to 1.5, 16
// -> 3 0.8 to 1.9; float64, 24 -> 4 1.1 to 1.5, 8 -> 3 1.0 to 1.5, 12 -> 3 0.8 to 1.6; with SSE2, 24 -> 4 1.1 to 1.4.
// Four pixels wide 0.7 to 1.1; 4096 wide, where the lines of a window are 197 thousand values, 16 -> 4 0.6;
// dilation 12, 53 thousand, 24 -> 4 0.7. 1-D and 1x1, 16 -> 4, 0.7 to 1.8. Vectors of 64 bytes weren't measured.
template <class T>
index_t most_sources(const ConvGeometry& g, index_t targets, index_t width) {
    constexpr index_t kMost = 24, kFewTargets = 3, kNarrow = 6, kMostLaidOut = 50'000, kMostBytes = 32;
    const index_t lanes = kernels<T>().vector_width, usual = std::max<index_t>(6, lanes);
    const Axis &height = g.axes[1], &along = g.axes[2];
    if (g.axes[0].kernel * height.kernel == 1 || lanes * static_cast<index_t>(sizeof(T)) > kMostBytes || lanes < 4)
        return usual;
    if (targets <= kFewTargets || width < kNarrow) return lanes + 4;
    const index_t lines = g.axes[0].kernel * ((height.kernel - 1) * height.dilation + 1);
    const index_t laid_out = lines * (width + (along.kernel - 1) * along.dilation);  // of a channel
    return std::clamp(kMostLaidOut / laid_out, lanes + 4, kMost);
}

// Measured, two cores of a Zen 4, time of direct over time of this (the three passes, 3x3 unless said). AVX-512: 1 -> 6
// 5x5 2.4 / 2.6 / 2.3, 1 -> 1 5x5 9 / 9 / 11, 3 -> 3 3.5 / 3.5 / 2.9, 8 -> 8 1.9 / 1.9 / 1.6, 16 -> 4 1.4 / 1.1 / 1.0,
// 1 -> 10 1.8 / 1.7 / 1.3, 1 -> 16 1.1 / 1.2 / 0.6, 64 -> 3 0.5 / 0.7 / 0.5. AVX2: 1 -> 6 1.7 / 1.6 / 1.9, 4 -> 4 2.5 /
// 2.4 / 2.2, 8 -> 8 1.3 / 1.3 / 0.9. Without: 1 -> 6 1.5 / 3 / 2.3, 6 -> 6 1.3 / 1.3 / 2.0, 8 -> 8 1.0 / 0.9 / 0.7.
// Groups, where all channels together don't fill a vector: depthwise 5x5, 3 channels 2.7 / 2.6 / 4.4 times `grouped`;
// two groups 4 -> 4 6.3 / 6.3 / 8.8. At a stride a value of the source meets less: 2x2 at stride 2, 8 -> 8, 0.7 / 0.4 /
// 0.6.
template <class T>
const char* prefers(const ConvGeometry& g, Pass pass) {
    const index_t lanes = kernels<T>().vector_width, few = std::max<index_t>(6, 3 * lanes / 4);
    const Axis& width = g.axes[kAxes - 1];
    const bool backward = pass == Pass::kBackwardInput;
    const index_t sources = backward ? g.group_outputs() : g.group_inputs();
    const index_t targets = backward ? g.group_inputs() : g.group_outputs();
    const char* reason = "few channels: vectors run along the width";
    if (targets > few || 5 * (backward ? width.input : width.output) < 2 * lanes) return nullptr;
    if (g.groups > 1 && (width.stride > 1 || g.groups * targets >= lanes)) return nullptr;
    if (width.stride > 1 && (sources > 1 || backward) && (width.stride > 2 || width.kernel < 3)) return nullptr;
    if (pass != Pass::kBackwardWeight)
        return sources <= most_sources<T>(g, targets, backward ? width.output : width.input) ? reason : nullptr;
    // 8 -> 4 1x1 0.6, 8 -> 8 at stride 2 0.8, float64 8 -> 6 0.7.
    if (sources > 3 && g.taps() == 1) return nullptr;
    return sources <= (width.stride > 1 ? 4 : lanes >= 16 ? 8 : 6) ? reason : nullptr;
}

}  // namespace

template <class T>
const Algorithm<T>& planar_algorithm() {
    static const Algorithm<T> algorithm{"planar",   supports,          prefers<T>,        workspace<T>,
                                        forward<T>, backward_input<T>, backward_weight<T>};
    return algorithm;
}

template const Algorithm<float>& planar_algorithm();
template const Algorithm<double>& planar_algorithm();

}  // namespace fastconv
