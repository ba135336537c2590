#include "conv/tiles.h"

#include <algorithm>
#include <atomic>
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

const TileAxis& along(const TileScheme& scheme, int axis) {
    static const TileAxis none;
    return axis == 1 ? scheme.height : axis == 2 ? scheme.width : none;
}

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

TileAxes tile_axes(const Axis& axis, int limit) {
    TileAxes axes;
    if (axis.dilation == 1 && axis.kernel == 3)
        for (const index_t results : {6, 4, 2})
            if (results <= limit) axes.ways[axes.count++] = {results, 3, results + 2};
    if (axis.dilation == 1 && axis.kernel == 5) axes.ways[axes.count++] = {2, 5, 6};
    if (axes.count == 0) axes.count = 1;
    return axes;
}

bool has_tiles(const ConvGeometry& g) {
    const auto is_for_tiles = [](const Axis& axis) {
        return axis.dilation == 1 && (axis.kernel == 3 || axis.kernel == 5);
    };
    for (const Axis& axis : g.axes)
        if (axis.stride != 1) return false;
    return (is_for_tiles(g.axes[1]) || is_for_tiles(g.axes[2])) && g.input_rows() * g.in_channels > 0 &&
           g.output_rows() * g.out_channels > 0;
}

TileGeometry::TileGeometry(const ConvGeometry& g, Pass pass, const TileScheme& with)
    : scheme(with), batch(g.batch), source(g.input_extents()), target(g.output_extents()) {
    if (pass == Pass::kBackwardInput) std::swap(source, target);
    for (int i = 0; i < kAxes; ++i) {
        const Axis& axis = g.axes[i];
        const TileAxis& way = along(scheme, i);
        dilation[i] = axis.dilation;
        kernel[i] = way.transformed() ? 1 : axis.kernel;
        start[i] =
            pass == Pass::kBackwardInput ? axis.pad_before - axis.dilation * (axis.kernel - 1) : -axis.pad_before;
        tiles[i] = ceil_div(target[i], way.results);
    }
}

TileGeometry::Place TileGeometry::place(index_t tile) const {
    Place place;
    for (int i = kAxes - 1; i >= 0; --i) {
        place.at[i] = tile % tiles[i];
        tile /= tiles[i];
    }
    place.n = tile;
    return place;
}

template <class T>
void TileGeometry::source_tiles(const TensorView<const T>& view, index_t tap, index_t first, index_t count,
                                PixelTile<const T>* out) const {
    const std::array<index_t, kAxes> j{tap / kernel[2] / kernel[1], tap / kernel[2] % kernel[1], tap % kernel[2]};
    for (index_t t = 0; t < count; ++t) {
        const Place place = this->place(first + t);
        const T* data = view.data + place.n * view.batch_stride;
        std::array<int, kAxes> from{}, to{};
        for (int i = 0; i < kAxes; ++i) {
            const TileAxis& way = along(scheme, i);
            const index_t at = start[i] + place.at[i] * way.results + j[i] * dilation[i];
            data += at * view.strides[i];
            from[i] = static_cast<int>(std::clamp<index_t>(-at, 0, way.points));
            to[i] = static_cast<int>(std::clamp<index_t>(source[i] - at, 0, way.points));
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
            const index_t at = place.at[i] * along(scheme, i).results;
            data += at * view.strides[i];
            to[i] = static_cast<int>(std::min(along(scheme, i).results, target[i] - at));
        }
        out[t] = {data, 0, to[1], 0, to[2]};
    }
}

WeightTiles::WeightTiles(const ConvGeometry& g, const TileScheme& scheme, bool flipped) : flipped_(flipped) {
    index_t stride = 1;
    for (int i = kAxes - 1; i >= 0; --i) {
        kernel_[i] = g.axes[i].kernel;
        joined_[i] = along(scheme, i).transformed() ? 1 : kernel_[i];
        strides_[i] = stride;
        stride *= kernel_[i];
    }
    const index_t sign = flipped ? -1 : 1;
    row_step = joined_[1] == kernel_[1] ? 0 : sign * strides_[1];
    column_step = joined_[2] == kernel_[2] ? 0 : sign * strides_[2];
}

index_t WeightTiles::first(index_t tap) const {
    const std::array<index_t, kAxes> j{tap / joined_[2] / joined_[1], tap / joined_[2] % joined_[1], tap % joined_[2]};
    index_t position = 0;
    for (int i = 0; i < kAxes; ++i) {
        const index_t at = joined_[i] == 1 && kernel_[i] > 1 ? 0 : j[i];
        position += (flipped_ ? kernel_[i] - 1 - at : at) * strides_[i];
    }
    return position;
}

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
