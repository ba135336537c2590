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

// Vectors of lanes, neighbours or, across, those of neighbouring rows.
struct Strip {
    bool across;
    index_t step;  // between the first lanes of two vectors
    index_t first, vectors;
};

// A power of two, so that strips across don't share cache lines where rows are aligned to them.
index_t vectors_of_strip(index_t lanes, index_t vector_width, int workers) {
    constexpr index_t kMost = 16, kStripsPerWorker = 4;
    index_t vectors = 1;
    while (vectors < kMost && 2 * vectors * kStripsPerWorker * workers * 2 * vector_width <= lanes) vectors *= 2;
    return vectors;
}

// Calls visit(position in the weight, place in the strip, lanes) for each tap of the lanes of a strip across; those of
// a group are equally far apart in the weight, and have `vectors` rows.
template <class Visit>
void for_each_block(const WeightLanes& lanes, const Strip& strip, index_t size, const Visit& visit) {
    for (index_t lane = 0, count; lane < size; lane += count) {
        const index_t first = strip.first + lane, position = lanes.position(0, first);
        count = std::min(size - lane, lanes.group_inputs - first % lanes.columns() % lanes.group_inputs);
        for (index_t tap = 0; tap < lanes.taps; ++tap)
            visit(position + tap * lanes.tap_step(), tap * size + lane, count);
    }
}

// Where the lanes of a vector lie at the first tap.
struct Positions {
    index_t at[2 * kMostVectorLanes], count;

    Positions(const WeightLanes& lanes, index_t first, index_t size) : count(std::min(lanes.count() - first, size)) {
        for (index_t i = 0; i < count; ++i) at[i] = lanes.position(0, first + i);
    }
};

// The weights of some vectors of lanes, tap after tap of each of them.
template <class T>
void collect(const WeightLanes& lanes, const T* weight, const Strip& strip, T* target) {
    const index_t size = 2 * kernels<T>().vector_width, pitch = lanes.taps * size, step = lanes.tap_step();
    if (strip.across) {
        for_each_block(lanes, strip, size, [&](index_t position, index_t place, index_t count) {
            kernels<T>().copy_block(
                {weight + position, lanes.outputs(), 1, count, strip.vectors, target + place, pitch, false});
        });
    } else if (lanes.transposed) {
        for (index_t v = 0; v < strip.vectors; ++v, target += pitch) {
            const Positions positions(lanes, strip.first + v * size, size);
            for (index_t tap = 0; tap < lanes.taps; ++tap) {
                for (index_t i = 0; i < positions.count; ++i)
                    target[tap * size + i] = weight[tap * step + positions.at[i]];
                std::fill(target + tap * size + positions.count, target + (tap + 1) * size, T(0));
            }
        }
    } else {
        const T* from = weight + lanes.position(0, strip.first);
        for (index_t tap = 0; tap < lanes.taps; ++tap)
            for (index_t v = 0; v < strip.vectors; ++v) {
                const index_t count = std::min(lanes.count() - strip.first - v * size, size);
                T* to = target + v * pitch + tap * size;
                std::copy_n(from + tap * step + v * size, count, to);
                std::fill(to + count, to + size, T(0));
            }
    }
}

// And back.
template <class T>
void distribute(const WeightLanes& lanes, const T* source, const Strip& strip, T* weight) {
    const index_t size = 2 * kernels<T>().vector_width, pitch = lanes.taps * size, step = lanes.tap_step();
    if (strip.across) {
        for_each_block(lanes, strip, size, [&](index_t position, index_t place, index_t count) {
            kernels<T>().copy_block(
                {source + place, pitch, 1, strip.vectors, count, weight + position, lanes.outputs(), false});
        });
    } else if (lanes.transposed) {
        for (index_t v = 0; v < strip.vectors; ++v, source += pitch) {
            const Positions positions(lanes, strip.first + v * size, size);
            for (index_t tap = 0; tap < lanes.taps; ++tap)
                for (index_t i = 0; i < positions.count; ++i)
                    weight[tap * step + positions.at[i]] = source[tap * size + i];
        }
    } else {
        T* to = weight + lanes.position(0, strip.first);
        for (index_t tap = 0; tap < lanes.taps; ++tap)
            for (index_t v = 0; v < strip.vectors; ++v)
                std::copy_n(source + v * pitch + tap * size, std::min(lanes.count() - strip.first - v * size, size),
                            to + tap * step + v * size);
    }
}

}  // namespace

index_t WeightLanes::position(index_t tap, index_t lane) const {
    const index_t row = lane / columns(), column = lane % columns();
    const index_t at = (flipped ? taps - 1 - tap : tap) * group_inputs * outputs();
    if (!transposed) return at + row * outputs() + column;
    return at + column % group_inputs * outputs() + column / group_inputs * group_outputs + row;
}

