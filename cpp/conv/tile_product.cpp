#include "conv/tile_product.h"

#include <algorithm>

#include "conv/tile_product_plan.h"
#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/kept_weight.h"
#include "core/memory.h"
#include "core/threads.h"
#include "gemm/segments.h"

namespace fastconv {
namespace {

using Plan = TileProductPlan;

template <class T>
struct Workspace {
    T* panels;                 // the transformed weight, or per worker a piece of it
    T* sources;                // transformed tiles: per worker a block, or all
    T* products;               // per worker
    T* copies;                 // per worker: a piece of the weight, its columns side by side
    PixelTile<const T>* read;  // per worker
    PixelTile<T>* written;     // per worker
    T** rows;                  // per worker: of products
    const T** taps;            // per worker
    index_t panels_size, read_size, copies_size;
};

template <class T>
Workspace<T> carve(Arena& arena, const TileProduct<T>& c, const Plan& plan) {
    Workspace<T> w;
    const index_t threads = plan.threads;
    const index_t panels = plan.planes * plan.panel_plane;
    w.panels_size = panels * plan.segments * plan.depth_blocks;
    w.panels = arena.take<T>(plan.late ? panels * threads : c.kept != nullptr ? 0 : w.panels_size);
    w.sources = arena.take<T>(plan.planes * plan.source_plane * (plan.late ? 1 : threads));
    w.products = arena.take<T>(plan.planes * plan.product_plane * threads);
    w.copies_size = c.tiles.scheme.taps() * odd_lines<T>(plan.channels_per_piece * plan.product_pitch);
    w.copies = arena.take<T>(w.copies_size * threads);
    w.read_size = std::max(plan.tiles_per_block, plan.channels_per_piece);
    w.read = arena.take<PixelTile<const T>>(w.read_size * threads);
    w.written = arena.take<PixelTile<T>>(plan.tiles_per_block * threads);
    w.rows = arena.take<T*>(plan.tiles_per_block * threads);
    w.taps = arena.take<const T*>(plan.taps_per_block * threads);
    return w;
}

// One call: what the three steps share.
template <class T>
struct Call {
    const TileProduct<T>& c;
    const Plan& plan;
    const Workspace<T>& workspace;
    const Kernels<T>& kernels;

    Segment segment_at(index_t segment) const { return segment_of(plan, c.target_depth(), segment); }

    struct Depth {
        index_t tap, taps;
        index_t first, count;  // channels of a group
    };

    Depth depth_at(index_t block) const {
        const index_t tap = block / plan.channel_blocks * plan.taps_per_block;
        const index_t first = block % plan.channel_blocks * plan.channels_per_block;
        return {tap, std::min(plan.taps_per_block, c.tiles.taps() - tap), first,
                std::min(plan.channels_per_block, c.source_depth() - first)};
    }

    // What the transformed weight depends on.
    KeptWeight::Key key() const {
        const auto number = [](index_t value) { return static_cast<std::uint64_t>(value); };
        const TileScheme& scheme = c.tiles.scheme;
        const auto bytes = static_cast<std::size_t>(c.g.weight_size()) * sizeof(T);
        return {c.kept->constant() ? 0 : checksum_of(c.weight, bytes),
                number(sizeof(T)),
                number(c.g.axes[1].kernel),
                number(c.g.axes[2].kernel),
                number((c.g.axes[1].stride * 16 + scheme.height.points) * 16 + scheme.height.taps),
                number((c.g.axes[2].stride * 16 + scheme.width.points) * 16 + scheme.width.taps),
                number(c.g.group_inputs()),
                number(c.g.out_channels),
                number(c.g.groups),
                number(plan.columns_per_segment),
                number(plan.taps_per_block << 32 | plan.channels_per_block),
                reinterpret_cast<std::uintptr_t>(&kernels)};
    }

