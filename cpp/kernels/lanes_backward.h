// Lane by lane, the gradient of the weights: lines of the source slide past those of the output's gradient, and the
// sums of a segment's taps stay in registers.
//
// Bits: each sum adds its products block by block of pixels, and in each pixel by pixel.
#pragma once

#include "kernels/lanes.h"

namespace fastconv {
namespace {

// The last lanes of so many vectors.
template <class T>
__attribute__((noinline)) void store_unknown(T* results, index_t step, const T* lanes, int vectors, index_t known) {
    for (int v = 0; v < vectors; ++v, results += step, lanes += kLanes<T>)
        for (index_t k = known; k < kLanes<T>; ++k) results[k] = lanes[k];
}

// The gradient of the weights of a segment: sums[t] += sum over p of source[p + t] * right[p]. Two vectors side by
// side, because three sums would wait for each other. Each segment loads the values of both sides again: wide ones load
// less, and have sums enough in one vector.
template <class T, class Lane, class Meeting, int Vectors, int Taps>
struct LaneSums {
    using Value = typename Lane::Value;
    Value sums[Vectors][Taps];
    const LaneBlock<T>& block;
    const LaneSegment<T>& segment;
    const Meeting meeting;  // turned to the segment's input
    index_t channel;
    index_t known;  // so many of the first channels have their sums already
    const T* zeros;
    Fetcher<T> (&ahead)[2];

    template <int Pixels, bool Inside>
    FASTCONV_INLINE void slide(index_t pixel) {
        // Tiles of wide segments are more than were counted: those inside of the line will do.
        if (Pixels > 1 && (Taps <= kLaneTaps || Inside))
            for (Fetcher<T>& lines : ahead) lines.step();
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
            const T* by = block.right + pixel * block.target_step + channel + v * Lane::kWidth;
            const T* at = segment.source + pixel * block.source_step + meeting.channel(channel + v * Lane::kWidth);
            Value factors[Pixels];
#pragma GCC unroll 16
            for (int p = 0; p < Pixels; ++p, by = next(by, block.target_step)) factors[p] = in_register(Lane::load(by));
#pragma GCC unroll 16
            for (int q = 0; q < Pixels + Taps - 1; ++q) {
                const T* const from = inside_or_zeros<T, Inside>(segment, at, pixel + q, zeros);
                const Value value = in_register(meeting.template load<Lane>(from));
                at = next(at, block.source_step);
#pragma GCC unroll 8
                for (int t = 0; t < Taps; ++t)
                    if (q >= t && q - t < Pixels) sums[v][t] += value * factors[q - t];
            }
        }
    }

    FASTCONV_INLINE void slide_over(index_t first, index_t last) {
        T* const results = segment.sums + channel;
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v)
#pragma GCC unroll 8
            for (int t = 0; t < Taps; ++t) sums[v][t] = Lane::load(results + t * block.weight_step + v * Lane::kWidth);

        // Border, inside, border.
        index_t pixel = first;
        for (; pixel + kLanePixels <= last && pixel < segment.first; pixel += kLanePixels)
            slide<kLanePixels, false>(pixel);
        const index_t inside = smaller(last, segment.last - (Taps - 1));
        for (; pixel + kLanePixels <= inside; pixel += kLanePixels) slide<kLanePixels, !kIsAlone<Meeting>>(pixel);
        for (; pixel + kLanePixels / 2 <= last; pixel += kLanePixels / 2) slide<kLanePixels / 2, false>(pixel);
        for (; pixel < last; ++pixel) slide<1, false>(pixel);

        if constexpr (Vectors == 1 && Lane::kWidth > 1) {
            if (known > 0) {
                T lanes[Taps * Lane::kWidth];
#pragma GCC unroll 8
                for (int t = 0; t < Taps; ++t) Lane::store(lanes + t * Lane::kWidth, sums[0][t]);
                return store_unknown(results, block.weight_step, lanes, Taps, known);
            }
        }
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v)
#pragma GCC unroll 8
            for (int t = 0; t < Taps; ++t) Lane::store(results + t * block.weight_step + v * Lane::kWidth, sums[v][t]);
    }
};

