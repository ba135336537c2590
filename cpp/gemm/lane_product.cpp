#include "gemm/lane_product.h"

#include "core/threads.h"
#include "gemm/slices.h"
#include "gemm/streaming.h"

namespace fastconv {
namespace {

template <class T>
double operations(const LaneSource<T>& source) {
    return 2.0 * static_cast<double>(source.map.rows()) * static_cast<double>(source.map.taps()) *
           static_cast<double>(source.group_inputs * source.lanes());
}

// Whether the next line's values are fetched: a megabyte may lie in L2. Measured, depthwise 3x3, time of fetched over
// not: gradient of the weight, 400 KB on each side 1.04 to 1.1, 3 MB 1, 13 MB 0.7; forward, 400 KB 1.04 to 1.07.
template <class T>
bool fetches(const LaneSource<T>& source) {
    constexpr index_t kCached = index_t{1} << 20;
    const RowMap& map = source.map;
    const index_t positions = map.batch * map.axes[0].extent * map.axes[1].extent * map.axes[2].extent;
    const index_t values = positions * source.groups * source.group_inputs + map.rows() * source.lanes();
    return values * static_cast<index_t>(sizeof(T)) > kCached;
}

// target = some columns of these rows, one row after the other.
template <class T>
void copy_rows(const T* source, index_t pitch, index_t rows, index_t columns, T* target) {
    for (index_t row = 0; row < rows; ++row) std::copy_n(source + row * pitch, columns, target + row * columns);
}

// Every value of the target is computed whole by one task, so the cutting may look at the number of threads.
struct Plan {
    index_t lanes_together, chunks;  // the lanes
    index_t lines_per_task, line_tasks;
    int threads;