    // Some channels [first, first + count) of those that the panels are made for.
    void transform_weight(const Segment& segment, const Depth& depth, index_t first, index_t count, T* panels,
                          int worker) const {
        const ConvGeometry& g = c.g;
        const index_t position = g.group_inputs() * g.out_channels;  // elements from one kernel position to the next
        // Copied first: taps lie as far apart as a weight is large, often a power of two.
        const index_t channel_step = round_up(segment.columns, kernels.vector_width);
        const index_t step = odd_lines<T>(plan.channels_per_piece * channel_step);
        T* copy = workspace.copies + worker * workspace.copies_size;
        PixelTile<const T>* tiles = workspace.read + worker * workspace.read_size;
        const TileScheme& scheme = c.tiles.scheme;
        for (index_t tap = depth.tap; tap < depth.tap + depth.taps; ++tap) {
            const index_t rows = c.tiles.kernel_rows(tap), columns = c.tiles.kernel_columns(tap);
            const T* from = c.weight + c.tiles.kernel_position(tap) * position + segment.group * g.group_outputs();
            for (index_t i = 0; i < rows * columns; ++i) {
                const index_t row = i / columns, column = i % columns;
                const T* at =
                    from + (row * c.tiles.kernel_row_step() + column * c.tiles.kernel_column_step()) * position;
                T* to = copy + (row * scheme.width.taps + column) * step;
                if (c.backward) {
                    kernels.copy_block({at + segment.column * g.out_channels + first, g.out_channels, 1,
                                        segment.columns, count, to, channel_step, false});
                } else {
                    kernels.copy_block({at + first * g.out_channels + segment.column, 1, g.out_channels,
                                        segment.columns, count, to, channel_step, false});
                }
            }
            for (index_t i = 0; i < count; ++i)
                tiles[i] = {copy + i * channel_step, 0, static_cast<int>(rows), 0, static_cast<int>(columns)};
            TileBlock<T> block{};
            block.height = kernel_of(scheme.height, scheme.height.taps);
            block.width = kernel_of(scheme.width, scheme.width.taps);
            block.tiles = tiles;
            block.count = count;
            block.channels = segment.columns;
            block.row_step = scheme.width.taps * step;
            block.column_step = step;
            block.planes = panels;
            block.plane_pitch = plan.panel_plane;
            block.first_row = (tap - depth.tap) * depth.count + first - depth.first;
            block.block_rows = depth.taps * depth.count;
            kernels.transform_tiles(block);
        }
    }

    // Some channels of tiles [first, first + count), as many as the plan has at a time, under some taps.
    void transform_source(index_t first, index_t count, index_t channel, index_t first_tap, index_t taps, T* target,
                          int worker) const {
        PixelTile<const T>* tiles = workspace.read + worker * workspace.read_size;
        TensorView<const T> source = c.source;
        source.data += channel;
        for (index_t tap = 0; tap < taps; ++tap) {
            c.tiles.source_tiles(source, first_tap + tap, first, count, tiles);
            TileBlock<T> block{};
            block.height = data_of(c.tiles.scheme.height);
            block.width = data_of(c.tiles.scheme.width);
            block.tiles = tiles;
            block.count = count;
            block.channels = plan.source_channels;
            block.row_step = source.strides[1] * c.tiles.axes[1].point_step;
            block.column_step = source.strides[2] * c.tiles.axes[2].point_step;
            block.planes = target + tap * plan.source_channels;  // what a tap writes too much, the next one overwrites
            block.plane_pitch = plan.source_plane;
            block.pitch = plan.source_pitch;
            kernels.transform_tiles(block);
        }
    }

    // Where the part of the weight begins that a worker which transforms weights will probably need next: that of the
    // task's next block, or of the next task.
    const T* weight_ahead(index_t task, index_t depth_block) const {
        if (c.tiles.scheme.taps() != c.g.taps()) return nullptr;  // not all taps of a channel
        if (++depth_block == plan.depth_blocks) {
            depth_block = 0;
            if (++task == plan.segments) return nullptr;
        }
        const Segment segment = segment_at(task);
        const index_t channel = depth_at(depth_block).first, column = segment.column;
        return c.weight + segment.group * c.g.group_outputs() +
               (c.backward ? column * c.g.out_channels + channel : channel * c.g.out_channels + column);
    }

    // While it multiplies at the planes one after the other, each of them fetches some of a tap of what is ahead.
    void fetch_weight(const T* ahead, index_t plane, RowBlock<T>& block) const {
        const index_t planes_per_tap = std::max<index_t>(plan.planes / c.g.taps(), 1);
        const index_t tap = plane / planes_per_tap, vector = plane % planes_per_tap * kernels.vector_width;
        block.ahead = nullptr;
        if (ahead == nullptr || tap >= c.g.taps() || vector >= (c.backward ? block.depth : block.columns)) return;
        block.ahead = ahead + tap * c.g.group_inputs() * c.g.out_channels + vector;
        block.ahead_row_stride = c.backward ? 1 : c.g.out_channels;
        block.ahead_column_stride = c.backward ? c.g.out_channels : 1;
    }

