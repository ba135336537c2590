#include "gemm/row_product.h"

#include <algorithm>

#include "core/isa.h"
#include "core/kept_weight.h"
#include "core/memory.h"
#include "core/threads.h"
#include "gemm/row_product_plan.h"

namespace fastconv {
namespace {

using Plan = RowProductPlan;

// What packing a value of the matrix costs, in operations: it comes from memory and goes there. Guessed, and measured
// as a whole on two and on 16 cores.
constexpr double kPackCost = 16;
constexpr index_t kPackedRows = 128;  // of the matrix, that a task packs: of one tap or of several

template <class T>
Segment segment_at(const RowProduct<T>& product, const Plan& plan, index_t segment) {
    return segment_of(plan, product.columns, segment);
}

struct Block {
    index_t tap, taps, channel, depth;
};

template <class T>
Block block_at(const RowProduct<T>& product, const Plan& plan, index_t block) {
    const index_t tap = block / plan.depth_blocks * plan.taps_per_block;
    const index_t channel = block % plan.depth_blocks * plan.depth_per_block;
    return {tap, std::min(plan.taps_per_block, plan.taps - tap), channel,
            std::min(plan.depth_per_block, product.depth - channel)};
}

template <class T>
struct Workspace {
    T* panels;          // segment by segment, block by block; or per worker those of one block
    T* zeros;           // the row that stands for padding
    const T** sources;  // per worker: pointers to the rows of a block, tap by tap
    T* copies;          // per worker: rows that reach into the padding
    T** targets;        // per worker
    const T** fetched;  // per worker: the part of the weight that it fetched ahead last
};

template <class T>
index_t copies_size(const RowProduct<T>& product, const Plan& plan) {
    return plan.lines ? product.source.lines_size(plan.rows_per_block)
                      : product.source.scratch_size(plan.rows_per_block, plan.taps_per_block);
}

template <class T>
Workspace<T> carve(Arena& arena, const RowProduct<T>& product, const Plan& plan) {
    Workspace<T> workspace;
    workspace.panels = arena.take<T>(product.kept != nullptr ? 0
                                     : plan.packs_late       ? plan.threads * plan.late_panels()
                                                             : plan.panels());
    workspace.zeros = arena.take<T>(product.groups * product.depth);
    workspace.sources = arena.take<const T*>(plan.threads * plan.taps_per_block * plan.rows_per_block);
    workspace.copies = arena.take<T>(plan.threads * copies_size(product, plan));
    workspace.targets = arena.take<T*>(plan.threads * plan.rows_per_block);
    workspace.fetched = arena.take<const T*>(plan.threads);
    return workspace;
}

template <class T>
T* panels_of(const Workspace<T>& workspace, const RowProduct<T>& product, const Plan& plan, const Kernels<T>& kernels,
             index_t segment, const Block& block) {
    T* panels = workspace.panels + segment * plan.padded_reduction * plan.padded_columns;
    const index_t columns = segment_at(product, plan, segment).columns;
    if (plan.narrow) {
        const index_t before = block.tap * plan.depth_blocks + block.channel / plan.depth_per_block * block.taps;
        return panels + before * columns * padded_depth(plan, kernels);
    }
    return panels + (block.tap * product.depth + block.channel) * round_up(columns, kernels.vector_width);
}

// Where the part of the weight begins that a block of the reduction and a segment meet.
template <class T>
const T* weight_at(const RowProduct<T>& product, const Segment& segment, const Block& block) {
    return product.weight + kernel_position(product.source.map, block.tap) * product.tap_stride +
           segment.group * product.group_stride + block.channel * product.row_stride +
           segment.column * product.column_stride;
}

// Whether that is one matrix whose columns lie side by side: the kernel packs it while it multiplies.
template <class T>
bool is_plain(const RowProduct<T>& product, const Block& block) {
    return block.taps == 1 && product.source.joined == 1 && product.column_stride == 1;
}

// Column by column, `pitch` apart: what the kernels for few columns read.
template <class T>
void pack_columns(const RowProduct<T>& product, index_t rows, index_t columns, const T* weight, index_t pitch,
                  T* panels) {
    for (index_t k = 0; k < columns; ++k)
        for (index_t c = 0; c < rows; ++c)
            panels[k * pitch + c] = weight[c * product.row_stride + k * product.column_stride];
}

// Rows [first, last) of the matrix, of those that belong to a tap of a block: those of several taps of the kernel where
// they are joined.
template <class T>
void pack_rows(const RowProduct<T>& product, const Plan& plan, const Kernels<T>& kernels, const Segment& segment,
               const Block& block, index_t tap, index_t first, index_t last, T* panels) {
    const index_t depth = product.depth / product.source.joined;
    const T* weight = product.weight + kernel_position(product.source.map, block.tap + tap) * product.tap_stride +
                      segment.group * product.group_stride + segment.column * product.column_stride;
    const index_t joined_stride = product.source.kernel_step * product.tap_stride;
    for (index_t channel = first, rows; channel < last; channel += rows) {
        const index_t inside = channel % depth;
        rows = std::min(depth - inside, last - channel);
        const T* start = weight + channel / depth * joined_stride + inside * product.row_stride;
        if (plan.narrow) {
            const index_t padded = round_up(block.depth, kernels.vector_width);
            pack_columns(product, rows, segment.columns, start, padded,
                         panels + tap * segment.columns * padded + channel - block.channel);
        } else {
            kernels.pack_panels({start, product.row_stride, product.column_stride, rows, segment.columns, panels,
                                 tap * block.depth + channel - block.channel, block.taps * block.depth});
        }
    }
}

template <class T>
void pack_block(const RowProduct<T>& product, const Plan& plan, const Kernels<T>& kernels, const Segment& segment,
                const Block& block, T* panels) {
    if (plan.narrow)
        std::fill_n(panels, block.taps * segment.columns * round_up(block.depth, kernels.vector_width), T(0));
    for (index_t t = 0; t < block.taps; ++t)
        pack_rows(product, plan, kernels, segment, block, t, block.channel, block.channel + block.depth, panels);
}

// In tasks of some rows of a tap, or of some taps; of whole blocks, where columns are few.
template <class T>
void pack_weight(const RowProduct<T>& product, const Plan& plan, const Workspace<T>& workspace,
                 const Kernels<T>& kernels) {
    const index_t taps = std::max<index_t>(kPackedRows / plan.depth_per_block, 1);  // together
    const index_t tap_tasks = plan.narrow ? 1 : ceil_div(plan.taps_per_block, taps),
                  pieces = plan.narrow ? 1 : ceil_div(plan.depth_per_block, kPackedRows);
    const index_t tasks = plan.segments * plan.blocks * tap_tasks * pieces;
    const double work = kPackCost * static_cast<double>(plan.segments * plan.reduction * plan.padded_columns);
    parallel_for(tasks, worthwhile_threads(work, tasks), [&](index_t task, int) {
        const index_t piece = task % pieces, first_tap = task / pieces % tap_tasks * taps,
                      index = task / pieces / tap_tasks, segment = index / plan.blocks;
        const Segment columns = segment_at(product, plan, segment);
        const Block block = block_at(product, plan, index % plan.blocks);
        T* panels = panels_of(workspace, product, plan, kernels, segment, block);
        if (plan.narrow) return pack_block(product, plan, kernels, columns, block, panels);
        const index_t first = block.channel + std::min(piece * kPackedRows, block.depth),
                      last = block.channel + std::min((piece + 1) * kPackedRows, block.depth);
        for (index_t tap = first_tap; tap < std::min(first_tap + taps, block.taps); ++tap)
            pack_rows(product, plan, kernels, columns, block, tap, first, last, panels);
    });
}

// What the layout of the packed matrix depends on.
template <class T>
KeptWeight::Key key_of(const RowProduct<T>& product, const Plan& plan, const Kernels<T>& kernels) {
    const auto number = [](index_t value) { return static_cast<std::uint64_t>(value); };
    KeptWeight::Key key{reinterpret_cast<std::uintptr_t>(&kernels),
                        sizeof(T),
                        number(product.groups),
                        number(product.depth),
                        number(product.columns),
                        number(product.source.joined),
                        number(product.source.kernel_step),
                        number(plan.columns_per_segment),
                        number(plan.taps_per_block),
                        number(plan.depth_per_block),
                        number(plan.narrow)};
    for (const AxisMap& axis : product.source.map.axes)
        for (const index_t value : {axis.kernel, axis.taps, axis.kernel_start, axis.kernel_step})
            key.push_back(number(value));
    return key;
}

// A part of the weight.
struct Part {
    index_t segment, block;
    bool none;
};

// The one that a worker will probably need next: of the task's next segment or block, or of the next task.
Part part_after(const Plan& plan, index_t block, index_t segment, index_t first_segment, index_t last_segment,
                index_t task) {
    if (++segment < last_segment) return {segment, block, false};
    if (++block < plan.blocks) return {first_segment, block, false};
    if (++task == plan.tasks()) return {0, 0, true};
    return {task % plan.segment_tasks * plan.segments_per_task, 0, false};
}

// Names, for the kernel to fetch it meanwhile, the part of the weight that a worker packs next or of which it reads the
// panels next.
template <class T>
void fetch_ahead(const RowProduct<T>& product, const Plan& plan, const Workspace<T>& workspace,
                 const Kernels<T>& kernels, const Part& part, RowBlock<T>& rows) {
    if (part.none) return;
    const Block block = block_at(product, plan, part.block);
    if (plan.packs_late) {
        rows.ahead = weight_at(product, segment_at(product, plan, part.segment), block);
        rows.ahead_row_stride = product.row_stride;
        rows.ahead_column_stride = product.column_stride;
    } else {
        rows.ahead = panels_of(workspace, product, plan, kernels, part.segment, block);
        rows.ahead_row_stride = 1;
        rows.ahead_column_stride = block.taps * block.depth;
    }
}

}  // namespace

template <class T>
std::size_t workspace_bytes(const RowProduct<T>& product) {
    Arena arena;
    carve(arena, product, make_plan(product, kernels<T>()));
    return arena.used();
}

template <class T>
void multiply(const RowProduct<T>& product) {
    const Kernels<T>& table = kernels<T>();
    const Plan plan = make_plan(product, table);
    if (plan.rows == 0) return;

    Buffer buffer;
    Workspace<T> workspace = carve_buffer(buffer, [&](Arena& arena) { return carve(arena, product, plan); });
    std::fill_n(workspace.zeros, product.groups * product.depth, T(0));
    std::fill_n(workspace.fetched, plan.threads, nullptr);
    std::shared_ptr<void> kept;
    if (product.kept != nullptr) {
        const std::size_t bytes = static_cast<std::size_t>(plan.panels()) * sizeof(T);
        kept = product.kept->obtain(key_of(product, plan, table), bytes, [&](void* panels) {
            workspace.panels = static_cast<T*>(panels);
            pack_weight(product, plan, workspace, table);
        });
        workspace.panels = static_cast<T*>(kept.get());
    } else if (!plan.packs_late) {
        pack_weight(product, plan, workspace, table);
    }

    parallel_for(plan.tasks(), plan.threads, [&](index_t task, int worker) {
        const index_t first_row = task / plan.segment_tasks * plan.rows_per_block;
        const index_t rows = std::min(plan.rows_per_block, plan.rows - first_row);
        const index_t first_segment = task % plan.segment_tasks * plan.segments_per_task;
        const index_t last_segment = std::min(first_segment + plan.segments_per_task, plan.segments);
        const T** sources = workspace.sources + worker * plan.taps_per_block * plan.rows_per_block;
        T* copies = workspace.copies + worker * copies_size(product, plan);
        T** targets = workspace.targets + worker * plan.rows_per_block;
        T* late_panels = workspace.panels + worker * plan.late_panels();
        target_rows(product.source.map, product.target, first_row, rows, targets);
        if (plan.lines) {
            for_each_run(product.source.map, first_row, rows, [&](const Run& run) {
                product.source.lines(run, workspace.zeros, copies, sources);
                for (index_t s = first_segment; s < last_segment; ++s) {
                    const Segment segment = segment_at(product, plan, s);
                    const T* bias = product.bias == nullptr ? nullptr : product.bias + segment.column;
                    const T* panels = panels_of(workspace, product, plan, table, s, block_at(product, plan, 0));
                    table.multiply_rows({sources, 0, product.source.row_step(), run.count, plan.taps, 0, product.depth,
                                         panels, segment.columns, targets + run.first, segment.column, bias,
                                         workspace.zeros, false, product.relu, plan.streams});
                }
            });
            return;
        }

        for (index_t b = 0; b < plan.blocks; ++b) {
            const Block block = block_at(product, plan, b);
            if (block.channel == 0)
                product.source.gather(first_row, rows, block.tap, block.taps, workspace.zeros, copies, sources);
            for (index_t s = first_segment; s < last_segment; ++s) {
                const Segment segment = segment_at(product, plan, s);
                const index_t column = segment.group * product.columns + segment.column;
                const auto multiply_rows = plan.narrow ? table.multiply_rows_narrow : table.multiply_rows;
                const T* panels = late_panels;
                const bool packs = plan.packs_late && block.taps > 0,
                           packs_meanwhile = packs && is_plain(product, block);
                if (packs) {
                    if (!packs_meanwhile) pack_block(product, plan, table, segment, block, late_panels);
                } else {
                    panels = panels_of(workspace, product, plan, table, s, block);
                }
                RowBlock<T> rows_block{sources,
                                       rows,
                                       0,
                                       rows,
                                       block.taps,
                                       segment.group * product.depth + block.channel,
                                       block.depth,
                                       panels,
                                       segment.columns,
                                       targets,
                                       column,
                                       product.bias == nullptr ? nullptr : product.bias + column,
                                       workspace.zeros,
                                       b > 0,
                                       product.relu && b == plan.blocks - 1,
                                       plan.streams};
                if (packs_meanwhile) {
                    rows_block.matrix = weight_at(product, segment, block);
                    rows_block.matrix_row_stride = product.row_stride;
                    rows_block.matrix_is_fetched = rows_block.matrix == workspace.fetched[worker];
                    rows_block.packed = late_panels;
                }
                if (plan.few_rows && block.taps > 0) {
                    const Part next = part_after(plan, b, s, first_segment, last_segment, task);
                    fetch_ahead(product, plan, workspace, table, next, rows_block);
                    workspace.fetched[worker] = rows_block.ahead;
                }
                multiply_rows(rows_block);
            }
        }
    });
}

template std::size_t workspace_bytes(const RowProduct<float>&);
template std::size_t workspace_bytes(const RowProduct<double>&);
template void multiply(const RowProduct<float>&);
template void multiply(const RowProduct<double>&);

}  // namespace fastconv
