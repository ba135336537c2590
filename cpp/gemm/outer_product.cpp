#include "gemm/outer_product.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "gemm/outer_product_ahead.h"
#include "gemm/outer_product_plan.h"
#include "gemm/slices.h"

namespace fastconv {
namespace {

using Plan = OuterProductPlan;

template <class T>
struct Workspace {
    T* partial_sums;    // slice by slice; null where there is one slice
    T* zeros;           // the row that stands for padding
    T* panels;          // per worker: kRows rows of the right-hand side, segment by segment
    const T** sources;  // per worker: kTaps x kRows pointers
    index_t* places;    // per worker: which of kRows rows of a panel these are
    T* copies;          // per worker: rows that reach into the padding
    T* packed;          // per worker: kRows rows of kPackedChannels
    index_t copies_per_worker;
    index_t panels_per_worker;
};

// A row of padding, or a piece of a line.
template <class T>
index_t zeros_size(const OuterProduct<T>& product, const Plan& plan) {
    return plan.lines ? product.source.lines_size(kRows) / plan.taps : product.groups * product.depth;
}

template <class T>
Workspace<T> carve(Arena& arena, const OuterProduct<T>& product, const Plan& plan) {
    Workspace<T> workspace;
    workspace.panels_per_worker = plan.segments_per_task * kRows * plan.padded_columns;
    workspace.partial_sums = plan.slices > 1 ? arena.take<T>(plan.slices * plan.result_size) : nullptr;
    workspace.zeros = arena.take<T>(zeros_size(product, plan));
    workspace.panels = arena.take<T>(plan.direct ? 0 : plan.threads * workspace.panels_per_worker);
    workspace.sources = arena.take<const T*>(plan.threads * std::max(kTaps * kRows, plan.lines ? plan.taps : 0));
    workspace.places = arena.take<index_t>(plan.threads * kRows);
    workspace.copies_per_worker =
        plan.lines ? product.source.lines_size(kRows) : product.source.scratch_size(kRows, std::min(kTaps, plan.taps));
    workspace.copies = arena.take<T>(plan.threads * workspace.copies_per_worker);
    workspace.packed = arena.take<T>(plan.packs ? plan.threads * kRows * kPackedChannels : 0);
    return workspace;
}

struct Part {
    index_t first_row, last_row;          // of the pixels
    index_t first_result, last_result;    // of the (tap, channel) rows of the result
    index_t first_segment, last_segment;  // of its columns
};

Part part_at(const Plan& plan, index_t task) {
    const index_t slice = task / plan.segment_tasks / plan.parts;
    const index_t part = task / plan.segment_tasks % plan.parts;
    const index_t segment = task % plan.segment_tasks * plan.segments_per_task;
    return {slice * plan.rows_per_slice,
            std::min((slice + 1) * plan.rows_per_slice, plan.rows),
            part * plan.result_rows_per_part,
            std::min((part + 1) * plan.result_rows_per_part, plan.result_rows),
            segment,
            std::min(segment + plan.segments_per_task, plan.segments)};
}

template <class T>
struct Sum {
    const OuterProduct<T>& product;
    const Plan& plan;
    const Kernels<T>& kernels;
    const Workspace<T>& workspace;

    Segment segment_at(index_t segment) const { return segment_across(plan, product.columns, segment); }

    // Where the sums of a slice lie: in the result itself, or packed densely beside those of other slices.
    struct Sums {
        T* data;
        index_t pitch;

        T* row(index_t index) const { return data + index * pitch; }
    };

    Sums sums_of(index_t slice) const {
        if (plan.slices == 1) return {product.sums, product.sums_pitch};
        return {workspace.partial_sums + slice * plan.result_size, product.groups * product.columns};
    }

    void clear(const Part& part, const Sums& sums) const {
        const index_t first = segment_at(part.first_segment).column;
        const Segment last = segment_at(part.last_segment - 1);
        for (index_t row = part.first_result; row < part.last_result; ++row)
            std::fill(sums.row(row) + first, sums.row(row) + last.column + last.columns, T(0));
    }

