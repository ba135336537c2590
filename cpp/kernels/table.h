// What the rest of the library sees of the kernels: one table of serial functions per instruction
// set. Drivers own loops over blocks, threads and memory; a kernel gets plain pointers, computes and
// returns. Everything here is C-like on purpose: nothing that could leave a weak symbol compiled
// with AVX in an object file that a machine without AVX links (docs/architecture.md, "ISA dispatch").
#pragma once

#include "kernels/index.h"

namespace fastconv {

// Products with so few columns have kernels of their own, whose vectors run along the rows. Their weights are packed
// column by column: panels[(tap * columns + k) * padded + c], each column padded with zeros to whole vectors.
constexpr index_t kNarrowColumns = 6;

// A block of rows times a packed matrix: target[r][k] = act(start[r][k] + sum over tap, c of
// source[tap][r][offset + c] * panel[tap, c][k]), where start is the target, the bias or zero.
template <class T>
struct RowBlock {
    const T* const* sources;  // sources[tap * pitch + row]: rows of the left matrix, anywhere in memory
    index_t pitch;
    index_t row_step;  // if not 0, sources[tap] is row 0, and so many elements are between neighbouring rows
    index_t rows, taps;
    index_t offset, depth;  // elements [offset, offset + depth) of each source row take part
    const T* panels;        // taps * depth rows, packed by pack_panels
    index_t columns;
    T* const* targets;  // targets[row] + target_offset: where the columns of a row go
    index_t target_offset;
    const T* bias;   // columns values, or null for zero; read only when not accumulating
    const T* zeros;  // a source row that is this one needn't be multiplied
    bool accumulate;
    bool relu;
    bool stream;  // targets are aligned to vectors, and so large that nothing of them would be left in the caches
    // Or null: what will be packed next, a matrix of as many rows and columns as this one; it is fetched meanwhile. One
    // of its strides is 1.
    const T* ahead = nullptr;
    index_t ahead_row_stride = 0, ahead_column_stride = 0;
    // Or null: the matrix isn't packed yet, and its columns lie side by side; it has one tap. It is packed into
    // `packed`, which is `panels`, while it is multiplied.
    const T* matrix = nullptr;
    index_t matrix_row_stride = 0;
    bool matrix_is_fetched = false;  // it was `ahead` of an earlier call
    T* packed = nullptr;
};

// Rows that will be read soon, or none of them. A kernel fetches them meanwhile, a few cache lines at a time.
template <class T>
struct Ahead {
    const T* start = nullptr;
    index_t pitch = 0, rows = 0, columns = 0;
};

// A sum of outer products: sums[c * pitch + k] += sum over rows of source[row][offset + c] * panel[row][k]. Or, with
// pieces of lines, of all taps at once: sums[(tap * depth + c) * pitch + k] += sum over rows of
// sources[tap][row * row_step + c] * panel[row][k], where the right-hand side may come unpacked if it fills vectors.
template <class T>
struct OuterBlock {
    const T* const* sources;
    const T* packed;  // or the same values, laid out by pack_channels; null where they are read in place
    index_t rows;
    index_t offset, depth;
    T* panels;  // packed by pack_panels, or room for them
    index_t columns;
    T* sums;
    index_t pitch;
    index_t taps, row_step;  // of lines
    const T* right;          // what is to be packed into the panels, or null; of lines, where panels is null
    index_t right_pitch;
    bool fresh;           // the sums are set, not added to
    bool apart;           // what is added is summed up by itself first, which keeps the chains of additions short
    bool stream = false;  // fresh sums are aligned to cache lines, and so large that the caches would keep none
    Ahead<T> ahead[2] = {};
    index_t panel_rows = 0;           // of other sums than those of lines
    const index_t* places = nullptr;  // of these, each packed row of the source meets row places[row]
};

// A matrix view with any strides, to be packed into the panels that the two kernels above read:
// panel after panel, each a few vectors wide and block_rows long, missing columns filled with zeros.
template <class T>
struct PackBlock {
    const T* source;
    index_t row_stride, column_stride;
    index_t rows, columns;
    T* panels;
    index_t first_row, block_rows;  // the rows are [first_row, first_row + rows) of a panel of block_rows
};

// Values to be laid out anew: the one at source[r * row_stride + c * column_stride] goes to
// target[c * target_pitch + r].
template <class T>
struct CopyBlock {
    const T* source;
    index_t row_stride, column_stride;
    index_t rows, columns;
    T* target;
    index_t target_pitch;
    bool stream;  // past the caches, where the block allows it
};

// Products whose vectors run along a line, over channels that lie in planes of their own. A term is a tap of one
// channel; pixel p of the first line meets it at sources[term][offset + p]. Whole vectors are read, past the last
// pixel. Lines of at most a vector may come together, a few at a time.
//
// target[line * target_step + p * pixel_step + k] = act(bias[k] + sum over terms of
//     sources[term][offset + line * source_step + p] * weight[term * weight_step + k])
template <class T>
struct PlaneBlock {
    const T* const* sources;
    index_t offset, terms, pixels, columns;
    index_t lines, source_step, target_step, pixel_step;
    const T* weight;
    index_t weight_step;
    const T* bias;  // or null
    bool relu;
    T* target;
};

// sums[term * sums_step + k] += sum over lines, p of
//     sources[term][line * source_step + p] * right[line * right_step + k * pitch + p]
//
// where the right-hand side has zeros up to the end of the last vector.
template <class T>
struct PlaneSums {
    const T* const* sources;
    index_t source_step, terms, lines, pixels, columns;
    const T* right;
    index_t right_step, pitch;
    T* sums;
    index_t sums_step;
};

// The pixels that a window meets along an axis: first, first + step, ..., and none that lie in the padding.
struct Span {
    index_t first, count;
};

// Several targets of few channels in one vector, and where its lanes find a tap: in two vectors of the source.
struct LanePattern {
    static constexpr int kMostLanes = 16;
    using Lanes = std::int32_t[kMostLanes];
    index_t lanes;                  // that belong to targets
    index_t least_taps, most_taps;  // along the width, of these targets
    Lanes order;                    // the element that is a lane's first tap, counted from the vector's pixel; with all
                                    // others of its line it lies in two vectors from there on
    Lanes pixels, targets;          // the pixel of that element and the lane's target, counted from the vector's
    Lanes taps;                     // along the width; no lane without a target has any
};

struct PoolVector {
    const LanePattern* pattern;
    index_t target, pixel;            // the first of its targets, and of the source's pixels that they meet
    index_t target_element, element;  // the same in elements
    bool inside;                      // whether whole vectors may be read from there, and be written
};

struct PoolLanes {
    const PoolVector* vectors;
    index_t count;
    index_t pixels;  // the end of those of the source that any target meets
};

// A line of targets, each the channels of one pixel and the maximum or the sum of what a window meets: `count`
// pixels (of the target's span) on each of depth * height lines of the source. Gradients are the same with the
// roles exchanged: the target is a pixel of the input, and what it meets are the windows that it lies in.
template <class T>
struct PoolLine {
    const T* source;  // pixel 0 of the first line
    index_t depth, height;
    index_t depth_step, height_step;  // elements from a line to the next that the window meets
    index_t pixel_step;               // elements from a pixel of a line to its neighbour
    index_t tap_step;                 // pixels from one that the window meets to the next
    const Span* spans;
    index_t targets, channels;
    T* target;
    index_t target_step;     // elements
    const PoolLanes* lanes;  // or null; where there are any, pixels and targets follow each other
    Ahead<T> ahead;
};

// Where the maxima of a line stand in the plane.
struct PoolPositions {
    index_t first;  // the position of the source's pixel 0
    index_t depth_step, height_step;
    index_t* indices;  // or null; as far apart as the targets
};

// Factors of what the sums take in, by depth, height and pixel of the source, counted from its first line.
template <class T>
struct PoolFactors {
    const T *depth, *height, *width;
};

// Positions in the plane as wide as T, which a comparison of vectors wants.
template <class T>
struct PositionOf;
template <>
struct PositionOf<float> {
    using Type = std::int32_t;
};
template <>
struct PositionOf<double> {
    using Type = std::int64_t;
};

// The maxima's positions, laid out like the source of a line but with steps of their own.
template <class T>
struct PoolMatches {
    const typename PositionOf<T>::Type* positions;
    index_t depth_step, height_step, pixel_step;
    index_t first_target;  // the position of the first target
};

constexpr int kLaneTaps = 3, kManyLaneTaps = 5, kMostLaneTaps = 7;  // of a segment: 1 to 3, or unless mixed 5 or 7

// Some taps of a line of a convolution whose lanes (output channels) don't mix: tap t of pixel p meets position p + t
// of the source. Positions outside [first, last) are padding.
template <class T>
struct LaneSegment {
    const T* source;  // position 0
    index_t first, last;
    const T* weight;  // of the first tap
    T* sums;          // or the gradient of these weights
    index_t input;    // which channel of its group a lane meets
};

// target[p][k] = act(bias[k] + sum over segments, t of source[p + t][k] * weight[t][k]), or, for the gradient of the
// weights, sums[t][k] += sum over p of source[p + t][k] * right[p][k] in every segment.
template <class T>
struct LaneBlock {
    const LaneSegment<T>* segments[kMostLaneTaps];  // those of n + 1 taps
    index_t segment_counts[kMostLaneTaps];
    index_t first_inside, last_inside;  // pixels [first_inside, last_inside) never meet the padding
    index_t source_step, weight_step;   // elements from position to position, and from tap to tap
    index_t pixels, channels;
    // Lane k meets channel k / group_outputs * group_inputs + input of the source; where mixes_lanes is false, both
    // are 1. At most as many inputs as outputs, and those a divisor of the vector's width.
    index_t group_inputs, group_outputs;
    T* target;
    const T* right;
    index_t target_step;  // of target or right, from pixel to pixel
    const T* bias;        // or null
    bool relu;
    bool stream;  // targets are aligned to cache lines, and so large that nothing of them would be left in the caches
    Ahead<T> ahead[2];
};

// target[(p * group_inputs + i) * pitch + g * repeats + r] = source[p][g * group_inputs + i]: every input channel as
// often as its group has output channels, so that lanes meet without mixing.
template <class T>
struct LaneSpread {
    const T* source;
    index_t source_step;
    index_t pixels, groups, group_inputs, repeats;
    T* target;
    index_t pitch;
};

// Rows of complex numbers: real parts at data[row * pitch], imaginary parts `imaginary` values after them.
template <class T>
struct ComplexRows {
    T* data;
    index_t pitch, imaginary;
};

// The Fourier transforms of one vector of lanes: target[f] = sum over t of source[t] * root^(t * f), with root =
// exp(-2 pi i / length). The length is a power of two, at least two.
template <class T>
struct FourierBlock {
    index_t length;
    ComplexRows<const T> source;
    ComplexRows<T> target;
    const T* roots;  // real and imaginary parts of root^k, for k below 3/4 of the length
    // Room for 2 * length vectors each. With a pitch of two vectors, work[1] may be the target as well, and
    // work[(passes + 1) % 2] the source, where passes is half the logarithm (base two) of the length, rounded up.
    T* work[2];
};

// Complex products at one frequency: target[r][k] (+)= sum over l of left[r][l] * right[l][k], in every group, where
// left[r][l] is left[r * left_pitch + l * left_step]. Whole vectors of `right` are read, past its last column too.
template <class T>
struct SpectrumProduct {
    index_t groups, rows, depth, columns;
    const T* left;
    index_t left_group_step, left_pitch, left_step, left_imaginary;
    const T* right;
    index_t right_group_step, right_pitch, right_imaginary;
    T* target;
    index_t target_group_step, target_pitch, target_imaginary;
    bool conjugate_left, conjugate_target, accumulate;
};

// target[t * target_step + l] = act(source[t * source_step + l] + bias[l]), at most a vector of lanes.
template <class T>
struct LaneCopy {
    const T* source;
    index_t source_step;
    T* target;
    index_t target_step;
    index_t times, lanes;
    const T* bias;  // or null
    bool relu;
};

// What the values of a tile along one axis are multiplied with: a constant matrix of `to` rows and `from` columns
// (kernels/toom_cook.h says which one). An axis along which nothing is transformed has extent one.
enum class TransformKind : int { kNone, kData, kKernel, kResult };
struct AxisTransform {
    TransformKind kind = TransformKind::kNone;
    int from = 1, to = 1;
};

// A tile of pixels, of which those in rows [first_row, last_row) and columns [first_column, last_column) exist; the
// others count as zero, or aren't written. data: where the pixel of row 0 and column 0 is, or would be.
template <class Value>
struct PixelTile {
    Value* data;
    int first_row, last_row, first_column, last_column;
};

// planes[(i * width.to + j) * plane_pitch] + t * pitch + c = value (i, j) of tile t, transformed along both axes. Whole
// vectors are written, past the last channel too. Or, with a pitch of 0, panels of block_rows rows, of which tile t is
// row first_row + t, as pack_panels makes them.
template <class T>
struct TileBlock {
    AxisTransform height, width;
    const PixelTile<const T>* tiles;
    index_t count, channels;
    index_t row_step, column_step;  // elements from a pixel to its neighbours
    T* planes;
    index_t plane_pitch, pitch;
    index_t first_row, block_rows;
};

// The way back, from planes to pixels: value (i, j) of tile t = act(bias[c] + what the transforms make of the planes).
// Whole vectors are read, past the last channel too.
template <class T>
struct RestoreBlock {
    AxisTransform height, width;
    const PixelTile<T>* tiles;
    index_t count, channels;
    index_t row_step, column_step;
    const T* planes;
    index_t plane_pitch, pitch;
    const T* bias;  // or null
    bool relu;
    bool stream;  // pixels are aligned to cache lines, and so many that nothing of them would be left in the caches
};

template <class T>
struct Kernels {
    index_t vector_width;  // panels are padded to multiples of it
    index_t panel_width;   // the widest panel: columns that one micro-kernel call covers
    index_t row_tile;      // rows that one micro-kernel call covers

