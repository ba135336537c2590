// Lane by lane: convolutions in which an output channel sees few input channels (depthwise, grouped). Each
// lane of a vector is a channel of its own, with its own weight; sums of a tile of pixels x vectors stay in
// registers. A line of the source slides past them: a value, once loaded, meets all taps that it belongs to.
// Where a group has several channels, a permutation of the loaded vector brings each lane the one that it meets.
//
// Bits: each sum adds its products segment by segment and tap by tap, whatever tile it sits in.
#pragma once

#include "kernels/fetcher.h"
#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// Registers: the sums of 8 pixels, the weights of a segment, a value of the source. The loads decide: 3 taps of 8
// pixels need 13 of them for 24 multiply-adds, 7 taps 21 for 56. Two vectors make a cache line, so they come one right
// after the other.
constexpr int kLanePixels = 8, kLaneVectors = 2;
// Vectors whose sums are in registers at once: AVX-512 has room for two, which share what a segment costs.
constexpr int kLaneTileVectors = FASTCONV_VECTOR_BYTES == 64 ? 2 : 1;
// With AVX2 half as many pixels leave room for two. They load more for as many products, and each line of the cache
// once; so pixels may share a few sets of it. Measured, depthwise, time of long tiles over short ones: 3x3, 512
// channels on 14x14 1.4 to 1.5, 3x3, 256 on 28x28 1.3, with eight images, from memory, 0.85; 128 on 56x56 0.7 to 1; the
// gradient of the input at stride 2, one to four taps, 0.7; with segments of 5 or 7 taps 0.9.
constexpr int kShortTile = 4;
constexpr index_t kShortLine = 32, kFewTaps = 4;

// A vector of channels, or a single one where they don't fill a vector.
template <class T>
struct Wide {
    using Value = Vec<T>;
    static constexpr index_t kWidth = kLanes<T>;
    static FASTCONV_INLINE Value load(const T* source) { return fastconv::load(source); }
    static FASTCONV_INLINE void store(T* target, Value value) { fastconv::store(target, value); }
    static FASTCONV_INLINE Value relu(Value value) { return fastconv::relu<T>(value); }
};
template <class T>
struct Single {
    using Value = T;
    static constexpr index_t kWidth = 1;
    static FASTCONV_INLINE Value load(const T* source) { return *source; }
    static FASTCONV_INLINE void store(T* target, Value value) { *target = value; }
    static FASTCONV_INLINE Value relu(Value value) { return value <= 0 ? 0 : value; }
};

// How lanes find their channels: lane k meets channel k ...
template <class T>
struct Straight {
    explicit Straight(const LaneBlock<T>&) {}
    index_t channel(index_t lane) const { return lane; }
    FASTCONV_INLINE void turn_to(index_t) {}
    template <class Lane>
    FASTCONV_INLINE typename Lane::Value load(const T* at) const {
        return Lane::load(at);
    }
};

// ... or one of its group's, alone ...
template <class T>
struct Alone {
    explicit Alone(const LaneBlock<T>& block)
        : inputs(block.group_inputs), outputs(__builtin_ctzll(static_cast<unsigned long long>(block.group_outputs))) {}
    index_t channel(index_t lane) const { return (lane >> outputs) * inputs; }
    FASTCONV_INLINE void turn_to(index_t channel_of_group) { input = channel_of_group; }
    template <class Lane>
    FASTCONV_INLINE T load(const T* at) const {
        return at[input];
    }

    index_t inputs;
    int outputs;  // their logarithm
    index_t input = 0;
};

// ... or side by side with others. The channels of a vector of lanes are a vector, too, or less of one if not Whole.
template <class T, bool Whole>
struct Mixed : Alone<T> {
    static constexpr int kWords = sizeof(T) / 4;

    explicit Mixed(const LaneBlock<T>& block) : Alone<T>(block) {
        for (index_t lane = 0; lane < kLanes<T>; ++lane)
            for (int word = 0; word < kWords; ++word)
                first[lane * kWords + word] = static_cast<std::int32_t>(this->channel(lane) * kWords + word);
    }
    FASTCONV_INLINE void turn_to(index_t channel_of_group) {
        order = first + static_cast<std::int32_t>(channel_of_group * kWords);
    }
    template <class Lane>
    FASTCONV_INLINE typename Lane::Value load(const T* at) const {
        if constexpr (Whole)
            return permute<T>(fastconv::load(at), order);
        else
            return permute<T>(load_first(at, this->channel(kLanes<T>)), order);
    }

