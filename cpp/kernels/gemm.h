// Rows times packed panels, and what outer.h shares with them: the matrix kernels under every convolution and dense
// layer. Both keep a tile of kRows x kVectors vectors of sums in registers and spend their
// time in one loop: load a few panel vectors, broadcast one value per row, multiply and add
// (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008, section 4;
// the row pointers after Dukhan, "The indirect convolution algorithm", 2019).
//
// Bits: each sum adds its products in the order of the reduction, in one chain per block, whatever
// tile it sits in. So results don't depend on how rows and columns are cut into tiles and tasks.
#pragma once

#include "kernels/register_tile.h"
#include "kernels/table.h"
#include "kernels/transpose.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// Columns are cut into panels of at most kVectors vectors, as even as possible: 4 vectors are 2 + 2
// and not 3 + 1, because a narrow tile is bound by its broadcasts.
struct Panels {
    index_t wide, narrow;  // how many panels hold narrow_width + 1 and narrow_width vectors
    index_t narrow_width;
};

template <class T>
FASTCONV_INLINE Panels cut_into_panels(index_t columns) {
    const index_t vectors = (columns + kLanes<T> - 1) / kLanes<T>;
    const index_t panels = (vectors + kVectors - 1) / kVectors;
    if (panels == 0) return {0, 0, 0};
    return {vectors % panels, panels - vectors % panels, vectors / panels};
}

template <class T, int Vectors>
FASTCONV_INLINE void pack_panel(const PackBlock<T>& block, index_t column, T* panel) {
    constexpr index_t width = Vectors * kLanes<T>;
    const index_t columns = smaller(width, block.columns - column);
    if (block.row_stride == 1 && block.column_stride != 1) {  // the matrix is stored transposed
        T* target = panel + block.first_row * width;
        copy_block<T>({block.source + column * block.column_stride, block.column_stride, 1, columns, block.rows, target,
                       width, false});
        for (index_t row = 0; row < block.rows && columns < width; ++row)
            for (index_t k = columns; k < width; ++k) target[row * width + k] = 0;
        return;
    }
    for (index_t row = 0; row < block.rows; ++row) {
        const T* source = block.source + row * block.row_stride + column * block.column_stride;
        T* target = panel + (block.first_row + row) * width;
        if (block.column_stride == 1 && columns == width) {
            for (int v = 0; v < Vectors; ++v) store(target + v * kLanes<T>, load(source + v * kLanes<T>));
        } else {
            for (index_t k = 0; k < columns; ++k) target[k] = source[k * block.column_stride];
            for (index_t k = columns; k < width; ++k) target[k] = 0;
        }
    }
}

// Calls visit(vectors as a compile-time constant, first column, offset of the panel) for each panel.
template <class T, class Visit>
FASTCONV_INLINE void for_each_panel(index_t columns, index_t block_rows, Visit visit) {
    const Panels panels = cut_into_panels<T>(columns);
    index_t column = 0;
    for (index_t p = 0; p < panels.wide + panels.narrow; ++p) {
        const index_t vectors = panels.narrow_width + (p < panels.wide ? 1 : 0);
        const index_t offset = column * block_rows;
        if (vectors == 1) visit.template operator()<1>(column, offset);
        if constexpr (kVectors >= 2) {
            if (vectors == 2) visit.template operator()<2>(column, offset);
        }
        if constexpr (kVectors >= 3) {
            if (vectors == 3) visit.template operator()<3>(column, offset);
        }
        column += vectors * kLanes<T>;
    }
}

template <class T>
struct PackVisit {
    const PackBlock<T>& block;
    template <int Vectors>
    FASTCONV_INLINE void operator()(index_t column, index_t offset) const {
        pack_panel<T, Vectors>(block, column, block.panels + offset);
    }
};

template <class T>
void pack_panels(const PackBlock<T>& block) noexcept {
    for_each_panel<T>(block.columns, block.block_rows, PackVisit<T>{block});
}

// Products that do little with each value wait for memory unless it is asked in time: so many bytes ahead.
constexpr index_t kAheadBytes = 8192;
constexpr index_t kLittle = 512;  // multiplications