    void (*pack_panels)(const PackBlock<T>&) noexcept;
    void (*multiply_rows)(const RowBlock<T>&) noexcept;
    void (*add_outer_products)(const OuterBlock<T>&) noexcept;
    void (*add_outer_lines)(const OuterBlock<T>&) noexcept;
    // target = the channels of the rows of an outer product, row_tile of them at a time, row by row
    void (*pack_channels)(const OuterBlock<T>&, T* target) noexcept;
    // At most kNarrowColumns columns. The second takes panels of one vector.
    void (*multiply_rows_narrow)(const RowBlock<T>&) noexcept;
    void (*add_outer_products_narrow)(const OuterBlock<T>&) noexcept;
    // sums[k] += sum over rows of source[row * pitch + k]
    void (*add_rows)(const T* source, index_t pitch, index_t rows, index_t columns, T* sums) noexcept;

    void (*multiply_planes)(const PlaneBlock<T>&) noexcept;
    void (*add_plane_products)(const PlaneSums<T>&) noexcept;

    bool mixes_lanes;  // whether registers' lanes are shuffled by one instruction
    void (*multiply_lanes)(const LaneBlock<T>&) noexcept;
    void (*add_lane_products)(const LaneBlock<T>&) noexcept;
    void (*spread_lanes)(const LaneSpread<T>&) noexcept;

