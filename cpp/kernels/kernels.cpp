// The table of one instruction set. This file is compiled once per set, with the flags and the
// FASTCONV_TABLE name that fastconv_add_kernels() in CMakeLists.txt gives it; the table is the only
// symbol that leaves the object file.
#include "kernels/elementwise.h"
#include "kernels/fft.h"
#include "kernels/gemm.h"
#include "kernels/lanes.h"
#include "kernels/lanes_backward.h"
#include "kernels/lanes_spread.h"
#include "kernels/machine.h"
#include "kernels/narrow.h"
#include "kernels/outer.h"
#include "kernels/planes.h"
#include "kernels/pool_backward.h"
#include "kernels/pool_lanes.h"
#include "kernels/table.h"
#include "kernels/tile_transform.h"
#include "kernels/transpose.h"

namespace fastconv {
namespace {

template <class T>
constexpr Kernels<T> make_table() {
    return {
        kLanes<T>,  // in the order of struct Kernels
        kVectors * kLanes<T>,
        kRows,
        pack_panels<T>,
        multiply_rows<T>,
        add_outer_products<T>,
        add_outer_lines<T>,
        pack_channels<T>,
        multiply_rows_narrow<T>,
        add_outer_products_narrow<T>,
        add_rows<T>,
        multiply_planes<T>,
        add_plane_products<T>,
        kPermutes,
        multiply_lanes<T>,
        add_lane_products<T>,
        spread_lanes<T>,
        transform_lanes<T>,
        split_spectra<T>,
        join_spectra<T>,
        multiply_spectra<T>,
        copy_lanes<T>,
        transform_tiles<T>,
        restore_tiles<T>,
        max_line<T>,
        average_line<T>,
        weighted_line<T>,
        matching_line<T>,
        narrow_positions<T>,
        scatter_add<T>,
        stream,
        copy_block<T>,
        sum_of<T>,
        multiply_add_chains<T>,
    };
}

}  // namespace

#define FASTCONV_STRING_(text) #text
#define FASTCONV_STRING(text) FASTCONV_STRING_(text)
#define FASTCONV_JOIN_(a, b) a##b
#define FASTCONV_JOIN(a, b) FASTCONV_JOIN_(a, b)

constexpr KernelTable FASTCONV_JOIN(kernels_, FASTCONV_TABLE){
    FASTCONV_STRING(FASTCONV_TABLE),
    make_table<float>(),
    make_table<double>(),
};

}  // namespace fastconv
