// Winograd's convolution (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016), in all three
// passes. Tiles of pixels and of the weight are transformed so that a convolution becomes a product at every point of
// the plane of points, and the sum over channels a matrix product at each:
//
//   forward          output tile      = R ((K weight) * (D input tile)), summed over input channels
//   backward_input   grad_input tile  = the same of grad_output, with the weight flipped and transposed
//   backward_weight  grad_weight      = R (sum over tiles of (K grad_output tile) * (D input tile))
//
// with the matrices of kernels/toom_cook.h along height and width. F(4x4, 3x3) multiplies 36 numbers where adding up
// takes 144. In the gradient of the weight the roles are exchanged: its "kernel" is a tile of grad_output, and its
// results are the taps; sums over tiles stay transformed, so that there is one way back in the end.
//
// A stride leaves convolutions without one, in the phases of the input (conv/tiles.h): forwards and for the weight
// these join the reduction, backwards each is a product of its own. A dilation only sets the pixels of a tile apart.
//
// Rounding: relative to the largest values of a tile, not to each result's own; what isn't finite spreads over a tile.
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "conv/algorithm.h"
#include "conv/direct.h"
#include "conv/phases.h"
#include "conv/tile_product.h"
#include "conv/tile_sum.h"

namespace fastconv {
namespace {

// What things cost, in multiply-adds of the matrix product, by profiles of VGG-16 and ResNet on a Zen 4 with AVX-512: a
// value that is transformed or restored, because it goes through memory (more, where the transform along a line makes
// little of it); several phases of the input, which leave few tiles in the cache (forwards not of few channels, in a
// gradient of those alone, as measured); pixels of a tile that are apart, where there's a dilation (time over that of
// direct products, 256 -> 256, 33x33, dilation 12 1.1 to 1.4, 18 1.1 to 1.5, 6 0.7; the gradient of the weight 0.8 to 1
// with all, as it is counted without); a sum that is loaded and stored between pieces of the reduction; each point of
// the weight, and each of its values, which has to be read, from memory where there are many. Other algorithms reach
// nine tenths of the peak, less with few channels in a group, and pack the weight. Groups of few channels are short
// pieces of pixels far apart, which come from memory in time for products alone (16 channels of 512, time over that of
// direct products: 14x14, batch 2 0.7, batch 16 1.2; the gradient of the weight 0.8 and 1.3). bench/choose_winograd.py
// compares the choice with measurements.
constexpr double kTransform = 20, kTransformGradient = 30, kSums = 12, kPoint = 5, kPhases = 1.3, kApart = 1.15;
constexpr index_t kFewOfGroup = 16;  // channels
constexpr double kReadLarge = 28, kReadMiddle = 16, kReadSmall = 12, kPackLarge = 12, kPackSmall = 4;
constexpr index_t kFewestChannels = 16;         // take as long as fewer
constexpr index_t kFewestRows = 8;              // likewise, input channels in the gradient of the weight
constexpr double kFewestTiles = 4;              // likewise
constexpr index_t kLarge = index_t{128} << 10;  // values of a weight
constexpr index_t kHuge = index_t{2} << 20;     // values that stay in no cache
constexpr double kMostWorkspace = 512 << 20;    // bytes of the transformed weight

// Of a value of a group of few channels, times that of others.
double transform_factor(const ConvGeometry& g, Pass pass) {
    constexpr index_t kInCache = index_t{2} << 20, kFarPixel = 512;  // values
    constexpr double kNear = 0.65, kFar = 1.25, kFarGradient = 1.6;
    if (g.groups == 1 || std::max(g.group_inputs(), g.group_outputs()) > kFewOfGroup) return 1;
    if (g.input_rows() * g.in_channels + g.output_rows() * g.out_channels <= kInCache) return kNear;
    if (std::min(g.in_channels, g.out_channels) < kFarPixel) return 1;
    return pass == Pass::kBackwardWeight ? kFarGradient : kFar;
}

double cost(const ConvGeometry& g, Pass pass, const RowMap& map, const TileScheme& scheme) {
    const TileGeometry tiles(map, scheme);
    const auto planes = static_cast<double>(scheme.planes()),
               count = std::max(static_cast<double>(tiles.count()), kFewestTiles);
    const auto taps = static_cast<double>(tiles.taps());
    const bool gradient = pass == Pass::kBackwardWeight;
    const auto in = static_cast<double>(std::max(g.in_channels, gradient ? kFewestRows : kFewestChannels));
    const auto out = static_cast<double>(std::max(g.out_channels, kFewestChannels));
    const auto source = pass == Pass::kBackwardInput ? out : in, target = pass == Pass::kBackwardInput ? in : out;
    // The channels of all phases are summed together, but transformed each by themselves.
    const double fewest = static_cast<double>(gradient ? kFewestRows : kFewestChannels) / taps;
    const double summed =
        tiles.has_phases() && g.groups == 1 ? std::max(static_cast<double>(g.in_channels), fewest) : in;
    const bool few = g.groups == 1 && g.in_channels < kFewestChannels;
    const bool phases = tiles.has_phases() && few == gradient;
    const double weight = taps * summed * out / static_cast<double>(g.groups);
    const bool line = !scheme.height.transformed() || !scheme.width.transformed();
    const double sums = gradient ? weight * count / 32 : count * target;
    const double transform = transform_factor(g, pass) * (gradient && line ? kTransformGradient : kTransform);
    const double value = gradient || g.weight_size() > kHuge ? kReadLarge
                         : g.weight_size() > kLarge          ? kReadMiddle
                                                             : kReadSmall;
    const double read =
        static_cast<double>(g.weight_size()) * value * static_cast<double>(map.taps()) / static_cast<double>(g.taps());
    const bool apart = !gradient && std::max(tiles.axes[1].residues, tiles.axes[2].residues) > 1;
    const double products = static_cast<double>(tiles.products()) * summed * out / static_cast<double>(g.groups);
    const double others = kSums * sums + transform * count * (taps * source + target) + kPoint * weight;
    return (phases ? kPhases : 1) * (apart ? kApart : 1) * (count * products + planes * others) + read;
}

// Of the products, those that are taken: a tile of rows skips a tap whose source lies in the padding for all of them.
// That is so of whole lines, unless they are shorter than a tile, and of most of what is left and right. A sum over
// rows leaves out each of them, if any.
double share_taken(const ConvGeometry& g, Pass pass) {
    constexpr index_t kLongestTile = 16;
    constexpr double kWholeTiles = 0.7;
    if (pass == Pass::kBackwardWeight) return leaves_out_padding(g) ? g.share_inside() : 1;
    if (g.axes[2].output < kLongestTile) return 1;
    return g.axes[0].share_inside() * g.axes[1].share_inside() * (1 - kWholeTiles * (1 - g.axes[2].share_inside()));
}

// Of a pass, or of one phase of the gradient of the input: by itself, or as a part of all phases of the width, whose
// neighbouring targets are columns as well.
double direct_cost(const ConvGeometry& g, Pass pass, const RowMap& map, bool joined) {
    const index_t targets = pass == Pass::kBackwardInput ? g.group_inputs() : g.group_outputs();
    const index_t columns = joined ? targets * g.axes[kAxes - 1].stride : targets;
    double filled = 1;  // of the vectors; those of groups run across them
    if (g.groups == 1 && targets > kNarrowColumns && targets < kFewestChannels)
        filled = static_cast<double>(columns) / static_cast<double>(round_up(columns, kFewestChannels));
    const double few = pass == Pass::kBackwardWeight ? 0.75 : 0.7;
    const double share = g.group_inputs() <= kFewOfGroup ? few : g.group_inputs() <= 32 ? 0.8 : 0.9;  // of the peak
    const double products = static_cast<double>(map.rows()) * static_cast<double>(map.taps()) *
                            static_cast<double>(g.group_inputs()) * static_cast<double>(g.out_channels) *
                            share_taken(g, pass);
    const double weight = static_cast<double>(g.weight_size() / g.taps() * map.taps());
    return products / share / filled + weight * (g.weight_size() > kLarge ? kPackLarge : kPackSmall);
}

struct Best {
    TileScheme scheme;
    double cost = std::numeric_limits<double>::infinity();
};

// Among those that transform an axis; none in a phase that has no such axis.
Best best_scheme(const ConvGeometry& g, Pass pass, const RowMap& map) {
    int limit = winograd_limit();
    if (limit == 0 || (limit > 4 && pass == Pass::kBackwardWeight)) limit = 4;
    Best best;
    for (const TileAxis& height : tile_axes(map.axes[1], limit)) {
        for (const TileAxis& width : tile_axes(map.axes[2], limit)) {
            const TileScheme scheme{height, width};
            if (scheme.planes() == 1) continue;
            if (height.taps == width.taps && height.points != width.points) continue;  // tile_transform.h: slow
            const double found = cost(g, pass, map, scheme);
            if (found < best.cost) best = {scheme, found};
        }
    }
    return best;
}

Best best_scheme(const ConvGeometry& g, Pass pass) { return best_scheme(g, pass, forward_map(g, g.batch)); }

template <class T>
void forward(const ConvGeometry& g, const ForwardArguments<T>& arguments) {
    multiply(TileProduct<T>(g, best_scheme(g, Pass::kForward).scheme, arguments));
}

// Of any phase of the input, most of which have fewer where the stride doesn't divide the kernel.
index_t most_taps_of_a_phase(const ConvGeometry& g) {
    index_t product = 1;
    for (const Axis& axis : g.axes) {
        index_t most = 0;
        for (index_t phase = 0; phase < std::min(axis.stride, axis.input); ++phase)
            most = std::max(most, backward_map(axis, phase).taps);
        product *= most;
    }
    return product;
}

// Calls tiles(phase, best) or direct(phase) for each phase of the input. Those with the most taps take tiles where an
// axis of theirs can be transformed; others only where that costs less.
template <class Tiles, class Direct>
void for_each_phase(const ConvGeometry& g, const Tiles& tiles, const Direct& direct) {
    const index_t most_taps = most_taps_of_a_phase(g);
    for_each_backward_map(g, g.batch, [&](const RowMap& phase) {
        const Best best = best_scheme(g, Pass::kBackwardInput, phase);
        const bool meets_something = phase.taps() > 0, transforms = best.scheme.planes() > 1;
        if (meets_something && transforms &&
            (phase.taps() == most_taps || best.cost < direct_cost(g, Pass::kBackwardInput, phase, false))) {
            tiles(phase, best);
        } else {
            direct(phase);
        }
    });
}

template <class T>
void backward_input(const ConvGeometry& g, const BackwardInputArguments<T>& arguments) {
    for_each_phase(g, [&](const RowMap& phase, const Best& best) {
        multiply(TileProduct<T>(g, phase, best.scheme, arguments));
    }, [&](const RowMap& phase) { multiply_phase(g, arguments, phase); });
}

template <class T>
void backward_weight(const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    add_up(TileSum<T>(g, best_scheme(g, Pass::kBackwardWeight).scheme, arguments));
}

template <class T>
std::size_t workspace(const ConvGeometry& g, Pass pass) {
    const TensorView<const T> input = contiguous_view<const T>(nullptr, g.input_extents(), g.in_channels);
    const TileScheme scheme = best_scheme(g, pass).scheme;
    if (pass == Pass::kForward)
        return workspace_bytes(TileProduct<T>(g, scheme, ForwardArguments<T>{input, nullptr, nullptr, false, nullptr}));
    if (pass == Pass::kBackwardWeight)
        return workspace_bytes(
            TileSum<T>(g, scheme, BackwardWeightArguments<T>{output_view<T>(g, nullptr), input, nullptr}));
    const BackwardInputArguments<T> none{output_view<T>(g, nullptr), nullptr, nullptr};
    std::size_t largest = 0;
    for_each_phase(g, [&](const RowMap& phase, const Best& best) {
        largest = std::max(largest, workspace_bytes(TileProduct<T>(g, phase, best.scheme, none)));
    }, [&](const RowMap& phase) { largest = std::max(largest, phase_workspace<T>(g, phase)); });
    return largest;
}

bool supports(const ConvGeometry& g, Pass) {
    if (g.input_rows() * g.in_channels == 0 || g.output_rows() * g.out_channels == 0) return false;
    return can_transform(forward_map(g.axes[1])) || can_transform(forward_map(g.axes[2]));
}

constexpr const char* kPixels[] = {"", " in each phase of the stride", " of pixels as far apart as the dilation"};

std::string name_of(const TileScheme& scheme, const char* pixels) {
    const TileAxis &h = scheme.height, &w = scheme.width;
    const auto both = [](index_t a, index_t b) { return std::to_string(a) + "x" + std::to_string(b); };
    const std::string results = both(h.results, w.results), taps = both(h.taps, w.taps);
    return "F(" + results + ", " + taps + ")" + pixels + ": " + std::to_string(scheme.planes()) +
           " multiplications instead of " + std::to_string(h.results * w.results * scheme.taps());
}

// Every reason there is, made once: a call takes no time for it.
const char* reason_for(const TileScheme& scheme, std::size_t pixels) {
    constexpr std::size_t ways = 6;
    static const TileAxis axes[ways]{{}, {2, 3, 4}, {4, 3, 6}, {6, 3, 8}, {2, 5, 6}, {4, 2, 5}};
    static const std::vector<std::string> reasons = [] {
        std::vector<std::string> made;
        for (const char* which : kPixels)
            for (const TileAxis& height : axes)
                for (const TileAxis& width : axes) made.push_back(name_of({height, width}, which));
        return made;
    }();
    const auto number = [](const TileAxis& axis) {
        return static_cast<std::size_t>(axis.taps == 5 ? 4 : axis.taps == 2 ? 5 : axis.results / 2);
    };
    return reasons[(pixels * ways + number(scheme.height)) * ways + number(scheme.width)].c_str();
}

// Of the transformed weight, in float64.
double weight_bytes(const ConvGeometry& g, const RowMap& map, const TileScheme& scheme) {
    const index_t taps = TileGeometry(map, scheme).taps() * scheme.planes();
    return 8 * static_cast<double>(taps) * static_cast<double>(g.group_inputs() * g.out_channels);
}

struct Costs {
    double tiles = 0, direct = 0;
    double weight_bytes = 0;  // of one phase at most
    TileScheme scheme;        // of the phase with the most products
};

Costs costs_of(const ConvGeometry& g, Pass pass) {
    if (pass != Pass::kBackwardInput) {
        const RowMap map = forward_map(g, g.batch);
        const Best best = best_scheme(g, pass, map);
        return {best.cost, direct_cost(g, pass, map, false), weight_bytes(g, map, best.scheme), best.scheme};
    }
    Costs costs;
    const bool joined = JoinedWidth(g).taps > 0;
    for_each_phase(g, [&](const RowMap& phase, const Best& best) {
        costs.tiles += best.cost;
        costs.direct += direct_cost(g, pass, phase, joined);
        costs.weight_bytes = std::max(costs.weight_bytes, weight_bytes(g, phase, best.scheme));
        if (best.scheme.taps() > costs.scheme.taps()) costs.scheme = best.scheme;
    }, [&](const RowMap& phase) {
        costs.tiles += direct_cost(g, pass, phase, false);
        costs.direct += direct_cost(g, pass, phase, joined);
    });
    return costs;
}

const char* prefers(const ConvGeometry& g, Pass pass) {
    if (winograd_limit() == 0) return nullptr;
    const Costs costs = costs_of(g, pass);
    const bool transforms = costs.scheme.planes() > 1;  // any phase
    if (!transforms || costs.tiles > costs.direct || costs.weight_bytes > kMostWorkspace) return nullptr;
    const auto any = [&](index_t Axis::* step) {
        return (costs.scheme.height.transformed() && g.axes[1].*step > 1) ||
               (costs.scheme.width.transformed() && g.axes[2].*step > 1);
    };
    return reason_for(costs.scheme, any(&Axis::stride) ? 1 : any(&Axis::dilation) ? 2 : 0);
}

}  // namespace

template <class T>
const Algorithm<T>& winograd_algorithm() {
    static const Algorithm<T> algorithm{"winograd",        supports,           prefers, workspace<T>, forward<T>,
                                        backward_input<T>, backward_weight<T>, false};
    return algorithm;
}

template const Algorithm<float>& winograd_algorithm();
template const Algorithm<double>& winograd_algorithm();

}  // namespace fastconv
