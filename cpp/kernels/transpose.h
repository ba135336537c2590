// Copies from one layout to another. Where source and target run along different axes, squares of values
// are transposed in registers, so that memory is read and written by vectors on both sides.
//
// A square is four floats or two doubles wide, a chunk of 16 bytes. A vector of several chunks takes them
// from rows that far apart: a load into one half of a register costs no shuffle, and what then remains to
// be transposed lies inside the chunks, where a shuffle costs least.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/elementwise.h"
#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

template <class T, int chunks>
struct ChunksOf {
    typedef T Type __attribute__((vector_size(16 * chunks)));
    typedef T Unaligned __attribute__((vector_size(16 * chunks), aligned(alignof(T)), may_alias));
};

template <class T, int chunks>
using Chunks = typename ChunksOf<T, chunks>::Type;

template <class T>
constexpr index_t kChunk = 16 / sizeof(T);
template <class T>
constexpr index_t kLine = 64 / sizeof(T);  // values in a cache line

// Streaming stores go past the caches: the line is not read before it is written. They want aligned targets.
template <class T, int chunks, bool stream>
FASTCONV_INLINE void store_chunks(T* target, Chunks<T, chunks> values) {
#if defined(__x86_64__)
    if constexpr (stream) {
#if FASTCONV_VECTOR_BYTES >= 64
        if constexpr (chunks == 4) return _mm512_stream_si512(reinterpret_cast<__m512i*>(target), (__m512i)values);
#endif
#if FASTCONV_VECTOR_BYTES >= 32
        if constexpr (chunks == 2) return _mm256_stream_si256(reinterpret_cast<__m256i*>(target), (__m256i)values);
#endif
        if constexpr (chunks == 1) return _mm_stream_si128(reinterpret_cast<__m128i*>(target), (__m128i)values);
    }
#endif
    *reinterpret_cast<typename ChunksOf<T, chunks>::Unaligned*>(target) = values;
}