template <class T>
Fourier<T>::Fourier(Arena& arena, index_t length, index_t lanes, const WeightLanes& weight, int threads)
    : length_(length),
      workers_(static_cast<int>(std::min<index_t>(threads, ceil_div(lanes, kernels<T>().vector_width)))),
      roots_(arena.take<T>(2 * length)),
      work_(arena.take<T>(workers_ * 4 * length * kernels<T>().vector_width)),
      strip_size_(vectors_of_strip(weight.count(), kernels<T>().vector_width, workers_) * weight.taps * 2 *
                  kernels<T>().vector_width),
      strips_(arena.take<T>(workers_ * strip_size_)) {}

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
void Fourier<T>::for_each_task(index_t tasks, index_t vectors, const Body& body) const {
    const index_t width = kernels<T>().vector_width, buffer = 2 * length_ * width;
    const double work = operations_of(length_) * static_cast<double>(tasks * vectors * width);
    parallel_for(tasks, std::min(worthwhile_threads(work, tasks), workers_), [&](index_t task, int worker) {
        T* first = work_ + 2 * worker * buffer;
        T* second = first + buffer;
        body(task,
             Scratch{first, passes_of(length_) % 2 == 0 ? second : first, second, strips_ + worker * strip_size_});
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
    for_each_task(ceil_div(lanes, width), 1, [&](index_t vector, const Scratch& scratch) {
        const ComplexRows<T> source = rows(scratch.start);
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
        transform_vector(reading(source), {spectra + vector * width, pitch(lanes), imaginary(lanes)}, scratch.work);
    });
}

template <class T>
void Fourier<T>::restore(const Blocks& blocks, const T* spectra, const Signal<T>& signal, const T* bias,
                         bool relu) const {
    const index_t width = kernels<T>().vector_width, lanes = signal.lanes.count();
    for_each_task(ceil_div(lanes, width), 1, [&](index_t vector, const Scratch& scratch) {
        const ComplexRows<const T> source{spectra + vector * width, pitch(lanes), imaginary(lanes)};
        const ComplexRows<T> target = rows(scratch.result);
        transform_vector(exchanged(source), exchanged(target), scratch.work);
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

// Taps lie far apart, often a power of two, and transposed, lanes do as well. So the lanes of some cache lines are
// transformed one after the other, and their weights collected before, or distributed after.
template <class T>
template <class Body>
void Fourier<T>::for_each_weight_strip(const WeightLanes& lanes, const Body& body) const {
    const index_t size = 2 * kernels<T>().vector_width, vectors = ceil_div(lanes.count(), size);
    const index_t most = strip_size_ / (lanes.taps * size);
    const bool across = lanes.transposed && lanes.columns() % size == 0;
    const index_t per_row = lanes.columns() / size, step = across ? lanes.columns() : size;
    const index_t strips = across ? ceil_div(lanes.rows(), most) * per_row : ceil_div(vectors, most);
    for_each_task(strips, most, [&](index_t index, const Scratch& scratch) {
        Strip strip{across, step, index * most * size, most};
        if (across) strip.first = index / per_row * most * step + index % per_row * size;
        strip.vectors = std::min(most, ceil_div(lanes.count() - strip.first, step));
        body(strip, scratch);
    });
}

template <class T>
void Fourier<T>::transform(const WeightLanes& lanes, const T* weight, T* spectra) const {
    const index_t size = 2 * kernels<T>().vector_width, taps_size = lanes.taps * size;
    const T scale = T(0.5) / static_cast<T>(length_);  // a power of two, and so exact
    for_each_weight_strip(lanes, [&](const Strip& strip, const Scratch& scratch) {
        collect(lanes, weight, strip, scratch.strip);
        for (index_t v = 0; v < strip.vectors; ++v) {
            const T* taps = scratch.strip + v * taps_size;
            for (index_t i = 0; i < taps_size; ++i) scratch.start[i] = taps[i] * scale;
            std::fill(scratch.start + taps_size, scratch.start + length_ * size, T(0));
            transform_vector(reading(rows(scratch.start)), rows(scratch.result), scratch.work);
            kernels<T>().split_spectra(
                length_, reading(rows(scratch.result)),
                {spectra + strip.first + v * strip.step, pitch(lanes.count()), imaginary(lanes.count())});
        }
    });
}

template <class T>
void Fourier<T>::restore(const WeightLanes& lanes, const T* spectra, T* weight) const {
    const index_t taps_size = lanes.taps * 2 * kernels<T>().vector_width;
    const T scale = T(0.5) / static_cast<T>(length_);
    for_each_weight_strip(lanes, [&](const Strip& strip, const Scratch& scratch) {
        for (index_t v = 0; v < strip.vectors; ++v) {
            kernels<T>().join_spectra(
                length_, {spectra + strip.first + v * strip.step, pitch(lanes.count()), imaginary(lanes.count())},
                rows(scratch.start));
            transform_vector(exchanged(reading(rows(scratch.start))), exchanged(rows(scratch.result)), scratch.work);
            T* taps = scratch.strip + v * taps_size;
            for (index_t i = 0; i < taps_size; ++i) taps[i] = scratch.result[i] * scale;
        }
        distribute(lanes, scratch.strip, strip, weight);
    });
}

template class Fourier<float>;
template class Fourier<double>;

}  // namespace fastconv