template <class T>
FASTCONV_INLINE void fetch_ahead(const T* values, index_t bytes) {
    const char* at = reinterpret_cast<const char*>(values) + kAheadBytes;
    for (index_t b = 0; b < bytes; b += 64) __builtin_prefetch(at + b, 0, 2);
}

// What `rows` rows further on meet for the first time: it lies under the tap that is farthest in memory. With the first
// part of the rows, their first group or block of channels, all of them comes; the other groups ask for what is theirs.
template <class T>
FASTCONV_INLINE void fetch_ahead(const RowBlock<T>& block, index_t row, int rows) {
    if (block.taps == 0) return;
    const T* const* first = block.sources + row;
    const T* const* last = first + (block.taps - 1) * block.pitch;
    const T* const* farthest = *last > *first ? last : first;
    const index_t step = farthest[1] - farthest[0];  // values that are new in each row
    if (step <= 0 || block.taps * block.depth * block.columns >= kLittle * step) return;
    constexpr index_t size = sizeof(T);
    if (block.offset == 0) return fetch_ahead(*farthest, smaller(rows * step * size, kAheadBytes));
    if (rows * block.depth * size > kAheadBytes) return;  // long parts the processor fetches itself
    for (int r = 0; r < rows; ++r) fetch_ahead(*farthest + r * step + block.offset, block.depth * size);
}

// Whether all rows of a tile lie in the padding. Mostly the first one tells.
template <class T, int Rows>
FASTCONV_INLINE bool all_are(const T* const* sources, const T* zeros) {
    if (sources[0] != zeros) return false;
    for (int r = 1; r < Rows; ++r)
        if (sources[r] != zeros) return false;
    return true;
}

// Where the rows of a tile begin; false if none of them needs to be multiplied.
template <class T, int Rows>
FASTCONV_INLINE bool find_rows(const RowBlock<T>& block, index_t tap, index_t row, const T* (&left)[Rows]) {
    if (block.row_step != 0) {
        const T* first = block.sources[tap];
        if (first == block.zeros) return false;
        first += row * block.row_step + block.offset;
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) left[r] = first + r * block.row_step;
        return true;
    }
    const T* const* sources = block.sources + tap * block.pitch + row;
    if (all_are<T, Rows>(sources, block.zeros)) return false;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) left[r] = sources[r] + block.offset;
    return true;
}

// The cache lines of what is ahead, one for each step of a tile. There are as many steps as rows; so each of the first
// tiles of a panel fetches one vector of each row, or, where columns are contiguous, some vectors of each column.
template <class T, int Vectors>
struct LinesAhead {
    const T *start = nullptr, *line = nullptr;
    index_t step = 0, run = 0, left = 0;

    LinesAhead(const RowBlock<T>& block, index_t tile, index_t column) {
        if (block.ahead == nullptr || tile >= Vectors) return;
        constexpr index_t width = Vectors * kLanes<T>;
        const index_t rows = block.taps * block.depth;
        const bool along_rows = block.ahead_column_stride == 1;
        const index_t vector = along_rows ? tile : tile * (rows / width);
        start = line = block.ahead + column * block.ahead_column_stride + vector * kLanes<T>;
        step = along_rows ? block.ahead_row_stride : block.ahead_column_stride;
        run = left = along_rows ? rows : width;
    }

    FASTCONV_INLINE bool some() const { return line != nullptr; }

    FASTCONV_INLINE void fetch_one() {
        __builtin_prefetch(line, 0, 2);
        line += step;
        if (--left == 0) {
            left = run;
            line = start += kLanes<T>;
        }
    }
};

// The panel of a matrix that isn't packed yet.
template <class T, int Vectors>
FASTCONV_INLINE void pack_matrix(const RowBlock<T>& block, index_t column) {
    pack_panel<T, Vectors>(
        {block.matrix, block.matrix_row_stride, 1, block.depth, block.columns, block.packed, 0, block.depth}, column,
        block.packed + column * block.depth);
}

