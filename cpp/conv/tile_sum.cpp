#include "conv/tile_sum.h"

#include <algorithm>

#include "conv/tile_sum_plan.h"
#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "gemm/segments.h"

namespace fastconv {
namespace {

using Plan = TileSumPlan;

template <class T>
struct Workspace {
    T* sources;                // transformed tiles of the input, pixel after pixel, per room
    T* panels;                 // those of the gradient, segment after segment, per room
    T* sums;                   // per slice, or per worker
    const T** rows;            // of the sources, per room
    PixelTile<const T>* read;  // per worker
    PixelTile<T>* written;     // per worker
};

template <class T>
Workspace<T> carve(Arena& arena, const Plan& plan) {
    Workspace<T> w;
    w.sources = arena.take<T>(plan.planes * plan.source_plane * plan.rooms());
    w.panels = arena.take<T>(plan.planes * plan.panel_plane * plan.rooms());
    w.sums = arena.take<T>(plan.sums_size * (plan.local ? plan.threads : plan.slices));
    w.rows = arena.take<const T*>(plan.tiles_per_round * plan.rooms());
    w.read = arena.take<PixelTile<const T>>(kTogether * plan.threads);
    w.written = arena.take<PixelTile<T>>(std::max(kTogether, plan.channels_per_part) * plan.threads);
    return w;
}

template <class T>
struct Call {
    const TileSum<T>& s;
    const Plan& plan;
    const Workspace<T>& workspace;
    const Kernels<T>& kernels;

    Segment segment_at(index_t segment) const { return segment_across(plan, plan.columns, segment); }

    struct Part {
        index_t tap, first, count;  // channels [first, first + count) of a group
    };

    Part part_at(index_t tap, index_t part) const {
        const index_t first = part * plan.channels_per_part;
        return {tap, first, std::min(plan.channels_per_part, plan.depth - first)};
    }

    // Rows of panels are cut into chains: the first row of the one that a tile belongs to.
    static index_t chain_of(index_t tile) { return tile / kChain * kChain; }

    struct Round {
        index_t band;
        index_t first, count;  // tiles of all
        bool fresh;            // the first one of a slice
        Ahead<T> ahead[2];     // what the next one reads of the input and of the gradient, where one thread reads it
        T *sources, *panels, *sums;
        const T** rows;

        index_t chunks() const { return ceil_div(count, kTogether); }
    };

    // Of pixels side by side, the channels of a band, of which a group has so many.
    Ahead<T> band_of(const Stretch<T>& pixels, index_t band, index_t group_channels) const {
        const index_t channels = s.g.groups * group_channels, width = plan.groups_per_band * group_channels;
        const Stretch<T> fetched = pixels.worth_fetching(plan.bands);
        if (fetched.values == 0) return {};
        return {fetched.begin + band * width, channels, fetched.values / channels,
                std::min(width, channels - band * width)};
    }

    template <class Body>
    void for_each_round(index_t slice, index_t band, index_t room, const Body& body) const {
        const index_t begin = slice * plan.tiles_per_slice, end = std::min(begin + plan.tiles_per_slice, plan.tiles);
        Round round{band,
                    begin,
                    0,
                    true,
                    {},
                    workspace.sources + room * plan.planes * plan.source_plane,
                    workspace.panels + room * plan.planes * plan.panel_plane,
                    workspace.sums + slice * plan.sums_size,
                    workspace.rows + room * plan.tiles_per_round};
        for (index_t t = 0; t < plan.tiles_per_round; ++t) round.rows[t] = round.sources + t * plan.source_pitch;
        for (; round.first < end; round.first += plan.tiles_per_round, round.fresh = false) {
            round.count = std::min(plan.tiles_per_round, end - round.first);
            if (plan.alone) {
                const index_t next = round.first + round.count, tiles = plan.tiles_per_round;
                round.ahead[0] = band_of(s.tiles.source_stretch(s.source, next, tiles), band, plan.depth);
                round.ahead[1] = band_of(s.tiles.target_stretch(s.grad_output, next, tiles), band, plan.columns);
            }
            body(round);
        }
    }