    void pack(const Part& part, index_t row, index_t rows, T* panels) const {
        for (index_t s = part.first_segment; s < part.last_segment; ++s, panels += kRows * plan.padded_columns)
            pack(segment_at(s), row, rows, panels);
    }

    void pack(const Segment& segment, index_t row, index_t rows, T* panels) const {
        if (!product.right_in_planes()) {
            kernels.pack_panels({product.right + row * product.right_pitch + segment.column, product.right_pitch, 1,
                                 rows, segment.columns, panels, 0, rows});
            return;
        }
        const index_t pixels = product.source.map.pixels();
        for_each_image_part(pixels, row, rows, [&](index_t first, index_t image, index_t pixel, index_t count) {
            const T* start = product.right + image * product.right_image + pixel + segment.column * product.right_plane;
            kernels.pack_panels({start, 1, product.right_plane, count, segment.columns, panels, first, rows});
        });
    }

    NextRows<T> next_rows(const Part& part, const T* const* sources, index_t row, index_t rows) const {
        NextRows<T> next;
        const index_t count = std::min(plan.rows_per_block, part.last_row - row - rows);
        if (count <= 0 || plan.narrow) return next;
        const Segment first = segment_at(part.first_segment), last = segment_at(part.last_segment - 1);
        const index_t columns = last.column + last.columns - first.column;
        // Of planes what is left of the image, plane by plane.
        const TensorView<const T>& source = product.source.tensor;
        const index_t pixels = product.source.map.pixels(), image = (row + rows) / pixels,
                      pixel = (row + rows) % pixels, stretch = std::min(count, pixels - pixel);
        next.right = {product.right + (row + rows) * product.right_pitch + first.column, product.right_pitch, count,
                      columns};
        if (product.right_in_planes())
            next.right = {product.right + image * product.right_image + pixel + first.column * product.right_plane,
                          product.right_plane, columns, stretch};
        const index_t taps = ceil_div(part.last_result, product.depth) - part.first_result / product.depth;
        next.calls = taps * ceil_div(product.depth, plan.packs ? kPackedChannels : product.depth) *
                     (part.last_segment - part.first_segment);
        if (in_planes(source)) {  // all channels are laid out
            next.source = {source.data + image * source.batch_stride + pixel, source.channel_stride, source.channels,
                           stretch};
        } else if (plan.taps == 1 && rows > 1) {
            const index_t pitch = sources[1] - sources[0];
            if (sources[rows - 1] - sources[0] == (rows - 1) * pitch)
                next.source = {sources[0] + rows * pitch + first.group * product.depth + part.first_result, pitch,
                               count,
                               (last.group - first.group) * product.depth + part.last_result - part.first_result};
        }
        return next;
    }

    // The pixels that rows of the source lie between.
    struct Pixels {
        const T *first = nullptr, *last = nullptr;
    };

    Pixels pixels_of(const T* const* sources, index_t count) const {
        Pixels pixels;
        for (index_t i = 0; i < count; ++i) {
            if (sources[i] == workspace.zeros) continue;
            pixels.first = pixels.first == nullptr ? sources[i] : std::min(pixels.first, sources[i]);
            pixels.last = std::max(pixels.last, sources[i]);
        }
        return pixels;
    }

    NextSegment<T> next_segment(const Part& part, index_t segment, const Pixels& pixels, const T* right, index_t rows,
                                index_t taps) const {
        NextSegment<T> next;
        if (segment + 1 == part.last_segment || plan.narrow) return next;
        const Segment now = segment_at(segment), then = segment_at(segment + 1);
        next.calls = taps;
        if (right != nullptr) next.right = {right + then.column, product.right_pitch, rows, then.columns};
        const index_t pitch = product.source.tensor.strides[kAxes - 1];
        if (then.group == now.group || pixels.first == nullptr || pitch <= 0) return next;
        const index_t count = (pixels.last - pixels.first) / pitch + 1;
        if (count <= kMostPixels * rows)
            next.source = {pixels.first + then.group * product.depth, pitch, count, product.depth};
        return next;
    }

    // The rows that a tap meets: those of the source, and where they stand among those of the right-hand side, of which
    // there are `all`. What isn't packed yet the first channels leave packed.
    struct Met {
        const T* const* sources;
        const index_t* places;  // of packed rows
        index_t count, all;
        const T* right;  // or null
    };