// The same while it is multiplied: the first rows that meet the panel leave it packed for the others.
template <class T, int Rows, int Vectors>
FASTCONV_INLINE void pack_and_multiply(const RowBlock<T>& block, index_t column, const T* const (&left)[Rows],
                                       LinesAhead<T, Vectors>& ahead, Tile<T, Rows, Vectors>& tile) {
    constexpr index_t rows_ahead = 16;
    const T* matrix = block.matrix + column;
    const index_t far = block.matrix_is_fetched ? 0 : rows_ahead * block.matrix_row_stride;
    T* panel = block.packed + column * block.depth;
    for (index_t c = 0; c < block.depth; ++c, matrix += block.matrix_row_stride, panel += Vectors * kLanes<T>) {
        Vec<T> right[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
            __builtin_prefetch(matrix + far + v * kLanes<T>, 0, 3);
            right[v] = in_register(load(matrix + v * kLanes<T>));
            store(panel + v * kLanes<T>, right[v]);
        }
        if (ahead.some()) ahead.fetch_one();
        tile.add_products(left, c, right);
    }
}

template <class T, int Rows, int Vectors, bool packs = false>
void multiply_tile(const RowBlock<T>& block, index_t row, index_t column, const T* panel) {
    const index_t columns = smaller(block.columns - column, Vectors * kLanes<T>);
    T* const* targets = block.targets + row;
    const index_t at = block.target_offset + column;
    const auto target = [=](int r) { return targets[r] + at; };

    Tile<T, Rows, Vectors> tile;
    if (block.accumulate) {
        tile.load_from(target, columns);
    } else if (block.bias != nullptr) {
        const T* bias = block.bias + column;
        tile.load_from([=](int) { return bias; }, columns);
        tile.turn_minus_zeros_into_zeros();
    } else {
        tile.clear();
    }

    LinesAhead<T, Vectors> ahead(block, row / Rows, column);
    for (index_t tap = 0; tap < block.taps; ++tap) {
        const T* left[Rows];
        if (!find_rows<T, Rows>(block, tap, row, left)) {
            if constexpr (packs) pack_matrix<T, Vectors>(block, column);
            panel += block.depth * Vectors * kLanes<T>;
        } else if constexpr (packs) {
            pack_and_multiply(block, column, left, ahead, tile);
        } else if (ahead.some()) {
            for (index_t c = 0; c < block.depth; ++c, panel += Vectors * kLanes<T>) {
                ahead.fetch_one();
                tile.add_products(left, c, panel);
            }
        } else {
            for (index_t c = 0; c < block.depth; ++c, panel += Vectors * kLanes<T>) tile.add_products(left, c, panel);
        }
    }

    if (block.relu) tile.clamp_below_zero();
    if (block.stream && columns == Vectors * kLanes<T>) {
        tile.stream_to(target);
    } else {
        tile.store_to(target, columns);
    }
}

// The last tile of a block has fewer rows: Rows counts down to the instantiation that fits.
template <class T, int Rows, int Vectors>
FASTCONV_INLINE void multiply_last_rows(const RowBlock<T>& block, index_t row, index_t column, const T* panel) {
    if constexpr (Rows > 0) {
        if (block.rows - row == Rows) {
            multiply_tile<T, Rows, Vectors>(block, row, column, panel);
        } else {
            multiply_last_rows<T, Rows - 1, Vectors>(block, row, column, panel);
        }
    }
}

// Panel by panel, so that one panel stays in L1 while the rows of the block stream past it from L2.
template <class T>
struct MultiplyVisit {
    const RowBlock<T>& block;
    template <int Vectors>
    FASTCONV_INLINE void operator()(index_t column, index_t offset) const {
        const T* panel = block.panels + offset;
        constexpr int rows = smaller(kRows * kVectors / Vectors, kMostRows);
        index_t row = 0;
        if (block.matrix != nullptr) {
            if (block.rows >= rows && block.columns - column >= Vectors * kLanes<T>) {
                multiply_tile<T, rows, Vectors, true>(block, 0, column, panel);
                row = rows;
            } else {
                pack_matrix<T, Vectors>(block, column);
            }
        }
        for (; row + rows <= block.rows; row += rows) {
            if (column == 0 && block.row_step == 0) fetch_ahead(block, row, rows);
            multiply_tile<T, rows, Vectors>(block, row, column, panel);
        }
        multiply_last_rows<T, rows - 1, Vectors>(block, row, column, panel);
    }
};

template <class T>
void multiply_rows(const RowBlock<T>& block) noexcept {
    for_each_panel<T>(block.columns, block.taps * block.depth, MultiplyVisit<T>{block});
}

}  // namespace
}  // namespace fastconv
