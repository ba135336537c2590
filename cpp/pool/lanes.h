// Where targets have few channels: which of them share a vector, and where its lanes find what they meet.
#pragma once

#include <array>
#include <limits>

#include "core/arithmetic.h"
#include "core/isa.h"

namespace fastconv {

// Lanes of a vector of such elements, and the channels of which it holds those of several targets: none where lanes
// aren't shuffled.
inline index_t lanes_of(index_t element_bytes) {
    return kernels<float>().vector_width * static_cast<index_t>(sizeof(float)) / element_bytes;
}

inline index_t most_channels_in_lanes(index_t element_bytes) {
    const index_t lanes = lanes_of(element_bytes);
    return kernels<float>().mixes_lanes && lanes <= LanePattern::kMostLanes ? lanes / 2 : 0;
}

// A piece of a line of targets, cut into vectors. Most vectors have one of few patterns.
template <index_t most_targets>
class LaneTable {
  public:
    // `lanes` of a vector, `tap_step` pixels from tap to tap. Null where vectors would hold few targets.
    const PoolLanes* make(const Span* spans, index_t targets, index_t channels, index_t tap_step, index_t lanes) {
        patterns_ = 0;
        table_ = {vectors_.data(), 0, 0};
        for (index_t q = 0; q < targets;) {
            PoolVector& vector = vectors_[static_cast<std::size_t>(table_.count++)];
            vector.target = q;
            vector.pattern = known(spans + q, targets - q);
            if (vector.pattern == nullptr) {
                if (patterns_ == kMostPatterns) return nullptr;
                vector.pattern = add(spans + q, targets - q, channels, tap_step, lanes);
                if (vector.pattern->lanes == 0) return nullptr;
            }
            vector.pixel = first_pixel(spans + q, vector.pattern->lanes / channels);
            q += vector.pattern->lanes / channels;
            if (table_.count * kLeastTargets > targets + kLeastTargets) return nullptr;
        }
        for (index_t q = 0; q < targets; ++q)
            if (spans[q].count > 0)
                table_.pixels = std::max(table_.pixels, spans[q].first + (spans[q].count - 1) * tap_step + 1);
        for (index_t v = 0; v < table_.count; ++v) {
            PoolVector& vector = vectors_[static_cast<std::size_t>(v)];
            vector.target_element = vector.target * channels;
            vector.element = vector.pixel * channels;
            vector.inside =
                (table_.pixels - vector.pixel) * channels >= 2 * lanes && (targets - vector.target) * channels >= lanes;
        }
        return &table_;
    }

  private:
    static constexpr index_t kMostPatterns = 16, kLeastTargets = 2;

    static index_t first_pixel(const Span* spans, index_t targets) {
        for (index_t q = 0; q < targets; ++q)
            if (spans[q].count > 0) return spans[q].first;
        return 0;
    }

    // The pattern, among those of the last vectors, of the vector that begins with these targets.
    const LanePattern* known(const Span* spans, index_t targets) const {
        for (index_t p = patterns_; p-- > std::max<index_t>(patterns_ - 4, 0);) {
            const Kept& kept = kept_[static_cast<std::size_t>(p)];
            if (kept.targets > targets) continue;
            const index_t pixel = first_pixel(spans, kept.targets);
            index_t q = 0;
            while (q < kept.targets && spans[q].count == kept.spans[static_cast<std::size_t>(q)].count &&
                   (spans[q].count == 0 || spans[q].first - pixel == kept.spans[static_cast<std::size_t>(q)].first))
                ++q;
            if (q == kept.targets) return &kept.pattern;
        }
        return nullptr;
    }

    const LanePattern* add(const Span* spans, index_t targets, index_t channels, index_t tap_step, index_t lanes) {
        Kept& kept = kept_[static_cast<std::size_t>(patterns_++)];
        LanePattern& pattern = kept.pattern;
        pattern = {0, std::numeric_limits<index_t>::max(), 0, {}, {}, {}, {}};
        const index_t pixel = first_pixel(spans, std::min(targets, lanes / channels));
        index_t q = 0;
        for (; q < targets && pattern.lanes + channels <= lanes; ++q) {
            const index_t from = spans[q].count == 0 ? 0 : spans[q].first - pixel;
            const index_t end = from + std::max<index_t>(spans[q].count - 1, 0) * tap_step + 1;
            if (from < 0 || end * channels > 2 * lanes) break;
            for (index_t c = 0; c < channels; ++c, ++pattern.lanes) {
                pattern.order[pattern.lanes] = static_cast<std::int32_t>(from * channels + c);
                pattern.pixels[pattern.lanes] = static_cast<std::int32_t>(from);
                pattern.targets[pattern.lanes] = static_cast<std::int32_t>(q);
                pattern.taps[pattern.lanes] = static_cast<std::int32_t>(spans[q].count);
            }
            kept.spans[static_cast<std::size_t>(q)] = {from, spans[q].count};
            pattern.least_taps = std::min(pattern.least_taps, spans[q].count);
            pattern.most_taps = std::max(pattern.most_taps, spans[q].count);
        }
        kept.targets = q;
        return &pattern;
    }

    struct Kept {
        LanePattern pattern;
        index_t targets;
        std::array<Span, LanePattern::kMostLanes> spans;  // counted from the vector's pixel
    };

    PoolLanes table_;
    index_t patterns_;
    std::array<PoolVector, most_targets> vectors_;
    std::array<Kept, kMostPatterns> kept_;
};

}  // namespace fastconv