    void transform(const Round& round, index_t chunk, int worker) const {
        const index_t at = chunk * kTogether, first = round.first + at, count = std::min(kTogether, round.count - at);
        PixelTile<const T>* tiles = workspace.read + worker * kTogether;
        const TileScheme& scheme = s.tiles.scheme;
        TileBlock<T> block{};
        block.tiles = tiles;
        block.count = count;
        block.height = data_of(scheme.height);
        block.width = data_of(scheme.width);
        const index_t first_group = round.band * plan.groups_per_band,
                      first_segment = round.band * plan.band_segments();
        block.channels = std::min(plan.band_inputs(), s.g.in_channels - first_group * plan.depth);
        block.row_step = s.source.strides[1] * s.tiles.axes[1].point_step;
        block.column_step = s.source.strides[2] * s.tiles.axes[2].point_step;
        block.plane_pitch = plan.source_plane;
        block.pitch = plan.source_pitch;
        for (index_t tap = 0; tap < s.tiles.taps(); ++tap) {
            TensorView<const T> view = s.source;
            view.data += first_group * plan.depth;
            s.tiles.source_tiles(view, tap, first, count, tiles);
            block.planes = round.sources + at * plan.source_pitch + tap * plan.band_inputs();
            kernels.transform_tiles(block);
        }
        block.height = kernel_of(scheme.height, scheme.height.results);
        block.width = kernel_of(scheme.width, scheme.width.results);
        block.row_step = s.grad_output.strides[1] * s.tiles.axes[1].residues;
        block.column_step = s.grad_output.strides[2] * s.tiles.axes[2].residues;
        block.plane_pitch = plan.panel_plane;
        block.pitch = 0;
        block.first_row = at - chain_of(at);
        block.block_rows = std::min(kChain, round.count - chain_of(at));
        for (index_t g = first_segment; g < last_segment(round); ++g) {
            const Segment segment = segment_at(g);
            TensorView<const T> view = s.grad_output;
            view.data += segment.column;
            s.tiles.target_tiles(view, first, count, tiles);
            block.channels = segment.columns;
            block.planes = panels_of(round, 0, g, chain_of(at));
            kernels.transform_tiles(block);
        }
    }

    index_t last_segment(const Round& round) const {
        return std::min((round.band + 1) * plan.band_segments(), plan.segments);
    }

    T* panels_of(const Round& round, index_t plane, index_t segment, index_t chain) const {
        const index_t padded = round_up(segment_at(segment).columns, kernels.vector_width);
        const index_t at = segment - round.band * plan.band_segments();
        return round.panels + plane * plan.panel_plane + at * plan.panel_segment + chain * padded;
    }

    // Which product it is of those of a round: of a task's.
    struct Turn {
        index_t task = 0, product = 0, products = 0;
    };

    // What the next round reads is fetched while the last half of the tasks add up: earlier, the tiles that stream past
    // would displace it.
    Ahead<T> part_of(const Ahead<T>& all, const Turn& turn) const {
        const index_t tasks = plan.planes * plan.parts, half = tasks / 2, late = turn.task - (tasks - half);
        if (late < 0) return {};
        const index_t turns = half * turn.products, at = late * turn.products + turn.product;
        const index_t first = all.rows * at / turns, last = all.rows * (at + 1) / turns;
        return {all.start + first * all.pitch, all.pitch, last - first, all.columns};
    }

    // Adds the tiles of a round to the sums of a part, which the first round of a slice sets.
    void add(const Round& round, index_t plane, index_t segment, const Part& part, T* sums, Turn turn = {}) const {
        const Segment columns = segment_at(segment);
        OuterBlock<T> block{};
        const index_t group = columns.group - round.band * plan.groups_per_band;
        block.offset = plane * plan.source_plane + part.tap * plan.band_inputs() + group * plan.depth + part.first;
        block.depth = part.count;
        block.columns = columns.columns;
        block.pitch = plan.sums_pitch;
        block.sums = sums;
        block.apart = true;
        for (index_t chain = 0; chain < round.count; chain += kChain) {
            block.sources = round.rows + chain;
            block.rows = block.panel_rows = std::min(kChain, round.count - chain);
            block.panels = panels_of(round, plane, segment, chain);
            block.fresh = round.fresh && chain == 0;
            for (int i = 0; i < 2; ++i)
                if (turn.products > 0 && round.ahead[i].rows > 0) block.ahead[i] = part_of(round.ahead[i], turn);
            ++turn.product;
            kernels.add_outer_products(block);
        }
    }

    void restore(const Part& part, index_t column, index_t columns, const T* sums, int worker) const {
        const index_t position = plan.depth * s.g.out_channels;  // elements from one kernel position to the next
        const TileScheme& scheme = s.tiles.scheme;
        PixelTile<T>* tiles = workspace.written + worker * std::max(kTogether, plan.channels_per_part);
        T* target = s.grad_weight + s.tiles.kernel_position(part.tap) * position + column;
        const auto rows = static_cast<int>(s.tiles.kernel_rows(part.tap));
        const auto tile_columns = static_cast<int>(s.tiles.kernel_columns(part.tap));
        for (index_t i = 0; i < part.count; ++i)
            tiles[i] = {target + (part.first + i) * s.g.out_channels, 0, rows, 0, tile_columns};
        RestoreBlock<T> block{};
        block.height = result_of(scheme.height, scheme.height.taps);
        block.width = result_of(scheme.width, scheme.width.taps);
        block.tiles = tiles;
        block.count = part.count;
        block.channels = columns;
        block.row_step = s.tiles.kernel_row_step() * position;
        block.column_step = s.tiles.kernel_column_step() * position;
        block.planes = sums;
        block.plane_pitch = plan.sums_plane;
        block.pitch = plan.sums_pitch;
        block.stream = plan.streams;
        kernels.restore_tiles(block);
    }