    void (*transform_lanes)(const FourierBlock<T>&) noexcept;
    // Two vectors of real signals a and b as one of complex ones, a + i b: from its spectrum to the first halves of
    // twice the conjugate spectra of a and b, one vector after the other, and from the spectra's halves back to it.
    void (*split_spectra)(index_t length, const ComplexRows<const T>& both, const ComplexRows<T>& halves) noexcept;
    void (*join_spectra)(index_t length, const ComplexRows<const T>& halves, const ComplexRows<T>& both) noexcept;
    void (*multiply_spectra)(const SpectrumProduct<T>&) noexcept;
    void (*copy_lanes)(const LaneCopy<T>&) noexcept;

    void (*transform_tiles)(const TileBlock<T>&) noexcept;
    void (*restore_tiles)(const RestoreBlock<T>&) noexcept;

    // The first maximum of each window wins, but a NaN wins over numbers; -inf, and -1 as its index, of an empty one.
    void (*max_line)(const PoolLine<T>&, const PoolPositions&) noexcept;
    // target[q] = scales[q] * the sum of what the target meets; two vectors of scales may be read from any on
    void (*average_line)(const PoolLine<T>&, const T* scales) noexcept;
    // target[q] = the sum of what the target meets, times its factors
    void (*weighted_line)(const PoolLine<T>&, const PoolFactors<T>&) noexcept;
    // target[q] = the sum of what the target meets where the position is that of the target; returns how often
    index_t (*matching_line)(const PoolLine<T>&, const PoolMatches<T>&) noexcept;
    // Narrows indices to positions; returns how many aren't -1, or -1 if there is one that doesn't fit.
    index_t (*narrow_positions)(const index_t* indices, index_t count,
                                typename PositionOf<T>::Type* positions) noexcept;
    // targets[tap * pitch][c] += scale * source[tap * source_pitch + c] for every target that isn't null
    void (*scatter_add)(T* const* targets, index_t pitch, index_t taps, const T* source, index_t source_pitch,
                        index_t channels, T scale) noexcept;
    // Copies past the caches, for targets so large that nothing of them would be left there.
    void (*stream)(const void* source, index_t bytes, void* target) noexcept;

    void (*copy_block)(const CopyBlock<T>&) noexcept;

    T (*sum_of)(const T* values, index_t count) noexcept;
    // For measuring the machine: does steps * (a fixed number) of operations, returns how many.
    double (*multiply_add_chains)(index_t steps, T* result) noexcept;
};

struct KernelTable {
    const char* name;
    Kernels<float> float32;
    Kernels<double> float64;
};

extern const KernelTable kernels_baseline;
extern const KernelTable kernels_avx2;
extern const KernelTable kernels_avx512;
extern const KernelTable kernels_neon;

}  // namespace fastconv