    WordOrder first, order{};
};

template <class Meeting>
constexpr bool kIsStraight = false;
template <class T>
constexpr bool kIsStraight<Straight<T>> = true;
template <class Meeting>
constexpr bool kIsAlone = false;
template <class T>
constexpr bool kIsAlone<Alone<T>> = true;
// Permutations take registers of their own.
template <class Meeting>
constexpr bool kHasShortTiles = kIsStraight<Meeting> && FASTCONV_VECTOR_BYTES == 32;

// Calls visit(what lanes meet).
template <class T, class Visit>
FASTCONV_INLINE void with_meeting(const LaneBlock<T>& block, const Visit& visit) {
    if (block.channels < kLanes<T>) return visit(Alone<T>(block));
    if constexpr (kPermutes) {
        if (block.group_inputs != block.group_outputs) return visit(Mixed<T, false>(block));
        if (block.group_outputs > 1) return visit(Mixed<T, true>(block));
    }
    visit(Straight<T>(block));
}

// The next position of a line, in a way that the compiler doesn't see through: it would keep every position of a tile
// in a register of its own, and has no more than a few.
template <class T>
FASTCONV_INLINE const T* next(const T* at, index_t step) {
    at += step;
    __asm__("" : "+r"(at));
    return at;
}

// Calls visit(Wide, vectors as a compile-time constant, first channel) over the whole vectors of [first, last); returns
// where they end.
template <class T, class Visit>
FASTCONV_INLINE index_t for_each_vector(index_t first, index_t last, const Visit& visit) {
    index_t c = first;
    for (; c + kLaneVectors * kLanes<T> <= last; c += kLaneVectors * kLanes<T>)
        visit.template operator()<Wide<T>, kLaneVectors>(c);
    for (; c + kLanes<T> <= last; c += kLanes<T>) visit.template operator()<Wide<T>, 1>(c);
    return c;
}

template <class T, class Visit>
FASTCONV_INLINE void for_each_single(index_t first, index_t last, const Visit& visit) {
    for (index_t c = first; c < last; ++c) visit.template operator()<Single<T>, 1>(c);
}

// Where position q of a line lies: one in the padding reads zeros. (A choice of pointers, not of branches.)
template <class T, bool Inside>
FASTCONV_INLINE const T* inside_or_zeros(const LaneSegment<T>& segment, const T* at, index_t position, const T* zeros) {
    if constexpr (Inside) return at;
    return position >= segment.first && position < segment.last ? at : zeros;
}

template <class T, class Lane, class Meeting, int Pixels, int Vectors>
struct LaneTile {
    typename Lane::Value sums[Vectors][Pixels];
    const LaneBlock<T>& block;
    Meeting meeting;
    index_t pixel, channel;

    // sums[p] += sum over t of source[p + t] * weight[t]
    template <int Taps, bool Inside>
    FASTCONV_INLINE void slide(const LaneSegment<T>& segment) {
        typename Lane::Value factors[Vectors][Taps];
        const T* weight = segment.weight + channel;
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t)
#pragma GCC unroll 2
            for (int v = 0; v < Vectors; ++v)
                factors[v][t] = Lane::load(weight + t * block.weight_step + v * Lane::kWidth);
        meeting.turn_to(segment.input);
        const T* at = segment.source + pixel * block.source_step + meeting.channel(channel);
        const index_t other = meeting.channel(Lane::kWidth);  // whole groups make a vector
#pragma GCC unroll 16
        for (int q = 0; q < Pixels + Taps - 1; ++q) {
            if (Inside || (pixel + q >= segment.first && pixel + q < segment.last)) {
#pragma GCC unroll 2
                for (int v = 0; v < Vectors; ++v) {
                    const auto value = in_register(meeting.template load<Lane>(at + v * other));
#pragma GCC unroll 8
                    for (int t = 0; t < Taps; ++t)
                        if (q >= t && q - t < Pixels) sums[v][q - t] += value * factors[v][t];
                }
            }
            at = next(at, block.source_step);
        }
    }

    // The segments of that many taps.
    template <int Taps, bool Inside>
    FASTCONV_INLINE void slide_all() {
        const LaneSegment<T>* segment = block.segments[Taps - 1];
        const LaneSegment<T>* const end = segment + block.segment_counts[Taps - 1];
        for (; segment != end; ++segment) slide<Taps, Inside>(*segment);
    }

    FASTCONV_INLINE void start() {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v)
