#include "gemm/row_product.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "gemm/segments.h"
#include "gemm/streaming.h"

namespace fastconv {
namespace {

// Block sizes, after the caches: a panel of 640 x 48 floats streams from L2, beside 144 rows. Measured on a Zen 4 with
// AVX-512 and with AVX2, 3x3, 5x5 and 1x1 layers: a depth of 128, 256, 384, 640 and 1200 took 1.07, 1.04, 1.01, 1 and 1
// of the time, because each block loads and stores the sums; 96 to 288 rows made no difference.
constexpr index_t kDepth = 640;
constexpr index_t kNarrowDepth = 1024;  // of a few columns
constexpr index_t kRows = 144;
constexpr index_t kColumns = 512;
// Rows of at most so many values come as lines, whole sums of at most so many at a time.
constexpr index_t kShortRow = 48, kShortSum = 512;
// Where rows are few: the most of a block, and the numbers of splits of the columns that are weighed.
constexpr index_t kMostRows = 288;
constexpr index_t kSplits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
// What storing a value costs, in products; it is all that there is where no tap meets a row. What packing one costs, in
// operations: it comes from memory and goes there. Guessed, and measured as a whole on two and on 16 cores.
constexpr index_t kStoreCost = 8;
constexpr double kPackCost = 16;
constexpr index_t kPackedRows = 128;  // of the matrix, that a task packs: of one tap or of several
// With late packing the panels are the smaller part of L2 (4 of 256 rows are 64 KB), and a block has more rows.
constexpr index_t kLateRows = 288, kFewRowBlocks = 2;
// What a task makes of so many vectors of columns: panels of one or two aren't as fast as those of three.
constexpr double kLateUse[] = {0.7, 0.9, 0.97, 0.95, 0.96, 0.98, 0.97, 0.98, 1, 0.98, 0.99, 1};

// How a product is cut. Every target value is computed in one task, its sum in the order of the
// reduction; so none of this changes a bit of the result.
struct Plan {
    index_t rows, taps, reduction;
    index_t taps_per_block, depth_blocks, depth_per_block, blocks;  // the reduction: tap-major, channels inside
    index_t rows_per_block, row_blocks;
    index_t columns_per_segment, segments_per_group, segments;  // a segment is some columns of one group
    index_t padded_columns, padded_reduction;                   // of a segment
    bool narrow;                                                // vectors run along the rows
    bool lines;                                                 // short rows, evenly spaced on lines
    bool streams;                                               // the target is written past the caches
    bool packs_late;                                            // each task packs its panels itself, block by block
    index_t segments_per_task, segment_tasks;
    int threads;

    index_t tasks() const { return row_blocks * segment_tasks; }
    index_t late_panels() const { return taps_per_block * depth_per_block * padded_columns; }
};

template <class T>
index_t padded_depth(const Plan& plan, const Kernels<T>& kernels) {
    return round_up(plan.depth_per_block, kernels.vector_width);
}

// Columns of groups, cut into segments and these shared by tasks, after a number of splits that is wanted.
struct Columns {
    index_t per_segment, segments_per_group, segments, segments_per_task, segment_tasks;

