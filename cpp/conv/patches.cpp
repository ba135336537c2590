#include "conv/patches.h"

#include <algorithm>

#include "core/isa.h"
#include "core/threads.h"

namespace fastconv {
namespace {

constexpr index_t kRows = 64;  // rows and taps whose addresses are gathered at a time, on the stack
constexpr index_t kTaps = 16;

// Calls visit(tap, taps, rows' addresses) over the taps of a few rows. Address [t * rows + r] is where tap
// tap + t of row first_row + r finds its channels, or null in the padding.
template <class Pointer, class Visit>
void for_each_tap_block(const RowMap& map, const RowAddresses<Pointer>& addresses, index_t first_row, index_t rows,
                        Visit visit) {
    Pointer block[kTaps * kRows];
    for (index_t tap = 0; tap < map.taps(); tap += kTaps) {
        const index_t taps = std::min(kTaps, map.taps() - tap);
        addresses.gather(map, first_row, rows, tap, taps, block, rows);
        visit(tap, taps, block);
    }
}

}  // namespace

template <class T>
void im2col(const RowMap& map, const TensorView<const T>& input, const PatchBlock& block, T* patches) {
    const RowAddresses<const T*> addresses = source_rows<const T>(input, nullptr);
    const index_t length = map.taps() * block.channels;
    const index_t tasks = ceil_div(block.rows, kRows);
    const int threads = worthwhile_threads(4.0 * static_cast<double>(block.rows * length), tasks);
    parallel_for(tasks, threads, [&](index_t task, int) {
        const index_t first = task * kRows;
        const index_t rows = std::min(kRows, block.rows - first);
        for_each_tap_block(map, addresses, block.first_row + first, rows,
                           [&](index_t tap, index_t taps, const T* const* sources) {
            for (index_t r = 0; r < rows; ++r) {
                T* target = patches + (first + r) * length + tap * block.channels;
                for (index_t t = 0; t < taps; ++t, target += block.channels) {
                    const T* source = sources[t * rows + r];
                    if (source == nullptr) {
                        std::fill_n(target, block.channels, T(0));
                    } else {
                        std::copy_n(source + block.channel, block.channels, target);
                    }
                }
            }
        });
    });
}

// Windows overlap, so tasks own what they add to: an image each, and some of its channels.
template <class T>
void col2im(const RowMap& map, const T* patches, const PatchBlock& block, const TensorView<T>& input) {
    constexpr index_t kChannels = 64;
    const RowAddresses<T*> addresses = source_rows<T>(input, nullptr);
    const index_t length = map.taps() * block.channels;
    const index_t last_row = block.first_row + block.rows;
    const index_t first_image = block.first_row / map.pixels();
    const index_t images = ceil_div(last_row, map.pixels()) - first_image;
    const index_t chunks = ceil_div(block.channels, kChannels);
    const int threads = worthwhile_threads(4.0 * static_cast<double>(block.rows * length), images * chunks);
    parallel_for(images * chunks, threads, [&](index_t task, int) {
        const index_t image = first_image + task / chunks;
        const index_t channel = task % chunks * kChannels;
        const index_t channels = std::min(kChannels, block.channels - channel);
        const index_t end = std::min((image + 1) * map.pixels(), last_row);
        for (index_t first = std::max(image * map.pixels(), block.first_row); first < end; first += kRows) {
            const index_t rows = std::min(kRows, end - first);
            for_each_tap_block(map, addresses, first, rows, [&](index_t tap, index_t taps, T* const* targets) {
                T* shifted[kTaps * kRows];
                std::transform(targets, targets + taps * rows, shifted, [&](T* target) {
                    return target == nullptr ? nullptr : target + block.channel + channel;
                });
                for (index_t r = 0; r < rows; ++r) {
                    const T* source = patches + (first - block.first_row + r) * length + tap * block.channels + channel;
                    kernels<T>().scatter_add(shifted + r, rows, taps, source, block.channels, channels, T(1));
                }
            });
        }
    });
}

template void im2col(const RowMap&, const TensorView<const float>&, const PatchBlock&, float*);
template void im2col(const RowMap&, const TensorView<const double>&, const PatchBlock&, double*);
template void col2im(const RowMap&, const float*, const PatchBlock&, const TensorView<float>&);
template void col2im(const RowMap&, const double*, const PatchBlock&, const TensorView<double>&);

}  // namespace fastconv