    // A part of a plane, of all segments and taps.
    void add_everywhere(const Round& round, index_t task) const {
        const index_t plane = task / plan.parts, chains = ceil_div(round.count, kChain);
        Turn turn{task, 0, plan.band_segments() * s.tiles.taps() / plan.taps_per_sum * chains};
        for (index_t segment = round.band * plan.band_segments(); segment < last_segment(round); ++segment) {
            for (index_t tap = 0; tap < s.tiles.taps(); tap += plan.taps_per_sum, turn.product += chains) {
                if (plan.taps_per_sum == 1 && s.tiles.is_zero(tap, plane)) continue;  // nobody asks for its sums
                Part part = part_at(tap, task % plan.parts);
                part.count *= plan.taps_per_sum;
                add(round, plane, segment, part,
                    round.sums + plane * plan.sums_plane + (tap * plan.depth + part.first) * plan.sums_pitch +
                        segment_at(segment).column,
                    turn);
            }
        }
    }

    void transform_together(const Round& round) const {
        parallel_for(round.chunks(), plan.threads, [&](index_t chunk, int worker) { transform(round, chunk, worker); });
    }

    void run_together() const {
        for (index_t slice = 0; slice < plan.slices; ++slice) {
            for_each_round(slice, 0, 0, [&](const Round& round) {
                transform_together(round);
                parallel_for(plan.planes * plan.parts, plan.threads,
                             [&](index_t task, int) { add_everywhere(round, task); });
            });
        }
    }

    void run_alone() const {
        parallel_for(plan.slices * plan.bands, plan.threads, [&](index_t task, int worker) {
            for_each_round(task / plan.bands, task % plan.bands, worker, [&](const Round& round) {
                for (index_t chunk = 0; chunk < round.chunks(); ++chunk) transform(round, chunk, worker);
                for (index_t part = 0; part < plan.planes * plan.parts; ++part) add_everywhere(round, part);
            });
        });
    }

    // Adds the slices up, and restores the weight's gradient from the sums.
    void restore_all() const {
        const index_t chunks = ceil_div(plan.depth, kTogether);
        parallel_for(s.tiles.taps() * chunks, plan.threads, [&](index_t task, int worker) {
            const Part part{task / chunks, task % chunks * kTogether,
                            std::min(kTogether, plan.depth - task % chunks * kTogether)};
            T* sums = workspace.sums + (part.tap * plan.depth + part.first) * plan.sums_pitch;
            for (index_t plane = 0; plan.slices > 1 && plane < plan.planes; ++plane) {
                T* sum = sums + plane * plan.sums_plane;
                kernels.add_rows(sum + plan.sums_size, plan.sums_size, plan.slices - 1, part.count * plan.sums_pitch,
                                 sum);
            }
            restore(part, 0, s.g.out_channels, sums, worker);
        });
    }

    void run_local() const {
        for_each_round(0, 0, 0, [&](const Round& round) {
            transform_together(round);
            const index_t parts = s.tiles.taps() * plan.parts;
            parallel_for(parts * plan.segments, plan.threads, [&](index_t task, int worker) {
                T* sums = workspace.sums + worker * plan.sums_size;
                const index_t segment = task / parts;
                const Part part = part_at(task % parts / plan.parts, task % plan.parts);
                for (index_t plane = 0; plane < plan.planes; ++plane)
                    if (!s.tiles.is_zero(part.tap, plane))
                        add(round, plane, segment, part, sums + plane * plan.sums_plane);
                restore(part, segment_at(segment).column, segment_at(segment).columns, sums, worker);
            });
        });
    }

    void run() const {
        if (plan.local) return run_local();
        plan.alone ? run_alone() : run_together();
        restore_all();
    }
};

}  // namespace

template <class T>
std::size_t workspace_bytes(const TileSum<T>& sum) {
    Arena arena;
    carve<T>(arena, make_plan(sum, kernels<T>()));
    return arena.used();
}

template <class T>
void add_up(const TileSum<T>& sum) {
    const Kernels<T>& table = kernels<T>();
    const Plan plan = make_plan(sum, table);
    Buffer buffer;
    const Workspace<T> workspace = carve_buffer(buffer, [&](Arena& arena) { return carve<T>(arena, plan); });
    Call<T>{sum, plan, workspace, table}.run();
}

template std::size_t workspace_bytes(const TileSum<float>&);
template std::size_t workspace_bytes(const TileSum<double>&);
template void add_up(const TileSum<float>&);
template void add_up(const TileSum<double>&);

}  // namespace fastconv