#pragma GCC unroll 16
            for (int p = 0; p < Pixels; ++p)
                sums[v][p] = block.bias == nullptr ? typename Lane::Value{}
                                                   : Lane::load(block.bias + channel + v * Lane::kWidth);
    }

    FASTCONV_INLINE void finish(T* target, index_t target_step) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
            if (block.relu) {
#pragma GCC unroll 16
                for (int p = 0; p < Pixels; ++p) sums[v][p] = Lane::relu(sums[v][p]);
            }
#pragma GCC unroll 16
            for (int p = 0; p < Pixels; ++p) Lane::store(target + p * target_step + v * Lane::kWidth, sums[v][p]);
        }
    }
};

template <class T, class Lane, class Meeting, int Pixels, int Vectors, bool Inside>
__attribute__((noinline)) void multiply_lane_tile(const LaneBlock<T>& block, const Meeting& meeting, index_t pixel,
                                                  index_t channel, T* target, index_t target_step) {
    static_assert(kLaneTaps == 3);
    LaneTile<T, Lane, Meeting, Pixels, Vectors> tile{{}, block, meeting, pixel, channel};
    tile.start();
    if constexpr (kIsStraight<Meeting> || kIsAlone<Meeting>) {
        tile.template slide_all<kMostLaneTaps, Inside>();
        tile.template slide_all<kManyLaneTaps, Inside>();
    }
    tile.template slide_all<3, Inside>();
    tile.template slide_all<2, Inside>();
    tile.template slide_all<1, Inside>();
    tile.finish(target, target_step);
}

template <class T, class Meeting, int Pixels>
struct LaneTileVisit {
    const LaneBlock<T>& block;
    const Meeting& meeting;
    Fetcher<T>& ahead;
    index_t pixel;

    template <class Lane, int Vectors>
    FASTCONV_INLINE void operator()(index_t channel) const {
        ahead.step_between();
        T* target = block.target + pixel * block.target_step + channel;
        if constexpr (Vectors * Lane::kWidth * sizeof(T) >= 64) {
            if (block.stream) return stream<Lane, Vectors>(channel, target);
        }
        multiply<Lane, Vectors>(channel, target, block.target_step);
    }

    template <class Lane, int Vectors>
    FASTCONV_INLINE void multiply(index_t channel, T* target, index_t target_step) const {
        constexpr int most = Pixels <= kShortTile && kHasShortTiles<Meeting> ? kLaneVectors : kLaneTileVectors;
        constexpr int together = smaller(Vectors, most);
        const bool inside = pixel >= block.first_inside && pixel + Pixels <= block.last_inside;
        for (int v = 0; v < Vectors; v += together, channel += together * Lane::kWidth) {
            T* to = target + v * Lane::kWidth;
            if (inside) {
                multiply_lane_tile<T, Lane, Meeting, Pixels, together, true>(block, meeting, pixel, channel, to,
                                                                             target_step);
            } else {
                multiply_lane_tile<T, Lane, Meeting, Pixels, together, false>(block, meeting, pixel, channel, to,
                                                                              target_step);
            }
        }
    }

    // Past the caches go whole cache lines, so a tile waits until all of its vectors are there.
    template <class Lane, int Vectors>
    FASTCONV_INLINE void stream(index_t channel, T* target) const {
        constexpr index_t width = Vectors * Lane::kWidth;
        T tile[Pixels * width];
        multiply<Lane, Vectors>(channel, tile, width);
        for (int p = 0; p < Pixels; ++p)
#pragma GCC unroll 4
            for (index_t v = 0; v < width; v += kLanes<T>)
                store_past_cache(target + p * block.target_step + v, load(tile + p * width + v));
    }
};

template <class T>
FASTCONV_INLINE bool has_wide_segments(const LaneBlock<T>& block) {
    return block.segment_counts[kManyLaneTaps - 1] + block.segment_counts[kMostLaneTaps - 1] > 0;
}