    index_t tasks() const { return line_tasks * chunks; }
};

template <class T>
Plan make_plan(const LaneProduct<T>& product) {
    constexpr index_t kLanes = 16;
    const LaneSource<T>& source = product.source;
    const index_t lines = source.lines();
    Plan plan{};
    plan.threads = worthwhile_threads(operations(source), lines * source.lanes());
    const index_t wanted = plan.threads > 1 ? 4 * plan.threads : 1;
    plan.lanes_together = source.lanes_together(source.table->vector_width);
    if ((!source.copies() || in_planes(source.tensor)) && lines < wanted) {
        const index_t parts = ceil_div(wanted, std::max<index_t>(lines, 1));
        plan.lanes_together = std::min(source.lanes(), round_up(ceil_div(source.lanes(), parts), kLanes));
    }
    plan.chunks = ceil_div(source.lanes(), plan.lanes_together);
    // A block of lines copies the first lines of its windows anew.
    const index_t fewest_lines = source.copies() && !source.is_line() ? 4 : 1;
    const index_t blocks = std::min(ceil_div(wanted, plan.chunks), ceil_div(lines, fewest_lines));
    plan.lines_per_task = std::max<index_t>(ceil_div(lines, std::max<index_t>(blocks, 1)), 1);
    plan.line_tasks = ceil_div(lines, plan.lines_per_task);
    plan.threads = worthwhile_threads(operations(source), plan.tasks());
    return plan;
}

// Wide segments have another order of products, so the cutting of the lanes has no say.
template <class T>
LineTaps taps_of(const LaneProduct<T>& product) {
    return {product.source.map.axes[2], !product.source.mixes()};
}

template <class T>
struct Workspace {
    typename LaneLines<T>::Scratch scratch;
    T* weight;  // those of the lanes of a task together, where lines are packed
};

template <class T>
Workspace<T> carve(Arena& arena, const LaneProduct<T>& product, const LineTaps& taps, const Plan& plan) {
    const LaneSource<T>& source = product.source;
    return {LaneLines<T>::carve(arena, source, taps, plan.lanes_together, plan.threads),
            arena.take<T>(source.packs() ? source.kernel_rows() * source.lanes() : 0)};
}

// The rows of a sum are cut into slices, each with sums of its own, by geometry alone.
struct OuterPlan {
    index_t lanes_together, chunks;
    index_t slices, lines_per_slice;
    index_t result_rows;  // of as many values as there are lanes
    int threads;
};

template <class T>
OuterPlan make_plan(const LaneOuterProduct<T>& product) {
    constexpr index_t kTasks = 32, kFewestPixels = 256;
    constexpr index_t kMostPartialSums = index_t{1} << 22;  // values: 16 MB of float32
    const LaneSource<T>& source = product.source;
    OuterPlan plan{};
    const index_t width = source.table->vector_width;
    plan.lanes_together = source.copies() ? source.lanes_together(width) : std::min(kLanesTogether, source.lanes());
    // The last lanes fill a vector, too.
    const auto rest = [&] { return source.lanes() % std::max<index_t>(plan.lanes_together, 1); };
    while (!source.copies() && rest() > 0 && rest() < width) plan.lanes_together += width;
    plan.lanes_together = std::min(plan.lanes_together, source.lanes());
    plan.chunks = ceil_div(source.lanes(), plan.lanes_together);
    plan.result_rows = source.map.taps() * source.group_inputs;
    const index_t affordable = kMostPartialSums / std::max<index_t>(plan.result_rows * source.lanes(), 1);
    const index_t worthwhile = std::min(source.map.rows() / kFewestPixels, source.lines());
    const index_t chunks = std::max<index_t>(ceil_div(source.lanes(), kLanesTogether), 1);  // whatever the layout
    plan.slices = std::clamp<index_t>(std::min({ceil_div(kTasks, chunks), worthwhile, affordable}), 1, kTasks);
    plan.lines_per_slice = ceil_div(source.lines(), plan.slices);
    plan.threads = worthwhile_threads(operations(source), plan.slices * plan.chunks);
    return plan;
}

// Segments are wide where every task's lanes fill a vector and are straight; which changes no sum.
template <class T>
LineTaps taps_of(const LaneOuterProduct<T>& product, const OuterPlan& plan) {
    const LaneSource<T>& source = product.source;
    const index_t last = source.lanes() - (plan.chunks - 1) * plan.lanes_together;
    return {source.map.axes[2], !source.mixes() && last >= source.table->vector_width};
}

template <class T>
struct OuterWorkspace {
    typename LaneLines<T>::Scratch scratch;
    T* partial_sums;  // slice by slice; null where there is one slice
    T *sums, *right;  // per worker: those of the lanes of a task together, where lines are packed, or in planes
};

template <class T>
OuterWorkspace<T> carve(Arena& arena, const LaneOuterProduct<T>& product, const LineTaps& taps, const OuterPlan& plan) {
    OuterWorkspace<T> workspace;
    workspace.scratch = LaneLines<T>::carve(arena, product.source, taps, plan.lanes_together, plan.threads);
    workspace.partial_sums =
        plan.slices > 1 ? arena.take<T>(plan.slices * plan.result_rows * product.source.lanes()) : nullptr;
    const bool packs = product.source.packs();
    const index_t lanes = plan.threads * plan.lanes_together;
    workspace.sums = arena.take<T>(packs ? lanes * plan.result_rows : 0);
    workspace.right = arena.take<T>(packs || in_planes(product.right) ? lanes * product.source.piece() : 0);
    return workspace;
}

}  // namespace

template <class T>
std::size_t workspace_bytes(const LaneProduct<T>& product) {
    Arena arena;
    carve(arena, product, taps_of(product), make_plan(product));
    return arena.used();
}

template <class T>
void multiply(const LaneProduct<T>& product) {
    const LaneSource<T>& source = product.source;
    if (source.map.rows() == 0) return;
    const Plan plan = make_plan(product);
    const AxisMap &depth = source.map.axes[0], &height = source.map.axes[1], &width = source.map.axes[2];
    const bool streams = may_stream(product.target, source.map.batch, source.map.rows(), source.lanes(),
                                    plan.lanes_together, kStreamedLaneShare);
    const LineTaps taps = taps_of(product);
    const bool fetched = fetches(source);
    Buffer buffer;
    const auto workspace = carve_buffer(buffer, [&](Arena& arena) { return carve(arena, product, taps, plan); });
    const index_t rows = source.kernel_rows();
    if (source.packs()) {
        for (index_t lane = 0; lane < source.lanes(); lane += plan.lanes_together)
            copy_rows(product.weight + lane, source.lanes(), rows, std::min(plan.lanes_together, source.lanes() - lane),
                      workspace.weight + lane * rows);
    }

    parallel_for(plan.tasks(), plan.threads, [&](index_t task, int worker) {
        const index_t lane = task % plan.chunks * plan.lanes_together;
        const index_t lanes = std::min(plan.lanes_together, source.lanes() - lane);
        const index_t first = task / plan.chunks * plan.lines_per_task;
        const index_t last = std::min(first + plan.lines_per_task, source.lines());
        const T* weight = source.packs() ? workspace.weight + lane * rows : product.weight + lane;
        const index_t pitch = source.packs() ? lanes : source.lanes();
        LaneLines<T> lines(source, taps, workspace.scratch, worker, lane, lanes, plan.lanes_together);
        for (index_t l = first; l < last; ++l) {
            const Line line = source.line(l);
            T* target = product.target.data + line.n * product.target.batch_stride +
                        (depth.target_start + line.d * depth.target_step) * product.target.strides[0] +
                        (height.target_start + line.h * height.target_step) * product.target.strides[1] +
                        (width.target_start + line.left * width.target_step) * product.target.strides[2] + lane;
            const index_t step = width.target_step * product.target.strides[2];
            const Line after = source.line(std::min(l + 1, last - 1));
            for (index_t residue = 0; residue < std::min(taps.residues(), line.width); ++residue) {
                LaneBlock<T> block = lines.block(line, residue, weight, nullptr, pitch, step);
                block.target = target + residue * step;
                block.bias = product.bias == nullptr ? nullptr : product.bias + lane;
                block.relu = product.relu;
                block.stream = streams;
                if (fetched && l + 1 < last) block.ahead[0] = lines.ahead(after, residue);
                source.table->multiply_lanes(block);
            }
        }
    });
}

template <class T>
std::size_t workspace_bytes(const LaneOuterProduct<T>& product) {
    Arena arena;
    const OuterPlan plan = make_plan(product);
    carve(arena, product, taps_of(product, plan), plan);
    return arena.used();
}

template <class T>
void sum_products(const LaneOuterProduct<T>& product) {
    const LaneSource<T>& source = product.source;
    const OuterPlan plan = make_plan(product);
    const index_t size = plan.result_rows * source.lanes();
    const LineTaps taps = taps_of(product, plan);
    const bool fetched = fetches(source);
    const bool packs = source.packs(), planes = in_planes(product.right);
    const auto right_at = [&](const Line& line, index_t lane) {
        const std::array<AxisMap, kAxes>& axes = source.map.axes;
        const index_t row = (line.d * axes[1].count + line.h) * axes[2].count + line.left;
        const index_t image = line.n * product.right.batch_stride;
        if (!planes) return product.right.data + image + row * source.lanes() + lane;
        return product.right.data + image + row + lane * product.right.channel_stride;
    };
    Buffer buffer;
    const auto workspace = carve_buffer(buffer, [&](Arena& arena) { return carve(arena, product, taps, plan); });

    parallel_for(plan.slices * plan.chunks, plan.threads, [&](index_t task, int worker) {
        const index_t slice = task / plan.chunks, lane = task % plan.chunks * plan.lanes_together;
        const index_t lanes = std::min(plan.lanes_together, source.lanes() - lane);
        const index_t first = std::min(slice * plan.lines_per_slice, source.lines());
        const index_t last = std::min(first + plan.lines_per_slice, source.lines());
        T* sums = plan.slices > 1 ? workspace.partial_sums + slice * size : product.sums;
        T* const result = sums + lane;
        index_t pitch = source.lanes();
        T* const packed_right = workspace.right + worker * plan.lanes_together * source.piece();
        if (packs) {
            pitch = lanes;
            sums = workspace.sums + worker * plan.lanes_together * plan.result_rows;
        } else {
            sums += lane;
        }
        for (index_t row = 0; row < plan.result_rows; ++row) std::fill_n(sums + row * pitch, lanes, T(0));

        LaneLines<T> lines(source, taps, workspace.scratch, worker, lane, lanes, plan.lanes_together);
        for (index_t l = first; l < last; ++l) {
            const Line line = source.line(l);
            const T* right = right_at(line, lane);
            index_t right_pitch = source.lanes();
            if (packs || planes) {
                if (planes) {
                    source.table->copy_block(
                        {right, product.right.channel_stride, 1, lanes, line.width, packed_right, lanes, false});
                } else {
                    copy_rows(right, source.lanes(), line.width, lanes, packed_right);
                }
                right = packed_right;
                right_pitch = lanes;
            }
            const Line after = source.line(std::min(l + 1, last - 1));
            const T* const next = right_at(after, lane);
            for (index_t residue = 0; residue < std::min(taps.residues(), line.width); ++residue) {
                LaneBlock<T> block = lines.block(line, residue, nullptr, sums, pitch, right_pitch);
                block.right = right + residue * right_pitch;
                if (fetched && l + 1 < last) {
                    block.ahead[0] = lines.ahead(after, residue);
                    if (planes) {
                        block.ahead[1] =
                            lines.part_of({next, product.right.channel_stride, lanes, after.width}, residue);
                    } else {
                        block.ahead[1] = lines.part_of({next, source.lanes(), after.width, lanes}, residue);
                    }
                }
                source.table->add_lane_products(block);
            }
        }
        for (index_t row = 0; packs && row < plan.result_rows; ++row)
            std::copy_n(sums + row * pitch, lanes, result + row * source.lanes());
    });
    if (plan.slices > 1)
        add_slices(workspace.partial_sums, plan.slices, plan.result_rows, source.lanes(), product.sums, source.lanes());
}

template std::size_t workspace_bytes(const LaneProduct<float>&);
template std::size_t workspace_bytes(const LaneProduct<double>&);
template void multiply(const LaneProduct<float>&);
template void multiply(const LaneProduct<double>&);
template std::size_t workspace_bytes(const LaneOuterProduct<float>&);
template std::size_t workspace_bytes(const LaneOuterProduct<double>&);
template void sum_products(const LaneOuterProduct<float>&);
template void sum_products(const LaneOuterProduct<double>&);

}  // namespace fastconv
