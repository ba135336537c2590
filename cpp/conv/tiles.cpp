#include "conv/tiles.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace fastconv {
namespace {

constexpr int kDefaultLimit = 4;

index_t checked_limit(const char* who, index_t limit) {
    if (limit != 0 && limit != 2 && limit != 4 && limit != 6)
        throw std::invalid_argument(std::string(who) + " must be one of 0, 2, 4, 6, got " + std::to_string(limit));
    return limit;
}

int initial_limit() {
    const char* text = std::getenv("FASTCONV_WINOGRAD");
    if (text == nullptr || *text == '\0') return kDefaultLimit;
    const bool digit = text[0] >= '0' && text[0] <= '9' && text[1] == '\0';
    if (!digit) throw std::invalid_argument(std::string("FASTCONV_WINOGRAD must be one of 0, 2, 4, 6, got ") + text);
    return static_cast<int>(checked_limit("FASTCONV_WINOGRAD", text[0] - '0'));
}

std::atomic<int> chosen_limit{-1};  // not asked for yet

AxisTransform transform_of(const TileAxis& axis, TransformKind kind, index_t from, index_t to) {
    return axis.transformed() ? AxisTransform{kind, static_cast<int>(from), static_cast<int>(to)} : AxisTransform{};
}

}  // namespace

AxisTransform data_of(const TileAxis& axis) {
    return transform_of(axis, TransformKind::kData, axis.points, axis.points);
}

AxisTransform kernel_of(const TileAxis& axis, index_t values) {
    return transform_of(axis, TransformKind::kKernel, values, axis.points);
}

AxisTransform result_of(const TileAxis& axis, index_t values) {
    return transform_of(axis, TransformKind::kResult, axis.points, values);
}

int winograd_limit() {
    int limit = chosen_limit.load(std::memory_order_relaxed);
    if (limit < 0) {
        limit = initial_limit();
        chosen_limit = limit;
    }
    return limit;
}

void set_winograd_limit(index_t limit) { chosen_limit = static_cast<int>(checked_limit("winograd", limit)); }

TileAxes tile_axes(const AxisMap& map, int limit) {
    TileAxes axes;
    const bool in_a_row = std::abs(map.tap_step) == 1 || (map.source_step == 1 && map.target_step == 1);
    const index_t taps = in_a_row ? ceil_div(map.taps, map.source_step) : 0;
    if (taps == 2) axes.ways[axes.count++] = {4, 2, 5};
    if (taps == 3)
        for (const index_t results : {6, 4, 2})
            if (results <= limit) axes.ways[axes.count++] = {results, 3, results + 2};
    if (taps == 5) axes.ways[axes.count++] = {2, 5, 6};
    if (axes.count == 0) axes.count = 1;
    return axes;
}

bool can_transform(const AxisMap& map) { return tile_axes(map, kDefaultLimit).ways[0].transformed(); }

TilesAlong::TilesAlong(const AxisMap& map, const TileAxis& axis_way)
    : way(axis_way),
      source(map.extent),
      target(map.count),
      tiles(ceil_div(map.count, way.results)),
      start(map.source_start),
      step(way.results * map.source_step),
      point_step(map.source_step),
      kernel_start(map.kernel_start),
      taps(map.taps) {
    if (!way.transformed()) {
        joined = taps;
        joined_step = map.tap_step;
        kernel_joined = map.kernel_step;
        return;
    }
    if (map.tap_step > 0) {
        joined = std::min(map.source_step, taps);
        joined_step = 1;
        kernel_joined = map.kernel_step;
        kernel_step = taps_step = map.source_step;
    } else {  // backwards, where there is no step: the last tap comes first
        start += (taps - 1) * map.tap_step;
        kernel_start += (taps - 1) * map.kernel_step;
        kernel_step = -map.kernel_step;
    }
    const index_t dilation = std::abs(map.tap_step);
    if (dilation == 1) return;
    residues = std::min(dilation, target);
    point_step = dilation;
    step = way.results * dilation;
    tiles = residues * ceil_div(ceil_div(target, dilation), way.results);
}

index_t TilesAlong::products() const {
    index_t sum = 0;
    for (index_t j = 0; j < joined; ++j) sum += way.points - (is_zero(j, way.points - 1) ? 1 : 0);
    return sum;
}

TileGeometry::TileGeometry(const RowMap& map, const TileScheme& with)
    : scheme(with),
      batch(map.batch),
      axes{TilesAlong(map.axes[0], {}), TilesAlong(map.axes[1], with.height), TilesAlong(map.axes[2], with.width)},
      kernel_{map.axes[0].kernel, map.axes[1].kernel, map.axes[2].kernel} {}

TileGeometry::Place TileGeometry::place(index_t tile) const {
    Place place;
    for (int i = kAxes - 1; i >= 0; --i) {
        place.at[i] = tile % axes[i].tiles;
        tile /= axes[i].tiles;
    }
    place.n = tile;
    return place;
}

TileGeometry::Position TileGeometry::joined(index_t tap) const {
    return {tap / axes[2].joined / axes[1].joined, tap / axes[2].joined % axes[1].joined, tap % axes[2].joined};
}

index_t TileGeometry::kernel_position(index_t tap) const {
    const Position j = joined(tap);
    index_t position = 0;
    for (int i = 0; i < kAxes; ++i)
        position = position * kernel_[i] + axes[i].kernel_start + j[i] * axes[i].kernel_joined;
    return position;
}