template <class Meeting, class T>
FASTCONV_INLINE bool prefers_short_tiles(const LaneBlock<T>& block) {
    index_t taps = 0;
    for (int n = 0; n < kLaneTaps; ++n) taps += block.segment_counts[n] * (n + 1);
    return kHasShortTiles<Meeting> && !block.stream && !has_wide_segments(block) && block.pixels <= kShortLine &&
           taps > kFewTaps;
}

// Some channels along the whole line, tile by tile. The last tile may overlap the one before it, and the last vector
// of channels, too: the same sums are computed twice, which costs less than a remainder one by one.
template <class T, class Meeting, bool Short>
struct LaneTiles {
    const LaneBlock<T>& block;
    const Meeting& meeting;
    Fetcher<T>& ahead;
    index_t first, last;  // channels

    void run() const {
        const index_t pixels = block.pixels;
        index_t pixel = 0;
        if constexpr (kIsAlone<Meeting>) {
            for (; pixel + 4 <= pixels; pixel += 4) for_each_single<T>(first, last, visit<4>(pixel));
            for (; pixel < pixels; ++pixel) for_each_single<T>(first, last, visit<1>(pixel));
        } else {
            run_wide();
        }
    }

    void run_wide() const {
        const index_t pixels = block.pixels;
        index_t pixel = 0;
        if constexpr (!Short) {
            if (pixels % 8 != 0 && pixels % 7 == 0) {  // as many layers have it
                for (; pixel < pixels; pixel += 7) tile<7>(pixel);
                return;
            }
            for (; pixel + 8 <= pixels; pixel += 8) tile<8>(pixel);
            if (pixels - pixel > 4 && pixels >= 8) return tile<8>(pixels - 8);
        }
        for (; pixel + 4 <= pixels; pixel += 4) tile<4>(pixel);
        if (pixels - pixel > 0 && pixels >= 4) return tile<4>(pixels - 4);
        for (; pixel < pixels; ++pixel) tile<1>(pixel);
    }

    template <int Pixels>
    FASTCONV_INLINE void tile(index_t pixel) const {
        if (for_each_vector<T>(first, last, visit<Pixels>(pixel)) < last)
            visit<Pixels>(pixel).template operator()<Wide<T>, 1>(last - kLanes<T>);
    }

    template <int Pixels>
    FASTCONV_INLINE LaneTileVisit<T, Meeting, Pixels> visit(index_t pixel) const {
        return {block, meeting, ahead, pixel};
    }
};

// Of about so many tiles of pixels and channels.
template <class T>
FASTCONV_INLINE index_t lane_steps(const LaneBlock<T>& block, index_t pixels = kLanePixels) {
    constexpr index_t width = kLaneVectors * kLanes<T>;
    return ((block.pixels + pixels - 1) / pixels) * ((block.channels + width - 1) / width);
}

// As many channels at a time as keep their weights, and the part of the source that a tile sees, in half of L1.
template <class T>
void multiply_lanes(const LaneBlock<T>& block) noexcept {
    constexpr index_t kValues = 16384 / sizeof(T), kStep = kLaneVectors * kLanes<T>;
    index_t values = 0;  // of a channel
    for (int n = 0; n < kMostLaneTaps; ++n) values += block.segment_counts[n] * (2 * (n + 1) + kLanePixels);
    const index_t together = values * kStep > kValues ? kStep : kValues / (values > 0 ? values : 1) / kStep * kStep;
    with_meeting(block, [&](auto meeting) noexcept {
        using Meeting = decltype(meeting);
        const bool is_short = prefers_short_tiles<Meeting>(block);
        Fetcher<T> ahead(block.ahead[0], lane_steps(block, is_short ? kShortTile : kLanePixels));
        for (index_t c = 0; c < block.channels; c += together) {
            const index_t last = smaller(c + together, block.channels);
            if (is_short) {
                LaneTiles<T, Meeting, kHasShortTiles<Meeting>>{block, meeting, ahead, c, last}.run();
            } else {
                LaneTiles<T, Meeting, false>{block, meeting, ahead, c, last}.run();
            }
        }
    });
}

}  // namespace
}  // namespace fastconv