    Met met(const T** sources, index_t rows, index_t* places, const T* right) const {
        if (!plan.packs) return {sources, nullptr, rows, rows, right};
        const bool skips = product.skips_padding && !plan.narrow;
        index_t count = 0;
        for (index_t row = 0; row < rows; ++row) {
            sources[count] = sources[row];
            places[count] = row;
            count += skips && sources[row] == workspace.zeros ? 0 : 1;
        }
        return {sources, places, count, rows, right};
    }

    // One tap's share of the part: some channels of the source against all columns of the part.
    template <class Next>
    void add_tap(const Part& part, index_t tap, const Met& met, T* panels, T* packed, bool fresh, const Sums& sums,
                 Next& next) const {
        const index_t first = std::max(part.first_result - tap * product.depth, index_t{0});
        const index_t last = std::min(part.last_result - tap * product.depth, product.depth);
        const index_t step = plan.packs ? kPackedChannels : last - first;
        const auto add = plan.narrow ? kernels.add_outer_products_narrow : kernels.add_outer_products;
        for (index_t channel = first; channel < last; channel += step) {
            const index_t channels = std::min(step, last - channel);
            T* panel = panels;
            index_t group = -1;  // whose channels are packed
            for (index_t s = part.first_segment; s < part.last_segment; ++s, panel += kRows * plan.padded_columns) {
                const Segment segment = segment_at(s);
                OuterBlock<T> block{met.sources,
                                    nullptr,
                                    met.count,
                                    segment.group * product.depth + channel,
                                    channels,
                                    panel,
                                    segment.columns,
                                    sums.row(tap * product.depth + channel) + segment.column,
                                    sums.pitch,
                                    0,
                                    0,
                                    nullptr,
                                    0,
                                    fresh,
                                    false};
                block.places = met.places;
                block.panel_rows = met.all;
                if (met.right != nullptr && channel == first) {
                    block.right = met.right + segment.column;
                    block.right_pitch = product.right_pitch;
                }
                block.stream = plan.streams;
                next.add_to(block);
                if (plan.packs) {
                    if (segment.group != group) kernels.pack_channels(block, packed);
                    group = segment.group;
                    block.packed = packed;
                }
                add(block);
            }
        }
    }

    // Some taps' share of the part, segment by segment: what one of them meets, the others meet again. Of all segments
    // L2 keeps little, and no prefetcher follows the short pieces of far rows. Measured, Zen 4, 3x3, 32 groups of 16,
    // time of tap by tap over this: 14x14, batch 16 1.3, of one thread 1.6, batch 4 1.0, 28x28 with stride 2 1.5.
    void add_apart(const Part& part, index_t rows, index_t tap, index_t taps, const T* const* sources, const T* right,
                   T* panels, bool fresh, const Sums& sums) const {
        const Pixels pixels = pixels_of(sources, taps * rows);
        Part one = part;
        for (index_t s = part.first_segment; s < part.last_segment; ++s, panels += kRows * plan.padded_columns) {
            one.first_segment = s;
            one.last_segment = s + 1;
            NextSegment<T> next = next_segment(part, s, pixels, right, rows, taps);
            for (index_t t = 0; t < taps; ++t)
                add_tap(one, tap + t, {sources + t * rows, nullptr, rows, rows, t == 0 ? right : nullptr}, panels,
                        nullptr, fresh, sums, next);
        }
    }

    // All taps' share of the part, line by line.
    void add_lines(const Part& part, index_t row, index_t rows, T* panels, T* copies, const T** sources,
                   const Sums& sums) const {
        for_each_run(product.source.map, row, rows, [&](const Run& run) {
            product.source.lines(run, workspace.zeros, copies, sources);
            for (index_t s = part.first_segment; s < part.last_segment; ++s) {
                const Segment segment = segment_at(s);
                OuterBlock<T> block{};
                block.sources = sources;
                block.rows = run.count;
                block.depth = product.depth;
                block.columns = segment.columns;
                block.sums = sums.row(0) + segment.column;
                block.pitch = sums.pitch;
                block.taps = plan.taps;
                block.row_step = product.source.row_step();
                block.right = product.right + (row + run.first) * product.right_pitch + segment.column;
                block.right_pitch = product.right_pitch;
                const index_t next = row + run.first + run.count;
                if (plan.fetches)
                    block.ahead[0] = {product.right + next * product.right_pitch + segment.column, product.right_pitch,
                                      std::min(run.count, part.last_row - next), segment.columns};
                if (!plan.direct) {
                    pack(segment, row + run.first, run.count, panels);
                    block.panels = panels;
                }
                kernels.add_outer_lines(block);
            }
        });
    }