    Columns(index_t columns, index_t groups, index_t splits, index_t panel_width) {
        const index_t group_splits = std::max(ceil_div(splits, groups), ceil_div(columns, kColumns));
        per_segment = std::min(round_up(ceil_div(columns, group_splits), panel_width), columns);
        segments_per_group = ceil_div(columns, per_segment);
        segments = groups * segments_per_group;
        segments_per_task = ceil_div(segments, std::min(splits, segments));
        segment_tasks = ceil_div(segments, segments_per_task);
    }
};

struct Cut {
    index_t row_blocks, splits;  // splits of the columns of all groups
};

// Where there are too few rows for every thread to have several whole blocks.
template <class T>
Cut best_cut(const RowProduct<T>& product, const Plan& plan, const Kernels<T>& kernels, int threads) {
    const index_t panels = product.groups * ceil_div(product.columns, kernels.panel_width),
                  most = std::min<index_t>(panels, 2 * threads);
    Cut best{1, 1};
    double least = 0;
    for (const index_t wanted : kSplits) {
        const index_t splits = std::min(wanted, most);
        const Columns columns(product.columns, product.groups, splits, kernels.panel_width);
        const auto width =
            static_cast<double>(columns.segments_per_task * round_up(columns.per_segment, kernels.vector_width));
        // A value of a row is loaded as well, once for all taps, and meets all columns of the task.
        const double row_cost = 1 + kLoadCost / (width * static_cast<double>(std::max<index_t>(plan.taps, 1)));
        const Blocks blocks =
            best_blocks(plan.rows, kernels.row_tile, kMostRows, columns.segment_tasks, threads, kLoadCost / row_cost);
        const double time = blocks.time * row_cost * width;
        if (least == 0 || time < least) {
            best = {blocks.count, splits};
            least = time;
        }
        if (wanted >= most) break;
    }
    return best;
}

template <class T>
Plan make_plan(const RowProduct<T>& product, const Kernels<T>& kernels) {
    Plan plan{};
    plan.rows = product.source.map.rows();
    plan.taps = product.source.map.taps();
    plan.reduction = plan.taps * product.depth;

    plan.narrow = is_narrow(product.depth, product.columns, kernels.vector_width);
    plan.lines = !plan.narrow && product.source.has_short_rows(kShortRow) && plan.reduction <= kShortSum;
    const index_t most_depth = plan.narrow ? kNarrowDepth : plan.lines ? kShortSum : kDepth;

    plan.depth_blocks = std::max<index_t>(ceil_div(product.depth, most_depth), 1);
    plan.depth_per_block = ceil_div(product.depth, plan.depth_blocks);
    const index_t most_taps = plan.depth_blocks > 1 ? 1 : std::max<index_t>(most_depth / product.depth, 1);
    const index_t tap_blocks = std::max<index_t>(ceil_div(plan.taps, most_taps), 1);
    plan.taps_per_block = ceil_div(plan.taps, tap_blocks);
    plan.blocks = tap_blocks * plan.depth_blocks;

    // Enough tasks for the threads to share evenly.
    const double operations = 2.0 * static_cast<double>(plan.rows) * static_cast<double>(plan.reduction + kStoreCost) *
                              static_cast<double>(product.columns * product.groups);
    const int threads = worthwhile_threads(operations, plan.rows * product.groups * product.columns);
    const index_t wanted = threads > 1 ? 2 * threads + 4 : 1;
    // With few rows the matrix is the larger part: it is cut by columns, and packed where it is used.
    const index_t few_blocks = ceil_div(plan.rows, kLateRows);
    const index_t panels = product.groups * ceil_div(product.columns, kernels.panel_width);
    plan.packs_late = !plan.narrow && !plan.lines && few_blocks <= kFewRowBlocks && panels * few_blocks >= wanted;
    Cut cut{few_blocks, 1};
    if (!plan.packs_late) {
        const bool many = threads == 1 || plan.rows >= wanted * kRows;  // whole blocks; an odd one is waited for
        cut = many ? Cut{round_up(ceil_div(plan.rows, kRows), threads), 1} : best_cut(product, plan, kernels, threads);
    }
    plan.rows_per_block =
        round_up(std::max<index_t>(ceil_div(plan.rows, std::max<index_t>(cut.row_blocks, 1)), 1), kernels.row_tile);
    plan.row_blocks = ceil_div(plan.rows, plan.rows_per_block);

    Columns columns(product.columns, product.groups, cut.splits, kernels.panel_width);
    if (plan.packs_late) {
        const index_t vectors = ceil_div(product.columns, kernels.vector_width);
        const index_t tasks = product.groups * plan.row_blocks;
        columns.per_segment =
            std::min(best_vectors(vectors, tasks, threads, kLateUse) * kernels.vector_width, product.columns);
        columns.segments_per_group = ceil_div(product.columns, columns.per_segment);
        columns.segments = columns.segment_tasks = product.groups * columns.segments_per_group;
        columns.segments_per_task = 1;
    }
    plan.columns_per_segment = columns.per_segment;
    plan.segments_per_group = columns.segments_per_group;
    plan.segments = columns.segments;
    plan.segments_per_task = columns.segments_per_task;
    plan.segment_tasks = columns.segment_tasks;
    plan.padded_columns =
        plan.narrow ? plan.columns_per_segment : round_up(plan.columns_per_segment, kernels.vector_width);
    plan.padded_reduction = plan.narrow ? plan.taps * plan.depth_blocks * padded_depth(plan, kernels) : plan.reduction;
    plan.threads = worthwhile_threads(operations, plan.tasks());
    plan.streams = plan.blocks == 1 && !plan.narrow &&
                   may_stream(product.target, product.source.map.batch, plan.rows, product.groups * product.columns);
    return plan;
}

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
    workspace.panels = arena.take<T>(plan.packs_late ? plan.threads * plan.late_panels()
                                                     : plan.segments * plan.padded_reduction * plan.padded_columns);
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

// The part of the weight that a worker will probably pack next: of the task's next segment or block, or of the next
// task.
template <class T>
const T* weight_ahead(const RowProduct<T>& product, const Plan& plan, index_t block, index_t segment,
                      index_t first_segment, index_t last_segment, index_t task) {
    if (++segment == last_segment) {
        segment = first_segment;
        if (++block == plan.blocks) {
            block = 0;
            const index_t next = task + 1;
            if (next >= plan.tasks()) return nullptr;
            segment = next % plan.segment_tasks * plan.segments_per_task;
        }
    }
    return weight_at(product, segment_at(product, plan, segment), block_at(product, plan, block));
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
    const Workspace<T> workspace = carve_buffer(buffer, [&](Arena& arena) { return carve(arena, product, plan); });
    std::fill_n(workspace.zeros, product.groups * product.depth, T(0));
    std::fill_n(workspace.fetched, plan.threads, nullptr);
    if (!plan.packs_late) pack_weight(product, plan, workspace, table);

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
                if (packs) {
                    rows_block.ahead = weight_ahead(product, plan, b, s, first_segment, last_segment, task);
                    rows_block.ahead_row_stride = product.row_stride;
                    rows_block.ahead_column_stride = product.column_stride;
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