    // The pixels that the next block of tiles reads and that this one writes. Each of the last products fetches as much
    // of them as its matrix is large; earlier, the weight that streams past would displace them.
    struct Pixels {
        Stretch<T> parts[2];
        index_t products;  // that are still to come

        void fetch(RowBlock<T>& block) {
            const index_t size = block.taps * block.depth * block.columns;
            const index_t needed = ceil_div(parts[0].values, size) + ceil_div(parts[1].values, size);
            block.ahead = nullptr;
            if (needed == 0 || products-- > needed) return;
            Stretch<T>& part = parts[parts[0].values > 0 ? 0 : 1];
            block.ahead = part.begin;
            block.ahead_row_stride = block.columns;
            block.ahead_column_stride = 1;
            part.begin += size;
            part.values = std::max<index_t>(part.values - size, 0);
        }
    };

    Pixels pixels_ahead(index_t first, index_t count) const {
        if (c.g.groups > 1) return {};
        Stretch<T> target{};
        if (!plan.streams) target = c.tiles.target_stretch(c.target, first, count).worth_fetching();
        return {{c.tiles.source_stretch(c.source, first + count, plan.tiles_per_block).worth_fetching(), target},
                plan.depth_blocks * plan.planes};
    }

    // fetch(plane, block): names what a product fetches meanwhile.
    template <class Fetch>
    void multiply(const Segment& segment, index_t depth_block, const T* source, index_t count, const T* panels,
                  int worker, const Fetch& fetch) const {
        const Depth depth = depth_at(depth_block);
        T* products = workspace.products + worker * plan.planes * plan.product_plane;
        T** rows = workspace.rows + worker * plan.tiles_per_block;
        for (index_t t = 0; t < count; ++t) rows[t] = products + t * plan.product_pitch;
        const T** taps = workspace.taps + worker * plan.taps_per_block;
        RowBlock<T> block{};
        block.sources = taps;
        block.pitch = 1;
        block.row_step = plan.source_pitch;
        block.rows = count;
        block.taps = depth.taps;
        block.depth = depth.count;
        block.columns = segment.columns;
        block.targets = rows;
        block.accumulate = depth_block > 0;
        const index_t before = plan.late ? segment.group * c.source_depth() : 0;  // channels of other groups
        for (index_t p = 0; p < plan.planes; ++p) {
            for (index_t tap = 0; tap < depth.taps; ++tap)  // a row of zeros, here a null pointer, isn't multiplied
                taps[tap] = c.tiles.is_zero(depth.tap + tap, p) ? block.zeros : source + tap * plan.source_channels;
            block.offset = p * plan.source_plane + before + depth.first;
            block.panels = panels + p * plan.panel_plane;
            block.target_offset = p * plan.product_plane;
            fetch(p, block);
            kernels.multiply_rows(block);
        }
    }

    void restore(const Segment& segment, index_t first, index_t count, int worker) const {
        PixelTile<T>* tiles = workspace.written + worker * plan.tiles_per_block;
        const index_t column = segment.group * c.target_depth() + segment.column;
        TensorView<T> target = c.target;
        target.data += column;
        c.tiles.target_tiles(target, first, count, tiles);
        RestoreBlock<T> block{};
        block.height = result_of(c.tiles.scheme.height, c.tiles.scheme.height.results);
        block.width = result_of(c.tiles.scheme.width, c.tiles.scheme.width.results);
        block.tiles = tiles;
        block.count = count;
        block.channels = segment.columns;
        block.row_step = target.strides[1] * c.tiles.axes[1].residues;
        block.column_step = target.strides[2] * c.tiles.axes[2].residues;
        block.planes = workspace.products + worker * plan.planes * plan.product_plane;
        block.plane_pitch = plan.product_plane;
        block.pitch = plan.product_pitch;
        block.bias = c.bias == nullptr ? nullptr : c.bias + column;
        block.relu = c.relu;
        block.stream = plan.streams;
        kernels.restore_tiles(block);
    }