// The segments of so many taps, over pixels [first, last). A function of its own, because several visits call it.
template <class T, class Lane, class Meeting, int Vectors, int Taps>
FASTCONV_ONE_COPY void add_lane_segments(const LaneBlock<T>& block, Meeting meeting, index_t channel, index_t known,
                                         index_t first, index_t last, const T* zeros, Fetcher<T> (&ahead)[2]) noexcept {
    for (index_t s = 0; s < block.segment_counts[Taps - 1]; ++s) {
        const LaneSegment<T>& segment = block.segments[Taps - 1][s];
        meeting.turn_to(segment.input);
        LaneSums<T, Lane, Meeting, Vectors, Taps>{{}, block, segment, meeting, channel, known, zeros, ahead}.slide_over(
            first, last);
    }
}

template <class T, class Meeting>
struct AddLanesVisit {
    const LaneBlock<T>& block;
    const Meeting& meeting;
    index_t first, last;  // pixels
    const T* zeros;
    Fetcher<T> (&ahead)[2];
    index_t known = 0;

    template <class Lane, int Vectors>
    FASTCONV_INLINE void operator()(index_t channel) const {
        if constexpr (kIsStraight<Meeting>) {
            for (int v = 0; v < Vectors; ++v) {
                add<Lane, 1, kMostLaneTaps>(channel + v * Lane::kWidth);
                add<Lane, 1, kManyLaneTaps>(channel + v * Lane::kWidth);
            }
        }
        add<Lane, Vectors, 3>(channel);
        add<Lane, Vectors, 2>(channel);
        add<Lane, Vectors, 1>(channel);
    }

    template <class Lane, int Vectors, int Taps>
    FASTCONV_INLINE void add(index_t channel) const {
        if (block.segment_counts[Taps - 1] > 0)
            add_lane_segments<T, Lane, Meeting, Vectors, Taps>(block, meeting, channel, known, first, last, zeros,
                                                               ahead);
    }
};

// Pixels come in blocks that stay in L1 while all taps pass over them.
template <class T>
void add_lane_products(const LaneBlock<T>& block) noexcept {
    // Pixels a kilobyte apart share a few sets of L1: fewer of them stay there. Measured, 31 taps, fewer pixels: 256
    // channels 1.2 times as fast; 128, whose pixels half a kilobyte apart have twice as many sets, 0.8.
    constexpr index_t kPixels = 64, kBytes = 1024;
    const index_t bytes = block.target_step * static_cast<index_t>(sizeof(T));
    const index_t together = bytes % kBytes == 0 ? kPixels / 2 : kPixels;
    const T zeros[kLaneVectors * kLanes<T>] = {};
    index_t steps = 0;
    for (const index_t segments : block.segment_counts) steps += segments * lane_steps(block);
    Fetcher<T> ahead[] = {{block.ahead[0], steps}, {block.ahead[1], steps}};
    with_meeting(block, [&](auto meeting) noexcept {
        using Meeting = decltype(meeting);
        for (index_t pixel = 0; pixel < block.pixels; pixel += together) {
            AddLanesVisit<T, Meeting> visit{block, meeting, pixel, smaller(pixel + together, block.pixels),
                                            zeros, ahead};
            if constexpr (kIsAlone<Meeting>) {
                for_each_single<T>(0, block.channels, visit);
            } else {
                const index_t rest = block.channels - for_each_vector<T>(0, block.channels, visit);
                if (rest == 0) continue;
                visit.known = kLanes<T> - rest;  // the last vector overlaps the one before it
                visit.template operator()<Wide<T>, 1>(block.channels - kLanes<T>);
            }
        }
    });
}

}  // namespace
}  // namespace fastconv