    void run(index_t task, int worker) const {
        const Part part = part_at(plan, task);
        const Sums sums = sums_of(task / plan.segment_tasks / plan.parts);
        T* panels = workspace.panels + worker * workspace.panels_per_worker;
        const T** sources = workspace.sources + worker * kTaps * kRows;
        T* copies = workspace.copies + worker * workspace.copies_per_worker;
        T* packed = workspace.packed + worker * kRows * kPackedChannels;
        index_t* places = workspace.places + worker * kRows;
        const index_t first_tap = part.first_result / product.depth;
        const index_t last_tap = ceil_div(part.last_result, product.depth);

        const bool clears = plan.narrow || plan.lines || part.first_row == part.last_row;
        if (clears) clear(part, sums);
        for (index_t row = part.first_row; row < part.last_row; row += plan.rows_per_block) {
            const index_t rows = std::min(plan.rows_per_block, part.last_row - row);
            if (plan.lines) {
                add_lines(part, row, rows, panels, copies, sources, sums);
                continue;
            }
            const bool fresh = !clears && row == part.first_row;
            const bool packs = plan.narrow || product.right_in_planes();
            if (packs) pack(part, row, rows, panels);
            const T* right = packs ? nullptr : product.right + row * product.right_pitch;
            NextRows<T> next;
            for (index_t tap = first_tap; tap < last_tap; tap += kTaps) {
                const index_t taps = std::min(kTaps, last_tap - tap);
                product.source.gather(row, rows, tap, taps, workspace.zeros, copies, sources);
                if (plan.apart) {
                    add_apart(part, rows, tap, taps, sources, right, panels, fresh, sums);
                    right = nullptr;
                    continue;
                }
                if (tap == first_tap) next = next_rows(part, sources, row, rows);
                for (index_t t = 0; t < taps; ++t, right = nullptr)
                    add_tap(part, tap + t, met(sources + t * rows, rows, places, right), panels, packed, fresh, sums,
                            next);
            }
        }
    }
};

// The columns of a group may fill half of a vector.
template <class T>
const Kernels<T>& kernels_for(const OuterProduct<T>& product) {
    const Kernels<T>& widest = kernels<T>();
    if (product.groups == 1 || is_narrow(product.depth, product.columns, widest.vector_width)) return widest;
    return kernels_of_columns<T>(product.columns);
}

}  // namespace

template <class T>
std::size_t workspace_bytes(const OuterProduct<T>& product) {
    Arena arena;
    carve(arena, product, make_plan(product, kernels_for(product)));
    return arena.used();
}

template <class T>
void sum_products(const OuterProduct<T>& product) {
    const Kernels<T>& table = kernels_for(product);
    const Plan plan = make_plan(product, table);
    Buffer buffer;
    const Workspace<T> workspace = carve_buffer(buffer, [&](Arena& arena) { return carve(arena, product, plan); });
    std::fill_n(workspace.zeros, zeros_size(product, plan), T(0));

    const Sum<T> sum{product, plan, table, workspace};
    parallel_for(plan.tasks(), plan.threads, [&](index_t task, int worker) { sum.run(task, worker); });
    if (plan.slices > 1) {
        add_slices(workspace.partial_sums, plan.slices, plan.result_rows, product.groups * product.columns,
                   product.sums, product.sums_pitch);
    }
}

template std::size_t workspace_bytes(const OuterProduct<float>&);
template std::size_t workspace_bytes(const OuterProduct<double>&);
template void sum_products(const OuterProduct<float>&);
template void sum_products(const OuterProduct<double>&);

}  // namespace fastconv