    T* panels_of(index_t segment, index_t depth_block) const {
        return workspace.panels + (segment * plan.depth_blocks + depth_block) * plan.planes * plan.panel_plane;
    }

    void transform_weights() const {
        const index_t pieces = ceil_div(plan.channels_per_block, plan.channels_per_piece);
        const index_t weights = plan.segments * plan.depth_blocks * pieces;
        parallel_for(weights, plan.threads, [&](index_t task, int worker) {
            const index_t segment = task / pieces / plan.depth_blocks, block = task / pieces % plan.depth_blocks;
            const Depth depth = depth_at(block);
            const index_t first = task % pieces * plan.channels_per_piece;
            const index_t count = std::min(plan.channels_per_piece, depth.count - first);
            if (count > 0)
                transform_weight(segment_at(segment), depth, depth.first + first, count, panels_of(segment, block),
                                 worker);
        });
    }

    void run_blocks() const {
        parallel_for(plan.blocks * c.g.groups, plan.threads, [&](index_t task, int worker) {
            const index_t first = task / c.g.groups * plan.tiles_per_block, group = task % c.g.groups;
            const index_t count = std::min(plan.tiles_per_block, plan.tiles - first);
            T* source = workspace.sources + worker * plan.planes * plan.source_plane;
            Pixels ahead = pixels_ahead(first, count);
            for (index_t d = 0; d < plan.depth_blocks; ++d) {
                const Depth depth = depth_at(d);
                if (depth.first == 0)
                    transform_source(first, count, group * c.source_depth(), depth.tap, depth.taps, source, worker);
                multiply(segment_at(group), d, source, count, panels_of(group, d), worker,
                         [&](index_t, RowBlock<T>& block) { ahead.fetch(block); });
            }
            restore(segment_at(group), first, count, worker);
        });
    }

    void run_columns() const {
        constexpr index_t together = 4;
        parallel_for(ceil_div(plan.tiles, together), plan.threads, [&](index_t task, int worker) {
            const index_t first = task * together, count = std::min(together, plan.tiles - first);
            transform_source(first, count, 0, 0, c.tiles.taps(), workspace.sources + first * plan.source_pitch, worker);
        });
        parallel_for(plan.segments, plan.threads, [&](index_t task, int worker) {
            const Segment segment = segment_at(task);
            for (index_t d = 0; d < plan.depth_blocks; ++d) {
                const Depth depth = depth_at(d);
                T* panels = workspace.panels + worker * plan.planes * plan.panel_plane;
                transform_weight(segment, depth, depth.first, depth.count, panels, worker);
                const T* ahead = weight_ahead(task, d);
                multiply(segment, d, workspace.sources, plan.tiles, panels, worker,
                         [&](index_t plane, RowBlock<T>& block) { fetch_weight(ahead, plane, block); });
            }
            restore(segment, 0, plan.tiles, worker);
        });
    }
};

}  // namespace

template <class T>
std::size_t workspace_bytes(const TileProduct<T>& product) {
    Arena arena;
    carve(arena, product, make_plan(product, kernels<T>()));
    return arena.used();
}

template <class T>
void multiply(const TileProduct<T>& product) {
    const Kernels<T>& table = kernels<T>();
    const Plan plan = make_plan(product, table);
    Buffer buffer;
    Workspace<T> workspace = carve_buffer(buffer, [&](Arena& arena) { return carve(arena, product, plan); });
    const Call<T> call{product, plan, workspace, table};
    if (plan.late) return call.run_columns();
    std::shared_ptr<void> kept;
    if (product.kept != nullptr) {
        const std::size_t bytes = static_cast<std::size_t>(workspace.panels_size) * sizeof(T);
        kept = product.kept->obtain(call.key(), bytes, [&](void* buffer) {
            workspace.panels = static_cast<T*>(buffer);
            call.transform_weights();
        });
        workspace.panels = static_cast<T*>(kept.get());
    } else {
        call.transform_weights();
    }
    call.run_blocks();
}

template std::size_t workspace_bytes(const TileProduct<float>&);
template std::size_t workspace_bytes(const TileProduct<double>&);
template void multiply(const TileProduct<float>&);
template void multiply(const TileProduct<double>&);

}  // namespace fastconv
