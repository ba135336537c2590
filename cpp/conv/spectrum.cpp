#include "conv/spectrum.h"

#include <algorithm>
#include <cmath>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/threads.h"

namespace fastconv {
namespace {

constexpr index_t kMostVectorLanes = 16;

index_t passes_of(index_t length) {
    index_t passes = 0;
    for (; length > 1; length /= 4) ++passes;
    return passes;
}

// Operations of the transform of one lane: a butterfly of four complex numbers has 34.
double operations_of(index_t length) {
    return 8.5 * static_cast<double>(length) * static_cast<double>(passes_of(length));
}

// Lanes that lie next to each other in the activation: times [first, last) of their block are there.
template <class T>
struct LaneRun {
    index_t lane, lanes, channel, first, last;
    T* data;  // where time 0 would be
    index_t step;
};

template <class T>
LaneRun<T> locate(const Blocks& blocks, const Signal<T>& signal, index_t block, index_t channel) {
    LaneRun<T> run{};
    run.channel = channel;
    run.step = blocks.dilation * signal.view.strides[2];
    run.data = signal.view.data;
    if (block >= blocks.count()) return run;
    const index_t line = block / blocks.blocks_per_line() / blocks.dilation;
    const index_t residue = block / blocks.blocks_per_line() % blocks.dilation;
    index_t start = residue + block % blocks.blocks_per_line() * blocks.hop() * blocks.dilation;
    index_t extent = blocks.extents[2], times = blocks.hop();
    if (signal.side == Side::kSource) {
        start += blocks.shift;
        extent = blocks.source_extent;
        times = blocks.length;
    }
    const index_t height = blocks.extents[1], depth = blocks.extents[0];
    run.data += line / height / depth * signal.view.batch_stride + line / height % depth * signal.view.strides[0] +
                line % height * signal.view.strides[1] + start * signal.view.strides[2] + channel;
    const index_t before = start < 0 ? ceil_div(-start, blocks.dilation) : 0;
    const index_t inside = extent > start ? ceil_div(extent - start, blocks.dilation) : 0;
    run.first = std::min(before, times);
    run.last = std::clamp(inside, run.first, times);
    return run;
}

// Calls visit(run, part) for the runs that make the vector of lanes from `first` on, part 0 being the real one.
template <class T, class Visit>
void for_each_run(const Blocks& blocks, const Signal<T>& signal, index_t first, index_t width, Visit visit) {
    const Lanes& lanes = signal.lanes;
    const bool channels_together = lanes.channel_step == 1;
    const index_t end = std::min(first + width, lanes.count());
    for (index_t lane = first, run; lane < end; lane += run) {
        const index_t channel = lane / lanes.channel_step % lanes.channels;
        const index_t pair = signal.first_pair + lane / lanes.pair_step % lanes.pairs;
        run = channels_together ? std::min(lanes.channels - channel, end - lane) : 1;
        for (index_t part = 0; part < 2; ++part) {
            LaneRun<T> found = locate(blocks, signal, 2 * pair + part, channel);
            found.lane = lane - first;
            found.lanes = run;
            visit(found, part);
        }
    }
}

}  // namespace

index_t WeightLanes::position(index_t tap, index_t lane) const {
    const index_t row = lane / columns(), column = lane % columns(), outputs = groups * group_outputs;
    const index_t at = (flipped ? taps - 1 - tap : tap) * group_inputs * outputs;
    if (!transposed) return at + row * outputs + column;
    return at + column % group_inputs * outputs + column / group_inputs * group_outputs + row;
}

template <class T>
Fourier<T>::Fourier(Arena& arena, index_t length, index_t lanes)
    : length_(length),
      workers_(static_cast<int>(std::min<index_t>(num_threads(), ceil_div(lanes, kernels<T>().vector_width)))),
      roots_(arena.take<T>(2 * length)),
      work_(arena.take<T>(workers_ * 4 * length * kernels<T>().vector_width)) {}

template <class T>
index_t Fourier<T>::imaginary(index_t lanes) {
    return round_up(lanes, 2 * kernels<T>().vector_width);
}

// Rounded once, from double precision; an eighth of the circle is all others, mirrored.
template <class T>
void Fourier<T>::prepare() {
    const index_t quarter = length_ / 4;
    const double step = 2 * std::acos(-1.0) / static_cast<double>(length_);
    const auto set = [&](index_t k, double cosine, double sine) {  // of minus k steps
        roots_[2 * k] = static_cast<T>(cosine);
        roots_[2 * k + 1] = static_cast<T>(-sine);
    };
    for (index_t k = 0; k <= quarter / 2; ++k) {
        const double cosine = std::cos(step * static_cast<double>(k)), sine = std::sin(step * static_cast<double>(k));
        set(k, cosine, sine);
        set(quarter - k, sine, cosine);
    }
    for (index_t k = 0; k < 2 * quarter; ++k) {  // another quarter is a factor of -i
        roots_[2 * (k + quarter)] = roots_[2 * k + 1];
        roots_[2 * (k + quarter) + 1] = -roots_[2 * k];
    }
}

template <class T>
ComplexRows<T> Fourier<T>::rows(T* work) const {
    return {work, 2 * kernels<T>().vector_width, kernels<T>().vector_width};
}

template <class T>
template <class Body>
void Fourier<T>::for_each_vector(index_t vectors, const Body& body) const {
    const index_t width = kernels<T>().vector_width, buffer = 2 * length_ * width;
    const double work = operations_of(length_) * static_cast<double>(vectors * width);
    parallel_for(vectors, std::min(worthwhile_threads(work, vectors), workers_), [&](index_t vector, int worker) {
        T* first = work_ + 2 * worker * buffer;
        T* second = first + buffer;
        // Where transforms may start (FourierBlock::work), and end.
        T* start = passes_of(length_) % 2 == 0 ? second : first;
        body(vector, first, start, second);
    });
}

template <class T>
void Fourier<T>::transform_vector(ComplexRows<const T> source, ComplexRows<T> target, T* work) const {
    kernels<T>().transform_lanes(
        {length_, source, target, roots_, {work, work + 2 * length_ * kernels<T>().vector_width}});
}

template <class T>
ComplexRows<const T> reading(const ComplexRows<T>& rows) {
    return {rows.data, rows.pitch, rows.imaginary};
}

// Real and imaginary parts exchanged: so a transform becomes its inverse, but for a factor.
template <class T>
ComplexRows<T> exchanged(const ComplexRows<T>& rows) {
    return {rows.data + rows.imaginary, rows.pitch, -rows.imaginary};
}

constexpr index_t kTimesTogether = 128;  // as many as stay in the first cache while all lanes arrive

template <class T>
void Fourier<T>::transform(const Blocks& blocks, const Signal<const T>& signal, T* spectra) const {
    const index_t width = kernels<T>().vector_width, lanes = signal.lanes.count();
    const T zeros[kMostVectorLanes] = {};
    for_each_vector(ceil_div(lanes, width), [&](index_t vector, T* work, T* start, T*) {
        const ComplexRows<T> source = rows(start);
        for (index_t time = 0; time < length_; time += kTimesTogether) {
            const index_t end = std::min(time + kTimesTogether, length_);
            if (lanes < (vector + 1) * width)
                std::fill(source.data + time * source.pitch, source.data + end * source.pitch, T(0));
            for_each_run(blocks, signal, vector * width, width, [&](const LaneRun<const T>& run, index_t part) {
                const index_t first = std::clamp(run.first, time, end), last = std::clamp(run.last, first, end);
                const auto copy = [&](const T* from, index_t step, index_t to, index_t until) {
                    T* target = source.data + to * source.pitch + part * source.imaginary + run.lane;
                    kernels<T>().copy_lanes({from, step, target, source.pitch, until - to, run.lanes, nullptr, false});
                };
                copy(zeros, 0, time, first);
                if (first < last) copy(run.data + first * run.step, run.step, first, last);
                copy(zeros, 0, last, end);
            });
        }
        transform_vector(reading(source), {spectra + vector * width, pitch(lanes), imaginary(lanes)}, work);
    });
}

template <class T>
void Fourier<T>::restore(const Blocks& blocks, const T* spectra, const Signal<T>& signal, const T* bias,
                         bool relu) const {
    const index_t width = kernels<T>().vector_width, lanes = signal.lanes.count();
    for_each_vector(ceil_div(lanes, width), [&](index_t vector, T* work, T*, T* result) {
        const ComplexRows<const T> source{spectra + vector * width, pitch(lanes), imaginary(lanes)};
        const ComplexRows<T> target = rows(result);
        transform_vector(exchanged(source), exchanged(target), work);
        for (index_t time = 0; time < length_; time += kTimesTogether)
            for_each_run(blocks, signal, vector * width, width, [&](const LaneRun<T>& run, index_t part) {
                const index_t end = std::min(time + kTimesTogether, run.last);
                if (time >= end) return;
                const T* from = target.data + time * target.pitch + part * target.imaginary + run.lane;
                kernels<T>().copy_lanes({from, target.pitch, run.data + time * run.step, run.step, end - time,
                                         run.lanes, bias == nullptr ? nullptr : bias + run.channel, relu});
            });
    });
}

template <class T>
void Fourier<T>::transform(const WeightLanes& lanes, const T* weight, T* spectra) const {
    const index_t width = kernels<T>().vector_width;
    const T scale = T(0.5) / static_cast<T>(length_);  // a power of two, and so exact
    for_each_vector(ceil_div(lanes.count(), 2 * width), [&](index_t pair, T* work, T* start, T* result) {
        T* target = start;
        index_t positions[2 * kMostVectorLanes];
        const index_t first = 2 * pair * width, count = std::min(lanes.count() - first, 2 * width);
        for (index_t i = 0; i < count; ++i) positions[i] = lanes.position(0, first + i);
        const index_t step = lanes.position(1, 0) - lanes.position(0, 0);
        for (index_t tap = 0; tap < lanes.taps; ++tap) {
            for (index_t i = 0; i < count; ++i) *target++ = weight[tap * step + positions[i]] * scale;
            for (index_t i = count; i < 2 * width; ++i) *target++ = 0;
        }
        std::fill(target, start + 2 * length_ * width, T(0));
        transform_vector(reading(rows(start)), rows(result), work);
        kernels<T>().split_spectra(length_, reading(rows(result)),
                                   {spectra + first, pitch(lanes.count()), imaginary(lanes.count())});
    });
}

template <class T>
void Fourier<T>::restore(const WeightLanes& lanes, const T* spectra, T* weight) const {
    const index_t width = kernels<T>().vector_width;
    const T scale = T(0.5) / static_cast<T>(length_);
    for_each_vector(ceil_div(lanes.count(), 2 * width), [&](index_t pair, T* work, T* start, T* result) {
        index_t positions[2 * kMostVectorLanes];
        const index_t first = 2 * pair * width, count = std::min(lanes.count() - first, 2 * width);
        for (index_t i = 0; i < count; ++i) positions[i] = lanes.position(0, first + i);
        const index_t step = lanes.position(1, 0) - lanes.position(0, 0);
        kernels<T>().join_spectra(length_, {spectra + first, pitch(lanes.count()), imaginary(lanes.count())},
                                  rows(start));
        transform_vector(exchanged(reading(rows(start))), exchanged(rows(result)), work);
        for (index_t tap = 0; tap < lanes.taps; ++tap, result += 2 * width)
            for (index_t i = 0; i < count; ++i) weight[tap * step + positions[i]] = result[i] * scale;
    });
}

template class Fourier<float>;
template class Fourier<double>;

}  // namespace fastconv