// Chunk i comes from source[i * pitch].
template <class T, int chunks>
FASTCONV_INLINE Chunks<T, chunks> load_chunks(const T* source, index_t pitch) {
    if constexpr (chunks == 1) {
        return *reinterpret_cast<const typename ChunksOf<T, 1>::Unaligned*>(source);
    } else {
        const auto a = load_chunks<T, chunks / 2>(source, pitch);
        const auto b = load_chunks<T, chunks / 2>(source + chunks / 2 * pitch, pitch);
        constexpr int lanes = sizeof(a) / sizeof(T);
        if constexpr (lanes == 2)
            return __builtin_shufflevector(a, b, 0, 1, 2, 3);
        else if constexpr (lanes == 4)
            return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
        else
            return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
}

// Of each chunk, the lower halves of a and b, their values taken in turns.
template <class Vector>
FASTCONV_INLINE Vector interleave_low(Vector a, Vector b) {
    constexpr int lanes = sizeof(a) / sizeof(a[0]);
    if constexpr (sizeof(a[0]) == 8) {
        if constexpr (lanes == 2) return __builtin_shufflevector(a, b, 0, 2);
        if constexpr (lanes == 4) return __builtin_shufflevector(a, b, 0, 4, 2, 6);
        if constexpr (lanes == 8) return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    } else {
        if constexpr (lanes == 4) return __builtin_shufflevector(a, b, 0, 4, 1, 5);
        if constexpr (lanes == 8) return __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
        if constexpr (lanes == 16)
            return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    }
}

template <class Vector>
FASTCONV_INLINE Vector interleave_high(Vector a, Vector b) {
    constexpr int lanes = sizeof(a) / sizeof(a[0]);
    if constexpr (sizeof(a[0]) == 8) {
        if constexpr (lanes == 2) return __builtin_shufflevector(a, b, 1, 3);
        if constexpr (lanes == 4) return __builtin_shufflevector(a, b, 1, 5, 3, 7);
        if constexpr (lanes == 8) return __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    } else {
        if constexpr (lanes == 4) return __builtin_shufflevector(a, b, 2, 6, 3, 7);
        if constexpr (lanes == 8) return __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
        if constexpr (lanes == 16)
            return __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
}

template <class T, class Vector>
FASTCONV_INLINE Chunks<T, 1> chunk_of(Vector vector, int part) {
    Chunks<T, 1> chunks[sizeof vector / 16];
    __builtin_memcpy(chunks, &vector, sizeof vector);
    return chunks[part];
}

// Transposes the squares that lie one above the other in kChunk<T> vectors.
template <int chunks>
FASTCONV_INLINE void transpose_squares(Chunks<double, chunks> (&square)[2]) {
    const auto first = square[0];
    square[0] = interleave_low(first, square[1]);
    square[1] = interleave_high(first, square[1]);
}

template <int chunks>
FASTCONV_INLINE void transpose_squares(Chunks<float, chunks> (&square)[4]) {
    using Pairs = Chunks<double, chunks>;  // two neighbours that stay together
    using Values = Chunks<float, chunks>;
    const Pairs low01 = (Pairs)interleave_low(square[0], square[1]);
    const Pairs low23 = (Pairs)interleave_low(square[2], square[3]);
    const Pairs high01 = (Pairs)interleave_high(square[0], square[1]);
    const Pairs high23 = (Pairs)interleave_high(square[2], square[3]);
    square[0] = (Values)interleave_low(low01, low23);
    square[1] = (Values)interleave_high(low01, low23);
    square[2] = (Values)interleave_low(high01, high23);
    square[3] = (Values)interleave_high(high01, high23);
}

// chunks * kChunk<T> rows and kChunk<T> columns, of which only [first, last) are stored.
template <class T, int chunks, bool stream>
FASTCONV_INLINE void transpose_tile(const T* source, index_t pitch, T* target, index_t target_pitch, index_t first,
                                    index_t last = kChunk<T>) {
    constexpr index_t n = kChunk<T>;
    Chunks<T, chunks> square[n];
#pragma GCC unroll 4
    for (index_t r = 0; r < n; ++r) square[r] = load_chunks<T, chunks>(source + r * pitch, n * pitch);
    transpose_squares<chunks>(square);
#pragma GCC unroll 4
    for (index_t c = 0; c < n; ++c)
        if (c >= first && c < last) store_chunks<T, chunks, stream>(target + c * target_pitch, square[c]);
}

// Fewer columns than a tile has are read together with the ones before them.
template <class T, int chunks, bool stream>
void transpose_lines(const CopyBlock<T>& block, index_t first_row, index_t rows) noexcept {
    constexpr index_t height = chunks * kChunk<T>, width = kChunk<T>;
    for (index_t column = 0; column < block.columns; column += width) {
        const T* ahead = block.source + first_row * block.row_stride + column + kLine<T>;
        if (column % kLine<T> == 0)
            for (index_t r = 0; r < rows; ++r) __builtin_prefetch(ahead + r * block.row_stride);
        const index_t c = smaller(column, block.columns - width);
        for (index_t row = 0; row < rows; row += height) {
            const index_t r = first_row + smaller(row, rows - height);
            const T* source = block.source + r * block.row_stride + c;
            T* target = block.target + c * block.target_pitch + r;
            if (c == column) {
                transpose_tile<T, chunks, stream>(source, block.row_stride, target, block.target_pitch, 0);
            } else {
                transpose_tile<T, chunks, stream>(source, block.row_stride, target, block.target_pitch, column - c);
            }
        }
    }
}

template <class T>
void copy_values(const CopyBlock<T>& block) noexcept {
    for (index_t c = 0; c < block.columns; ++c)
        for (index_t r = 0; r < block.rows; ++r)
            block.target[c * block.target_pitch + r] = block.source[r * block.row_stride + c * block.column_stride];
}

// Rows of two or three columns: of each, a whole chunk is read, which ends in the next row.
template <int columns>
void part_columns(CopyBlock<float> block) noexcept {
    constexpr index_t height = kLanes<float>;
    for (; block.rows > height; block.rows -= height) {
        transpose_tile<float, FASTCONV_VECTOR_BYTES / 16, false>(block.source, block.row_stride, block.target,
                                                                 block.target_pitch, 0, columns);
        block.source += height * block.row_stride;
        block.target += height;
    }
    copy_values(block);
}

// As many rows at a time as fill a line of the target, so that it is written at once and not touched again:
// in arrays whose extents are powers of two all lines compete for a few places in the cache.
template <class T, int chunks, bool stream>
void transpose_rows(const CopyBlock<T>& block) noexcept {
    constexpr index_t height = chunks * kChunk<T>;
    index_t row = 0;
    for (; row + kLine<T> <= block.rows; row += kLine<T>) transpose_lines<T, chunks, stream>(block, row, kLine<T>);
    const index_t rest = block.rows - row;
    if (rest >= height) {
        transpose_lines<T, chunks, stream>(block, row, rest);
    } else if (rest > 0) {  // some rows are written twice, with the same values
        transpose_lines<T, chunks, stream>(block, block.rows - height, height);
    }
}

// Two or three rows of floats: squares of which the last rows are missing.
template <int rows>
void interleave_rows(const CopyBlock<float>& block) noexcept {
    // Where the target's columns follow each other, a whole chunk may be written: the next column's values
    // come on top of what is too much.
    const index_t whole = block.target_pitch == rows ? block.columns - 4 : 0;
    for (index_t column = 0; column < block.columns; column += 4) {
        const index_t c = smaller(column, block.columns - 4);
        Chunks<float, 1> square[4];
        for (int r = 0; r < 4; ++r)
            square[r] = load_chunks<float, 1>(block.source + (r < rows ? r : 0) * block.row_stride + c, 0);
        transpose_squares<1>(square);
        float* target = block.target + c * block.target_pitch;
        if (c < whole) {
            for (int i = 0; i < 4; ++i) store_chunks<float, 1, false>(target + i * rows, square[i]);
        } else {
            for (int i = 0; i < 4; ++i) __builtin_memcpy(target + i * block.target_pitch, &square[i], rows * 4);
        }
    }
}

template <int rows, class T>
void copy_short_runs(const CopyBlock<T>& block) noexcept {
    for (index_t c = 0; c < block.columns; ++c)
        __builtin_memcpy(block.target + c * block.target_pitch, block.source + c * block.column_stride,
                         rows * sizeof(T));
}

// Whether the block may and can be written past the caches: whole lines of them.
template <class T>
bool streams(const CopyBlock<T>& block) noexcept {
    return block.stream && block.rows % kLine<T> == 0 && block.target_pitch % kLine<T> == 0 &&
           reinterpret_cast<std::uintptr_t>(block.target) % 64 == 0;
}

// Rows that are neighbours in the source as well.
template <class T>
void copy_runs(const CopyBlock<T>& block) noexcept {
    if (block.rows == block.column_stride && block.rows == block.target_pitch) {  // one run
        const index_t bytes = block.rows * block.columns * static_cast<index_t>(sizeof(T));
        if (block.stream) return stream(block.source, bytes, block.target);
        __builtin_memcpy(block.target, block.source, static_cast<std::size_t>(bytes));
        return;
    }
    if (streams(block)) {
        for (index_t c = 0; c < block.columns; ++c) {
            const T* source = block.source + c * block.column_stride;
            T* target = block.target + c * block.target_pitch;
            for (index_t r = 0; r < block.rows; r += kLanes<T>) store_past_cache(target + r, load(source + r));
        }
        return;
    }
    if (block.rows == 1) return copy_short_runs<1>(block);
    if (block.rows == 2) return copy_short_runs<2>(block);
    if (block.rows == 3) return copy_short_runs<3>(block);
    for (index_t c = 0; c < block.columns; ++c) {
        const T* source = block.source + c * block.column_stride;
        T* target = block.target + c * block.target_pitch;
        index_t r = 0;
        for (; r + kLanes<T> <= block.rows; r += kLanes<T>) store(target + r, load(source + r));
        for (; r < block.rows; ++r) target[r] = source[r];
    }
}

template <class T>
void copy_block(const CopyBlock<T>& block) noexcept {
    constexpr int chunks = FASTCONV_VECTOR_BYTES / 16;
    if (block.row_stride == 1) return copy_runs(block);
    if constexpr (sizeof(T) == sizeof(float)) {
        if (block.column_stride == 1 && block.columns == 2 && block.row_stride >= 2) return part_columns<2>(block);
        if (block.column_stride == 1 && block.columns == 3 && block.row_stride >= 2) return part_columns<3>(block);
    }
    if (block.column_stride != 1 || block.columns < kChunk<T>) return copy_values(block);
    if (streams(block)) return transpose_rows<T, chunks, true>(block);
    if (block.rows >= kLanes<T>) return transpose_rows<T, chunks, false>(block);
    if (block.rows >= kChunk<T>) return transpose_rows<T, 1, false>(block);
    if constexpr (sizeof(T) == sizeof(float)) {
        if (block.rows == 3) return interleave_rows<3>(block);
        if (block.rows == 2) return interleave_rows<2>(block);
    }
    copy_values(block);
}

}  // namespace
}  // namespace fastconv