bool TileGeometry::is_zero(index_t tap, index_t plane) const {
    const Position j = joined(tap);
    const index_t points = scheme.width.points;
    return axes[1].is_zero(j[1], plane / points) || axes[2].is_zero(j[2], plane % points);
}

template <class T>
void TileGeometry::source_tiles(const TensorView<const T>& view, index_t tap, index_t first, index_t count,
                                PixelTile<const T>* out) const {
    const Position j = joined(tap);
    for (index_t t = 0; t < count; ++t) {
        const Place place = this->place(first + t);
        const T* data = view.data + place.n * view.batch_stride;
        std::array<int, kAxes> from{}, to{};
        for (int i = 0; i < kAxes; ++i) {
            const TilesAlong& axis = axes[i];
            const index_t at = axis.source_of(place.at[i]) + j[i] * axis.joined_step;
            data += at * view.strides[i];
            from[i] = static_cast<int>(at < 0 ? std::min(ceil_div(-at, axis.point_step), axis.way.points) : 0);
            to[i] = static_cast<int>(
                at < axis.source ? std::min(ceil_div(axis.source - at, axis.point_step), axis.way.points) : 0);
        }
        if (from[0] >= to[0]) from[2] = to[2] = 0;  // a plane in the padding
        out[t] = {data, from[1], to[1], from[2], to[2]};
    }
}

template <class Value>
void TileGeometry::target_tiles(const TensorView<Value>& view, index_t first, index_t count,
                                PixelTile<Value>* out) const {
    for (index_t t = 0; t < count; ++t) {
        const Place place = this->place(first + t);
        Value* data = view.data + place.n * view.batch_stride;
        std::array<int, kAxes> to{};
        for (int i = 0; i < kAxes; ++i) {
            const TilesAlong& axis = axes[i];
            const index_t at = axis.target_of(place.at[i]);
            data += at * view.strides[i];
            to[i] = static_cast<int>(
                at < axis.target ? std::min(axis.way.results, ceil_div(axis.target - at, axis.residues)) : 0);
        }
        out[t] = {data, 0, to[1], 0, to[2]};
    }
}

namespace {

// From the last row of one tile to that of another; what is before that was met by the tiles before.
template <class T>
Stretch<T> stretch_between(const TensorView<const T>& view, index_t batch, const T* from, const T* to) {
    const T* end = view.data + batch * view.batch_stride;
    from = std::clamp(from, view.data, std::max(view.data, end));
    to = std::clamp(to, view.data, std::max(view.data, end));
    return to > from ? Stretch<T>{from, to - from} : Stretch<T>{};
}

}  // namespace

template <class T>
Stretch<T> TileGeometry::source_stretch(const TensorView<const T>& view, index_t first, index_t count) const {
    if (axes[1].residues * axes[2].residues > 1) return {};
    const auto last_row = [&](index_t tile) {
        if (tile >= this->count()) return view.data + batch * view.batch_stride;
        PixelTile<const T> found;
        source_tiles(view, 0, tile, 1, &found);
        return found.data + (axes[1].way.points - 1) * axes[1].point_step * view.strides[1];
    };
    return stretch_between(view, batch, last_row(first), last_row(first + count));
}

template <class Value>
Stretch<std::remove_const_t<Value>> TileGeometry::target_stretch(const TensorView<Value>& view, index_t first,
                                                                 index_t count) const {
    using T = std::remove_const_t<Value>;
    if (axes[1].residues * axes[2].residues > 1) return {};
    const auto last_row = [&](index_t tile) -> const T* {
        if (tile >= this->count()) return view.data + batch * view.batch_stride;
        PixelTile<Value> found;
        target_tiles(view, tile, 1, &found);
        return found.data + (axes[1].way.results - 1) * axes[1].residues * view.strides[1];
    };
    const TensorView<const T> same{view.data, view.batch_stride, view.strides, view.channels, view.channel_stride};
    return stretch_between(same, batch, last_row(first), last_row(first + count));
}

template Stretch<float> TileGeometry::source_stretch(const TensorView<const float>&, index_t, index_t) const;
template Stretch<double> TileGeometry::source_stretch(const TensorView<const double>&, index_t, index_t) const;
template Stretch<float> TileGeometry::target_stretch(const TensorView<float>&, index_t, index_t) const;
template Stretch<double> TileGeometry::target_stretch(const TensorView<double>&, index_t, index_t) const;
template Stretch<float> TileGeometry::target_stretch(const TensorView<const float>&, index_t, index_t) const;
template Stretch<double> TileGeometry::target_stretch(const TensorView<const double>&, index_t, index_t) const;
template void TileGeometry::source_tiles(const TensorView<const float>&, index_t, index_t, index_t,
                                         PixelTile<const float>*) const;
template void TileGeometry::source_tiles(const TensorView<const double>&, index_t, index_t, index_t,
                                         PixelTile<const double>*) const;
template void TileGeometry::target_tiles(const TensorView<float>&, index_t, index_t, PixelTile<float>*) const;
template void TileGeometry::target_tiles(const TensorView<double>&, index_t, index_t, PixelTile<double>*) const;
template void TileGeometry::target_tiles(const TensorView<const float>&, index_t, index_t,
                                         PixelTile<const float>*) const;
template void TileGeometry::target_tiles(const TensorView<const double>&, index_t, index_t,
                                         PixelTile<const double>*) const;

}  // namespace fastconv
